"""Milliseconds a sequence and trial: the engines and their peers on the same work, in one run.

    python -m benchmarks.trial_throughput --data=auto

The work is that of `benchmarks.work` on the music task's training sequences; the table gives the
time of a frame times their mean length. Every implementation has to train to the same loss first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks import runner
from benchmarks.remote import ONE_THREAD
from benchmarks.runner import Case, Measured, Peer, Row, Runner
from benchmarks.targets import NATIVE
from benchmarks.work_files import WorkFiles
from common.machine import XLA_LOOP_FLAG
from tuner.training.engines import ENGINES

SGEMM = Peer("benchmarks.peers.sgemm:Sgemm")
_SGEMM_SIZES = (512, 768, 1024)
_CHECKED_UNITS, _TOGETHER = 24, (1, 2, 4, 8, 16)


def engine(name: str, seconds: float = 0.0, processes: int = 1) -> Peer:
    """Makes a peer of an engine of this project; see `benchmarks.peers.engine_trial`."""
    options = {"engine": name, "seconds": seconds}
    flags = f"{ONE_THREAD['XLA_FLAGS']} {XLA_LOOP_FLAG}"
    environment = {"XLA_FLAGS": flags} if ENGINES[name].keras_backend == "jax" else {}
    target = "benchmarks.peers.engine_trial:EngineTrial"
    return Peer(target, options, environment=environment, processes=processes)


def _of(library: str, **options: Any) -> Peer:
    target = f"benchmarks.peers.{library}_trial:{library.title()}Trial"
    return Peer(target, options, library)


IMPLEMENTATIONS = {
    (NATIVE, "V"): ("corpus", engine("native", 0.4)),
    (NATIVE, "NP"): ("corpus", engine("native", 0.4)),
    ("keras engine", "V"): ("sample", engine("keras")),
    ("keras.layers.RNN(cell)", "V"): ("sample", _of("keras", layer="RNN")),
    ("keras.layers.RNN(cell), jit_compile", "V"): (
        "lengths",
        _of("keras", layer="RNN", jit=True),
    ),
    ("keras.layers.LSTM", "NP"): ("sample", _of("keras", layer="LSTM")),
    ("keras.layers.LSTM, jit_compile", "NP"): ("lengths", _of("keras", layer="LSTM", jit=True)),
    ("torch.nn.LSTM", "NP"): ("corpus", _of("torch", peepholes=False)),
    ("PyTorch peephole cell", "V"): ("sample", _of("torch")),
    ("PyTorch peephole cell, torch.compile", "V"): ("sample", _of("torch", compiled=True)),
    **{
        (f"JAX vmap + lax.scan, K = {k}", "V"): ("sample", _of("jax", trials=k))
        for k in (1, 2, 4, 8, 16)
    },
}
"""Implementations by name and variant (NP if the library has no peepholes): the work of
`benchmarks.work_files` that each is timed on, and the peer."""


def _cases(files: WorkFiles, units: int, work: str = "") -> list[Case]:
    """Returns all implementations at a size, on `work` instead of their own work if it is given."""
    return runner.chosen(
        Case(
            {"implementation": name, "variant": variant, "units": units},
            peer,
            {"path": files.path(work or own, variant, units)},
        )
        for (name, variant), (own, peer) in IMPLEMENTATIONS.items()
    )


def _check(bench: Runner, files: WorkFiles) -> None:
    """Compares the loss of a few updates of every implementation with the engine `keras`."""
    for variant in ("V", "NP"):
        work = {"path": files.path("check", variant, _CHECKED_UNITS)}
        reference = Case({"checked by": "keras engine"}, engine("keras"), work)
        cases = _cases(files, _CHECKED_UNITS, "check")
        alike = [case for case in cases if case.labels["variant"] == variant]
        runner.check_losses(bench.measure([reference, *alike], repeats=1, warm_up=False))


def _rows(measured: list[Measured], rate: float, files: WorkFiles) -> Iterator[Row]:
    def scale(one: Measured) -> float:
        """Returns milliseconds per sequence of mean length and trial, for a pass of one second."""
        work, _ = IMPLEMENTATIONS[one.labels["implementation"], one.labels["variant"]]
        return 1e3 * files.mean_length / files.frames(work) / one.median("trials")

    for one in measured:
        _, variant, units = one.labels.values()
        value = scale(one) * one.median()
        ours = [each for each in measured if NATIVE == each.labels["implementation"]]
        alike = [scale(each) * each.median() for each in ours if each.labels["variant"] == variant]
        speed = files.operations(variant, units) / value / 1e6
        yield {
            **one.labels,
            **one.spread("seconds", "milliseconds", scale(one)),
            "times_native": round(value / alike[0], 2) if alike else "",
            "gigaflops": round(speed, 2),
            "sgemm_gigaflops": round(rate, 1),
            "sgemm_share": round(speed / rate, 3),
        }


def tables(bench: Runner) -> Iterator[tuple[str, list[Row]]]:
    """Yields the measured rows, with the name of their table."""
    files = bench.work_files()
    _check(bench, files)
    products = [Case({"sgemm": size}, SGEMM, {"size": size}) for size in _SGEMM_SIZES]
    for units in map(int, runner.UNITS.value):
        measured = bench.measure([*products, *_cases(files, units)])
        rate = max(one.median("gigaflops") for one in measured[: len(products)])
        yield "trial_throughput", list(_rows(measured[len(products) :], rate, files))


if __name__ == "__main__":
    runner.run(tables)
