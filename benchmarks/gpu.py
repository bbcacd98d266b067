"""The engine `cuda` on this machine's GPU: one script for a machine that is at hand for minutes.

    python -m benchmarks.gpu --data=auto --study_dir=studies/gpu

What it does, in this order, so that an early end leaves the most important figures:

    figures   microseconds a sequence and trial over the whole device, by size, and beside them the
              native engine on one core
    phases    cycles a sequence by part of the work, one trial alone and the device full
    design    the first 200 trials of V's design, to their ends
    peers     JAX, 200 trials at once by `vmap` over `lax.scan`, and PyTorch's `nn.LSTM`, on the GPU
    study     all variants, 200 trials each, by `python -m tuner.run`

Results are written after every part to benchmarks/results/gpu.csv, so far as there are some. The
peers want a Python that has them for GPUs (`--peers_python`).
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from benchmarks import table
from benchmarks.remote import ROOT, Missing, Remote, RemoteError
from common import command_line
from common.errors import InputError

if TYPE_CHECKING:
    from tuner.search.space import Space
    from tuner.training.cuda.backend import Backend
    from tuner.training.engines import Trainer
    from tuner.training.protocol import Problem, Trial

_PARTS = ("figures", "phases", "design", "peers", "study")

_PACKAGES = (*table.PACKAGES, "cuda-core", "cuda-bindings", "nvidia-cuda-nvrtc")
_EVERY_SEQUENCE = ("read", "project", "forward", "head")
_ON_THE_GPU = {"CUDA_VISIBLE_DEVICES": "0", "JAX_PLATFORMS": "cuda"}

Row = dict[str, Any]
MakeTrainer = Callable[["Problem"], "Trainer"]


def row(part: str, what: str, **numbers: Any) -> Row:
    """A line of the results; what does not apply stays empty."""
    columns = ("variant", "units", "trials", "seconds", "microseconds", "cycles")
    return {"part": part, "what": what, **{name: numbers.get(name, "") for name in columns}}


def _trials(variant: str, units: int, count: int) -> list[Trial]:
    from tuner.training.protocol import Trial

    values = {"units": units, "learning_rate": 1e-3, "momentum": 0.5, "noise_std": 0.1}
    return [Trial(index, variant, values, seed=index) for index in range(count)]


def _seconds(make: MakeTrainer, problem: Problem, trials: Sequence[Trial]) -> float:
    """Trains trials to their ends, of a trainer that is ready."""
    trainer = make(problem)
    start = time.perf_counter()
    for _ in trainer.train(trials):
        pass
    return time.perf_counter() - start


def measure(
    make: MakeTrainer, problem: Problem, variant: str, units: int, count: int, epochs: int
) -> tuple[float, float]:
    """Measures an epoch of equal trials, validation included.

    The time of one epoch is taken off: it brings the trials to the device, and tests them.

    Args:
        make: makes trainers.
        problem: task and data; its epochs are not looked at.
        variant: code of the variant.
        units: LSTM blocks.
        count: trials at a time.
        epochs: how many epochs to measure.

    Returns:
        Seconds of all epochs that were measured, and microseconds a sequence and trial.
    """

    def of(epochs: int) -> Problem:
        protocol = dataclasses.replace(problem.protocol, max_epochs=epochs, patience=epochs)
        return dataclasses.replace(problem, protocol=protocol)

    trials = _trials(variant, units, count)
    # The first run may compile.
    _seconds(make, of(1), trials[:1])
    once = _seconds(make, of(1), trials)
    seconds = _seconds(make, of(1 + epochs), trials) - once
    return seconds, 1e6 * seconds / (epochs * count * len(problem.corpus.train))


def filling(backend: Backend, problem: Problem, variant: str, units: int) -> int:
    """How many trials of a size the device trains at a time."""
    from tuner.training.cuda import structures
    from zoo.registry import get_variant

    gate_recurrence = get_variant(variant).gate_recurrence
    layout = backend.layout(units, gate_recurrence)
    while not backend.ready(layout):
        time.sleep(0.1)
    shared_bytes = structures.SHARED_HEADER + layout.shared_bytes(units, gate_recurrence)
    return min(backend.capacity, round(1 / backend.share(layout, shared_bytes)))


def figures(
    backend: Backend, make: MakeTrainer, native: MakeTrainer, problem: Problem, units: Sequence[int]
) -> Iterator[Row]:
    """The device full of trials of one size, and the native engine on one core."""
    for variant in ("V", "FGR"):
        for size in units:
            count = filling(backend, problem, variant, size)
            seconds, each = measure(make, problem, variant, size, count, epochs=3)
            yield row(
                "figures", "cuda, whole device", variant=variant, units=size, trials=count,
                seconds=round(seconds, 3), microseconds=round(each, 3),
            )  # fmt: skip
            seconds, each = measure(native, problem, variant, size, 1, epochs=1)
            yield row(
                "figures", "native, one core", variant=variant, units=size, trials=1,
                seconds=round(seconds, 3), microseconds=round(each, 1),
            )  # fmt: skip


def phases(
    backend: Backend, make: MakeTrainer, problem: Problem, units: Sequence[int]
) -> Iterator[Row]:
    """Cycles a sequence by part, as the first thread of a trial sees them."""
    corpus = problem.corpus
    for size in units:
        for count in sorted({1, filling(backend, problem, "V", size)}):
            protocol = dataclasses.replace(problem.protocol, max_epochs=2, patience=2)
            trainer: Any = make(dataclasses.replace(problem, protocol=protocol))
            for _ in trainer.train(_trials("V", size, count)):
                pass
            trained = 2 * len(corpus.train)
            visited = trained + 3 * len(corpus.validation) + len(corpus.test)
            for name, cycles in trainer.cycles.items():
                each = cycles / count / (visited if name in _EVERY_SEQUENCE else trained)
                yield row("phases", name, variant="V", units=size, trials=count, cycles=round(each))


def design(make: MakeTrainer, problem: Problem, space: Space, count: int) -> Iterator[Row]:
    """The first trials of V's design, to their ends."""
    from tuner.search.samplers import SearchProblem
    from tuner.search.samplers.random import RandomSampler

    sampler = RandomSampler(SearchProblem(space, 1, problem.task.name, ("V",), count))
    trials = [sampler.propose("V", index, ()) for index in range(count)]
    trainer = make(problem)
    start = time.perf_counter()
    epochs = sum(result.result.curve[-1].epoch for result in trainer.train(trials))
    seconds = time.perf_counter() - start
    each = 1e6 * seconds / (epochs * len(problem.corpus.train))
    yield row(
        "design", f"cuda, {epochs} epochs", variant="V", trials=count, seconds=round(seconds, 1),
        microseconds=round(each, 3),
    )  # fmt: skip


