"""The engine `cuda` on this machine's GPU: one script for a machine that is at hand for minutes.

    python -m benchmarks.gpu --data=auto --study_dir=studies/gpu

What it does, in this order, so that an early end leaves the most important figures:

    figures   microseconds a sequence and trial over the whole device, by size, and beside them the
              native engine on one core
    phases    cycles a sequence by part of the work, one trial alone and the device full
    design    the first 200 trials of V's design, to their ends
    peers     JAX, 200 trials at once by `vmap` over `lax.scan`, and PyTorch's `nn.LSTM`, on the GPU
    study     all variants, 200 trials each, by `python -m tuner.run`

The peers want a Python that has them for GPUs (`--peers_python`).
"""

from __future__ import annotations

import dataclasses
import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from benchmarks import runner, table
from benchmarks.remote import Missing, Remote, RemoteError
from benchmarks.runner import Row, Runner
from benchmarks.table import ROOT
from benchmarks.work_files import WorkFiles
from common.errors import InputError
from tuner.search.samplers import SearchProblem
from tuner.search.samplers.random import RandomSampler
from tuner.search.space import Space
from tuner.study.presets import find_preset
from tuner.tasks.task import find_task
from tuner.training.cuda import device, engine, structures
from tuner.training.cuda.backend import Backend
from tuner.training.engines import Trainer
from tuner.training.native import engine as native_engine
from tuner.training.protocol import Problem, Protocol, Trial
from zoo.registry import get_variant

_PACKAGES = (*table.PACKAGES, "cuda-core", "cuda-bindings", "nvidia-cuda-nvrtc")
_EVERY_SEQUENCE = ("read", "project", "forward", "head")
_ON_THE_GPU = {"CUDA_VISIBLE_DEVICES": "0", "JAX_PLATFORMS": "cuda"}

_COLUMNS = ("variant", "units", "trials", "seconds", "microseconds", "cycles")

MakeTrainer = Callable[[Problem], Trainer]


def row(part: str, what: str, **numbers: Any) -> Row:
    """Makes a row of the results; columns that do not apply stay empty."""
    rounded = {name: round(n, 3) if isinstance(n, float) else n for name, n in numbers.items()}
    return {"part": part, "what": what} | dict.fromkeys(_COLUMNS, "") | rounded


def _trials(variant: str, units: int, count: int) -> list[Trial]:
    values = {"units": units, "learning_rate": 1e-3, "momentum": 0.5, "noise_std": 0.1}
    return [Trial(index, variant, values, seed=index) for index in range(count)]


def _limited(problem: Problem, epochs: int) -> Problem:
    protocol = dataclasses.replace(problem.protocol, max_epochs=epochs, patience=epochs)
    return dataclasses.replace(problem, protocol=protocol)


def _train(trainer: Trainer, trials: Sequence[Trial]) -> tuple[float, int]:
    """Trains trials to completion; returns seconds and epochs."""
    start = time.perf_counter()
    epochs = sum(trial.result.curve[-1].epoch for trial in trainer.train(trials))
    return time.perf_counter() - start, epochs


def measure(
    make: MakeTrainer, problem: Problem, trials: Sequence[Trial], epochs: int
) -> dict[str, float]:
    """Measures epochs of equal trials, with validation, in microseconds per sequence and trial.

    The time of a run of one epoch is subtracted: it includes transfer to the device, and testing.
    """
    # The first run may compile.
    _train(make(_limited(problem, 1)), trials[:1])
    once, _ = _train(make(_limited(problem, 1)), trials)
    more, _ = _train(make(_limited(problem, 1 + epochs)), trials)
    each = 1e6 * (more - once) / (epochs * len(trials) * len(problem.corpus.train))
    return {"seconds": more - once, "microseconds": each}


def filling(backend: Backend, problem: Problem, variant: str, units: int) -> int:
    """Returns how many trials of a size the device trains at a time."""
    gate_recurrence = get_variant(variant).gate_recurrence
    layout = backend.layout(units, gate_recurrence)
    while not backend.ready(layout):
        time.sleep(0.1)
    shared_bytes = structures.SHARED_HEADER + layout.shared_bytes(units, gate_recurrence)
    return min(backend.capacity, round(1 / backend.share(layout, shared_bytes)))


def figures(
    backend: Backend, make: MakeTrainer, native: MakeTrainer, problem: Problem, units: Sequence[int]
) -> Iterator[Row]:
    """Measures the device full of trials of one size, and the native engine on one core."""
    for variant, size in itertools.product(("V", "FGR"), units):
        count = filling(backend, problem, variant, size)
        for what, trainers, trials, epochs in (
            ("cuda, whole device", make, count, 3),
            ("native, one core", native, 1, 1),
        ):
            numbers = measure(trainers, problem, _trials(variant, size, trials), epochs)
            yield row("figures", what, variant=variant, units=size, trials=trials, **numbers)


