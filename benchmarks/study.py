"""Trials an hour and time to finish: a part of the paper's study, run as users run it.

    python -m benchmarks.study --data=auto --study_dir=studies/benchmark

The first trials of every variant's design are run by `python -m tuner.run --preset=paper`, from its
start to the end of its last trial; its processes are watched. The whole study's time is
extrapolated twice: in proportion to the trials, and by a cost model fitted to them.
"""

from __future__ import annotations

import contextlib
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import psutil
from absl import flags
from scipy.optimize import nnls

from benchmarks import runner
from benchmarks.runner import Row, Runner
from benchmarks.table import ROOT
from tuner.search.samplers import SearchProblem
from tuner.search.samplers.random import RandomSampler
from tuner.study.ledger import Ledger
from tuner.study.presets import PRESETS
from tuner.tasks.task import find_task
from tuner.training.protocol import Trial, TrialRecord
from zoo import registry
from zoo.variants import VARIANTS

_STUDY_DIR = flags.DEFINE_string("study_dir", None, "New folder for the study [temporary].")
_TRIALS = flags.DEFINE_integer("trials", 7, "Trials of each variant.", lower_bound=1)
_MAX_EPOCHS = flags.DEFINE_integer("max_epochs", 150, "Most epochs of a trial.", lower_bound=1)
_WORKERS = flags.DEFINE_string("workers", "auto", "As for tuner.run.")
_ENGINE = flags.DEFINE_string("engine", "auto", "As for tuner.run.")
_SAMPLE_SECONDS = 2.0


def epochs_of(entry: TrialRecord) -> int:
    """Counts the epochs that a trial was trained for, including one that diverged."""
    return entry.result.curve[-1].epoch + entry.result.diverged


def _decade(trial: Trial) -> int:
    return math.floor(math.log10(trial.learning_rate))


def _features(trial: Trial) -> tuple[float, float, float]:
    task = find_task("music")
    weights = registry.count_params(trial.variant, task.inputs, trial.units)
    weights += (trial.units + 1) * task.outputs
    return 1.0, float(len(VARIANTS[trial.variant].gates) * trial.units), float(weights)


class CostModel:
    """Model of a trial's training time, fitted to trials that were run.

        seconds = epochs × (a + b G H + c weights)

    for G gates and H units: a for the loop over frames, b for elementwise operations, c for the
    matrix products. The number of epochs depends mostly on the learning rate: with the smallest,
    trials never stop improving.

    Attributes:
        coefficients: a, b and c in seconds.
        error: median relative error of the fitted trials.
    """

    def __init__(self, entries: Sequence[TrialRecord]) -> None:
        """Fits nonnegative coefficients to relative errors, so that small trials count equally."""
        features = np.array([_features(entry.trial) for entry in entries])
        seconds = np.array([entry.result.seconds / epochs_of(entry) for entry in entries])
        scale = features.max(axis=0)
        solution, _ = nnls(features / scale / seconds[:, None], np.ones(len(seconds)))
        self.coefficients = tuple(float(value) for value in solution / scale)
        self.error = float(np.median(abs(features @ (solution / scale) / seconds - 1.0)))
        self._decades: dict[int, list[int]] = {}
        for entry in entries:
            self._decades.setdefault(_decade(entry.trial), []).append(epochs_of(entry))
        self._mean = statistics.fmean(map(epochs_of, entries))

    def epoch_seconds(self, trial: Trial) -> float:
        """Predicts the seconds of an epoch."""
        return math.fsum(np.multiply(self.coefficients, _features(trial)))

    def trial_seconds(self, trial: Trial) -> float:
        """Predicts a trial's seconds, by the mean epochs of its learning rate's decade."""
        decade = self._decades.get(_decade(trial))
        return (statistics.fmean(decade) if decade else self._mean) * self.epoch_seconds(trial)


def _finished(directory: Path) -> int:
    """Counts the finished trials, one per line of the ledgers."""
    ledgers = (directory / "trials").glob("*.jsonl")
    return sum(path.read_bytes().count(b"\n") for path in ledgers)


def _sample(process: psutil.Process) -> Iterator[Row]:
    """Measures the memory of the process and of its workers, in MiB."""
    for member in (process, *process.children(recursive=True)):
        try:
            used = member.memory_full_info()
        except psutil.Error:
            # It has just ended.
            continue
        yield {
            "process": "study" if member is process else "worker",
            "pid": member.pid,
            "resident_mib": round(used.rss / 2**20, 1),
            "unique_mib": round(used.uss / 2**20, 1),
        }