def peers(problem: Problem, units: Sequence[int]) -> Iterator[Row]:
    """JAX and PyTorch on the GPU, in processes of their own."""
    from benchmarks.work_files import WorkFiles

    with tempfile.TemporaryDirectory() as folder:
        files = WorkFiles(Path(folder), problem.corpus.train)
        for what, variant, target, arguments in (
            (
                "JAX, 200 trials by vmap and lax.scan",
                "V",
                "benchmarks.peers.jax_trial:JaxTrial",
                {"trials": 200, "draw_on_device": True},
            ),
            (
                "PyTorch nn.LSTM, one trial",
                "NP",
                "benchmarks.peers.torch_trial:TorchTrial",
                {"peepholes": False, "device": "cuda"},
            ),
        ):
            for size in units:
                remote = Remote(
                    target, python=flags.FLAGS.peers_python, environment=_ON_THE_GPU, **arguments
                )
                try:
                    with remote:
                        remote.call("prepare", path=files.path("sample", variant, size))
                        remote.call("run")
                        done = remote.call("run")
                except (Missing, RemoteError) as error:
                    print(f"{what}: {str(error).splitlines()[-1]}", flush=True)
                    break
                frames = files.frames("sample") * done["trials"]
                yield row(
                    "peers", what, variant=variant, units=size, trials=done["trials"],
                    seconds=round(done["seconds"], 3),
                    microseconds=round(1e6 * done["seconds"] / frames * files.mean_length, 2),
                )  # fmt: skip


def study() -> Iterator[Row]:
    """The whole study as a user runs it."""
    asked = flags.FLAGS
    command = ["tuner.run", "--task=music", "--variants=all", f"--trials={asked.trials}"]
    command += [f"--data={asked.data}", f"--study_dir={asked.study_dir}", "--engine=cuda"]
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=True)
    seconds = time.perf_counter() - start
    yield row("study", "tuner.run", trials=9 * flags.FLAGS.trials, seconds=round(seconds, 1))


def main() -> int:
    """Runs the command."""
    from tuner.study.presets import find_preset
    from tuner.tasks.task import find_task
    from tuner.training.cuda import device, engine
    from tuner.training.native import engine as native
    from tuner.training.protocol import Problem, Protocol

    if obstacle := device.obstacle():
        raise InputError(f"no GPU to measure: {obstacle}")
    # Only now: it needs the packages of the extra [cuda].
    from tuner.training.cuda.device_backend import take_device

    task = find_task("music")
    problem = Problem(task, task.load(flags.FLAGS.data), Protocol())
    print(f"data: {problem.corpus.dataset}; {device.devices()[0]}", flush=True)
    space = find_preset("paper", task).space
    backend = take_device()

    def make(problem: Problem) -> Trainer:
        return engine.Trainer(problem, backend)

    sizes = [int(size) for size in flags.FLAGS.units]
    parts = {
        "figures": lambda: figures(backend, make, native.Trainer, problem, sizes),
        "phases": lambda: phases(backend, make, problem, [64, 200]),
        "design": lambda: design(make, problem, space, flags.FLAGS.trials),
        "peers": lambda: peers(problem, [64, 200]),
        "study": study,
    }
    rows: list[Row] = []
    for name in _PARTS:
        if name in flags.FLAGS.only:
            for found in parts[name]():
                rows.append({**found, "device": device.devices()[0].name})
                table.show(rows[-1:])
                # An early end keeps what there is.
                table.save("gpu", rows, _PACKAGES)
    return 0


def define_flags() -> None:
    """Defines the flags; not at import, since other modules have some of the same names."""
    sizes = ["20", "32", "64", "96", "128", "160", "200"]
    flags.DEFINE_string("data", "auto", "Data of the music task.")
    flags.DEFINE_list("only", list(_PARTS), f"Which parts: {', '.join(_PARTS)}.")
    flags.DEFINE_list("units", sizes, "Sizes.")
    flags.DEFINE_integer("trials", 200, "Trials of a design.", lower_bound=1)
    flags.DEFINE_string("study_dir", "studies/gpu", "Where the study is kept.")
    flags.DEFINE_string("peers_python", sys.executable, "Python with the peers.")


if __name__ == "__main__":
    define_flags()
    command_line.run(main)