def phases(
    backend: Backend, make: MakeTrainer, problem: Problem, units: Sequence[int]
) -> Iterator[Row]:
    """Measures cycles per sequence by part of the work, in the first thread of a trial."""
    corpus, epochs = problem.corpus, 2
    trained = epochs * len(corpus.train)
    visited = trained + (1 + epochs) * len(corpus.validation) + len(corpus.test)
    for size in units:
        for count in sorted({1, filling(backend, problem, "V", size)}):
            trainer: Any = make(_limited(problem, epochs))
            _train(trainer, _trials("V", size, count))
            for name, cycles in trainer.cycles.items():
                each = cycles / count / (visited if name in _EVERY_SEQUENCE else trained)
                shape = {"variant": "V", "units": size, "trials": count}
                yield row("phases", name, **shape, cycles=round(each))


def design(make: MakeTrainer, problem: Problem, space: Space, count: int) -> Iterator[Row]:
    """Trains the first trials of V's design to completion."""
    sampler = RandomSampler(SearchProblem(space, 1, problem.task.name, ("V",), count))
    trials = [sampler.propose("V", index, ()) for index in range(count)]
    seconds, epochs = _train(make(problem), trials)
    each = 1e6 * seconds / (epochs * len(problem.corpus.train))
    numbers = {"trials": count, "seconds": seconds, "microseconds": each}
    yield row("design", f"cuda, {epochs} epochs", variant="V", **numbers)


def peers(folder: Path, problem: Problem, units: Sequence[int]) -> Iterator[Row]:
    """Measures JAX and PyTorch on the GPU, each in its own process."""
    files = WorkFiles(folder, problem.corpus.train)
    gpu = {"python": flags.FLAGS.peers_python, "environment": _ON_THE_GPU}
    jax = {"target": "benchmarks.peers.jax_trial:JaxTrial", "trials": 200, "draw_on_device": True}
    torch = {"target": "benchmarks.peers.torch_trial:TorchTrial", "device": "cuda"}
    for what, variant, options in (
        ("JAX, 200 trials by vmap and lax.scan", "V", jax),
        ("PyTorch nn.LSTM, one trial", "NP", torch | {"peepholes": False}),
    ):
        for size in units:
            try:
                with Remote(**gpu, **options) as remote:
                    remote.call("prepare", path=files.path("sample", variant, size))
                    remote.call("run")
                    done = remote.call("run")
            except (Missing, RemoteError) as error:
                print(f"{what}: {str(error).splitlines()[-1]}", flush=True)
                break
            each = 1e6 * done["seconds"] * files.mean_length / files.frames("sample")
            numbers = {"seconds": done["seconds"], "microseconds": each / done["trials"]}
            shape = {"variant": variant, "units": size, "trials": done["trials"]}
            yield row("peers", what, **shape, **numbers)


def study() -> Iterator[Row]:
    """Runs the whole study as a user does."""
    asked = flags.FLAGS
    command = ["tuner.run", "--task=music", "--variants=all", f"--trials={asked.trials}"]
    command += [f"--data={asked.data}", f"--study_dir={asked.study_dir}", "--engine=cuda"]
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=True)
    yield row("study", "tuner.run", trials=9 * asked.trials, seconds=time.perf_counter() - start)


def tables(bench: Runner) -> Iterator[tuple[str, list[Row]]]:
    """Yields the measured rows, with the name of their table."""
    if obstacle := device.obstacle():
        raise InputError(f"no GPU to measure: {obstacle}")
    # Imported late: it needs the packages of the extra [cuda].
    from tuner.training.cuda.device_backend import take_device

    flags.set_default(runner.UNITS, ["20", "32", "64", "96", "128", "160", "200"])
    task, asked = find_task("music"), flags.FLAGS
    problem = Problem(task, bench.corpus(), Protocol())
    space = find_preset("paper", task).space
    backend = take_device()

    def make(problem: Problem) -> Trainer:
        return engine.Trainer(problem, backend)

    sizes = [int(size) for size in runner.UNITS.value]
    parts = {
        "figures": lambda: figures(backend, make, native_engine.Trainer, problem, sizes),
        "phases": lambda: phases(backend, make, problem, [64, 200]),
        "design": lambda: design(make, problem, space, asked.trials),
        "peers": lambda: peers(bench.folder, problem, [64, 200]),
        "study": study,
    }
    for name in asked.parts:
        for found in parts[name]():
            # An early end keeps the rows so far.
            yield "gpu", [{**found, "device": device.devices()[0].name}]


def define_flags() -> None:
    """Defines the flags; not at import, because other modules define some of the same names."""
    parts = ["figures", "phases", "design", "peers", "study"]
    flags.DEFINE_list("parts", parts, "Which parts.")
    flags.DEFINE_integer("trials", 200, "Trials of a design.", lower_bound=1)
    flags.DEFINE_string("study_dir", "studies/gpu", "Where the study is kept.")
    flags.DEFINE_string("peers_python", sys.executable, "Python with the peers.")


if __name__ == "__main__":
    define_flags()
    runner.run(tables, _PACKAGES)
