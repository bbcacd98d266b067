"""Trials an hour and time to finish: a part of the paper's study, run as users run it.

    python -m benchmarks.study --data=auto --study_dir=studies/benchmark

The first trials of every variant's design are run by `python -m tuner.run --preset=paper`, from its
start to the end of its last trial; its processes are watched. An interrupted benchmark goes on with
the same --study_dir. The whole study's time is extrapolated twice: in proportion to the trials, and
by a cost model that is fitted to the measured trials (`benchmarks.cost_model`).
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from absl import flags

from benchmarks import table
from benchmarks.remote import ROOT
from common import command_line

if TYPE_CHECKING:
    from tuner.training.protocol import TrialRecord

_DATA = flags.DEFINE_string("data", "auto", "Data of the music task.")
_STUDY_DIR = flags.DEFINE_string("study_dir", None, "Where the study is kept [nowhere].")
_TRIALS = flags.DEFINE_integer("trials", 7, "Trials of each variant.", lower_bound=1)
_MAX_EPOCHS = flags.DEFINE_integer("max_epochs", 150, "Most epochs of a trial.", lower_bound=1)
_WORKERS = flags.DEFINE_string("workers", "auto", "As for tuner.run.")
_ENGINE = flags.DEFINE_string("engine", "auto", "As for tuner.run.")
_SAVE = flags.DEFINE_bool("save", True, "Write the results to benchmarks/results.")

_SAMPLE_SECONDS = 2.0

Row = dict[str, Any]


def _finished(directory: Path) -> int:
    """Counts the lines of the ledgers."""
    ledgers = (directory / "trials").glob("*.jsonl")
    return sum(path.read_bytes().count(b"\n") for path in ledgers)


def _sample(process: psutil.Process) -> list[Row]:
    """Measures the memory of the process and of its workers, in MiB."""
    measured = []
    for role, members in (("study", [process]), ("worker", process.children(recursive=True))):
        for member in members:
            try:
                used = member.memory_full_info()
            except psutil.Error:
                # It has just ended.
                continue
            measured.append(
                {
                    "process": role,
                    "pid": member.pid,
                    "resident_mib": round(used.rss / 2**20, 1),
                    "unique_mib": round(used.uss / 2**20, 1),
                }
            )
    return measured


def _watch(directory: Path) -> list[Row]:
    """Runs the study and samples its processes; samples are also kept beside its directory.

    Returns:
        Samples of all runs: `run`, `elapsed` seconds of the run, `finished` trials, and memory.
    """
    kept = directory.with_suffix(".samples.jsonl")
    command = [
        *(sys.executable, "-m", "tuner.run", "--task=music", "--preset=paper"),
        f"--data={_DATA.value}",
        f"--study_dir={directory}",
        f"--trials={_TRIALS.value}",
        f"--max_epochs={_MAX_EPOCHS.value}",
        f"--workers={_WORKERS.value}",
        f"--engine={_ENGINE.value}",
    ]
    run = time.time()
    with kept.open("a", encoding="utf-8") as file:
        process = psutil.Popen(command, cwd=ROOT)
        while process.poll() is None:
            before = _finished(directory)
            elapsed = round(time.time() - run, 2)
            for row in _sample(process):
                sample = {"run": run, "elapsed": elapsed, "finished": before, **row}
                file.write(json.dumps(sample) + "\n")
            file.flush()
            try:
                process.wait(_SAMPLE_SECONDS)
            except psutil.TimeoutExpired:
                continue
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()]


def clock_seconds(samples: Sequence[Row]) -> float:
    """Adds up the time of all runs, each until its last trial was finished.

    Args:
        samples: `run`, `elapsed` and `finished` of all runs, in order.
    """
    total = 0.0
    for run in sorted({sample["run"] for sample in samples}):
        mine = [sample for sample in samples if sample["run"] == run]
        last = mine[-1]["finished"]
        if last > mine[0]["finished"]:
            total += min(sample["elapsed"] for sample in mine if sample["finished"] == last)
    return total


def _summary(entries: Sequence[TrialRecord], samples: Sequence[Row]) -> Row:
    """Says what was measured and what follows for the whole study."""
    from benchmarks.cost_model import CostModel, epochs_of
    from tuner.search.samplers import SearchProblem
    from tuner.search.samplers.random import RandomSampler
    from tuner.study.presets import PRESETS
    from zoo.variants import VARIANTS

    preset = PRESETS["paper"]
    problem = SearchProblem(preset.space, 1, "music", tuple(VARIANTS), preset.trials)
    sampler = RandomSampler(problem)
    trials = [
        sampler.propose(variant, index, [])
        for variant in VARIANTS
        for index in range(preset.trials)
    ]
    model = CostModel(entries)
    epochs = [epochs_of(entry) for entry in entries]
    wall = clock_seconds(samples)
    busy = sum(entry.result.seconds for entry in entries)
    # What a second of the clock gets done, of seconds that workers count.
    speed = busy / wall
    epoch = sum(model.epoch_seconds(trial.variant, trial.units) for trial in trials)
    workers = [sample for sample in samples if sample["process"] == "worker"]
    a, b, c = model.coefficients
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
        "model_a": f"{a:.3e}",
        "model_b": f"{b:.3e}",
        "model_c": f"{c:.3e}",
        "model_error": round(model.error, 3),
        "worker_resident_mib": max((row["resident_mib"] for row in workers), default=""),
        "worker_unique_mib": max((row["unique_mib"] for row in workers), default=""),
    }


def _trial_rows(entries: Sequence[TrialRecord]) -> list[Row]:
    from benchmarks.cost_model import epochs_of

    return [
        {
            "variant": entry.trial.variant,
            "trial": entry.trial.index,
            "units": entry.trial.units,
            "learning_rate": f"{entry.trial.learning_rate:.3e}",
            "epochs": epochs_of(entry),
            "diverged": entry.result.diverged,
            "seconds": round(entry.result.seconds, 3),
            "engine": entry.result.engine,
        }
        for entry in entries
    ]


def main() -> int:
    """Runs the command."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(_STUDY_DIR.value or Path(folder) / "study").absolute()
        directory.parent.mkdir(parents=True, exist_ok=True)
        samples = _watch(directory)
        command_line.start_tensorflow()
        from tuner.study.ledger import Ledger
        from zoo.variants import VARIANTS

        entries = [
            entry
            for code in VARIANTS
            for entry in Ledger(directory / "trials" / f"{code}.jsonl").entries()
        ]
    summary = _summary(entries, samples)
    for name, value in summary.items():
        print(f"{name:22}{value}")
    if _SAVE.value:
        # One sample of every process after every finished trial.
        memory = {(sample["pid"], sample["finished"]): sample for sample in samples}
        table.save("study", [summary])
        table.save("study_trials", _trial_rows(entries))
        table.save("study_memory", [*memory.values()])
        print(f"results: {table.RESULTS}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