def _watch(directory: Path) -> list[Row]:
    """Runs the study; returns samples of `elapsed` seconds, `finished` trials and memory."""
    asked = {"data": runner.DATA, "trials": _TRIALS, "max_epochs": _MAX_EPOCHS}
    asked |= {"workers": _WORKERS, "engine": _ENGINE}
    command = [sys.executable, "-m", "tuner.run", "--task=music", "--preset=paper"]
    command += [f"--{name}={flag.value}" for name, flag in asked.items()]
    samples, begin = [], time.time()
    process = psutil.Popen([*command, f"--study_dir={directory}"], cwd=ROOT)
    while process.poll() is None:
        now = {"elapsed": round(time.time() - begin, 2), "finished": _finished(directory)}
        samples += [{**now, **row} for row in _sample(process)]
        with contextlib.suppress(psutil.TimeoutExpired):
            process.wait(_SAMPLE_SECONDS)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return samples


def _summary(entries: Sequence[TrialRecord], samples: Sequence[Row]) -> Row:
    """Summarizes the measurements, and extrapolates them to the whole study."""
    preset = PRESETS["paper"]
    problem = SearchProblem(preset.space, 1, "music", tuple(VARIANTS), preset.trials)
    sampler, places = RandomSampler(problem), range(preset.trials)
    trials = [sampler.propose(variant, place, []) for variant in VARIANTS for place in places]
    model = CostModel(entries)
    epochs = [epochs_of(entry) for entry in entries]
    last = samples[-1]["finished"]
    wall = min(sample["elapsed"] for sample in samples if sample["finished"] == last)
    # Seconds of work, as counted by workers, per second of wall-clock time.
    speed = sum(entry.result.seconds for entry in entries) / wall
    epoch = sum(map(model.epoch_seconds, trials))
    workers = [sample for sample in samples if sample["process"] == "worker"]
    return {
        "trials": len(entries),
        "workers": _WORKERS.value,
        "wall_seconds": round(wall, 1),
        "trials_per_hour": round(3600 * len(entries) / wall, 1),
        "workers_busy": round(speed, 3),
        "mean_epochs": round(statistics.fmean(epochs), 1),
        "all_epochs_share": round(epochs.count(preset.max_epochs) / len(epochs), 3),
        "study_trials": len(trials),
        "hours_by_proportion": round(wall / len(entries) * len(trials) / 3600, 2),
        "hours_by_model": round(sum(map(model.trial_seconds, trials)) / speed / 3600, 2),
        "hours_if_all_epochs": round(preset.max_epochs * epoch / speed / 3600, 2),
        **{f"model_{name}": f"{x:.3e}" for name, x in zip("abc", model.coefficients, strict=True)},
        "model_error": round(model.error, 3),
        "worker_resident_mib": max((row["resident_mib"] for row in workers), default=""),
        "worker_unique_mib": max((row["unique_mib"] for row in workers), default=""),
    }


def _trial_row(entry: TrialRecord) -> Row:
    return {
        "variant": entry.trial.variant,
        "trial": entry.trial.index,
        "units": entry.trial.units,
        "learning_rate": f"{entry.trial.learning_rate:.3e}",
        "epochs": epochs_of(entry),
        "diverged": entry.result.diverged,
        "seconds": round(entry.result.seconds, 3),
        "engine": entry.result.engine,
    }


def tables(bench: Runner) -> Iterator[tuple[str, list[Row]]]:
    """Yields the measured rows, with the names of their tables."""
    directory = Path(_STUDY_DIR.value or bench.folder / "study").absolute()
    samples = _watch(directory)
    ledgers = (Ledger(directory / "trials" / f"{code}.jsonl") for code in VARIANTS)
    entries = [entry for ledger in ledgers for entry in ledger.entries()]
    yield "study", [_summary(entries, samples)]
    yield "study_trials", list(map(_trial_row, entries))
    # One sample of every process after every finished trial.
    memory = {(sample["pid"], sample["finished"]): sample for sample in samples}
    yield "study_memory", [*memory.values()]


if __name__ == "__main__":
    runner.run(tables)
