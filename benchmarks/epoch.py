"""Seconds an epoch of both engines on every task, and what longer sequences cost.

    python -m benchmarks.epoch --data=auto --units=32,100

An epoch is the protocol's, of the first training sequences of each task, and of made-up ones of
growing length. Both engines have to train to the same loss.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from absl import flags

from benchmarks import runner
from benchmarks.runner import Case, Row, Runner
from benchmarks.trial_throughput import engine
from tuner.parallel import corpus_file
from tuner.tasks.sequences import Sequences
from tuner.tasks.task import Corpus, DatasetInfo, Task, find_task

_TASKS = ("music", "speech", "handwriting")
_SEQUENCES = {"train": 60, "validation": 10, "test": 1}
_LENGTHS, _LENGTHS_UNITS, _LENGTHS_FRAMES = (375, 750, 1500), 64, 15_000


def _few(corpus: Corpus) -> Corpus:
    """Selects the first sequences of a corpus, because an epoch of the slow engine is long."""
    splits = {}
    for name, count in _SEQUENCES.items():
        split = getattr(corpus, name)
        splits[name] = Sequences(split.inputs[:count], split.targets[:count])
    return dataclasses.replace(corpus, **splits)


def _made_up(task: Task, frames: int) -> Corpus:
    """Generates random sequences of one length; for `ctc`, with one label per ten frames."""
    random = np.random.default_rng(1)
    labels = frames // 10 if task.head == "ctc" else frames

    def split(count: int) -> Sequences:
        inputs = random.normal(size=(count, frames, task.inputs)).astype(np.float32)
        targets = random.integers(task.outputs - 1, size=(count, labels)).astype(np.int32)
        return Sequences(tuple(inputs), tuple(targets))

    edition = DatasetInfo("made up", "0" * 64, "normal numbers")
    return Corpus(edition, split(_LENGTHS_FRAMES // frames), split(1), split(1))


def _rows(bench: Runner, corpus: Corpus, task: str, units: int, **labels: Any) -> Iterator[Row]:
    """Measures a corpus at one size."""
    path = bench.folder / f"{task}-{len(corpus.train)}"
    with path.open("wb") as file:
        corpus_file.save(corpus, file)
    labels |= {"task": task, "data": corpus.dataset.name}
    work = {"path": str(path), "task": task, "variant": "V", "units": units}
    cases = [Case({**labels, "engine": name}, engine(name), work) for name in ("native", "keras")]
    # Separate processes for every row, because the table has the peak memory of each.
    with Runner() as own:
        measured = own.measure(cases, warm_up=False)
    runner.check_losses(measured)
    for one in measured:
        yield {
            **one.labels,
            "units": units,
            "sequences": len(corpus.train),
            "frames": corpus.train.frames,
            **one.spread("seconds", digits=3),
            "microseconds_a_frame": round(1e6 * one.median() / corpus.train.frames, 2),
            "times_native": round(one.median() / measured[0].median(), 1),
            "resident_mib": round(one.median("most_resident")),
        }


def tables(bench: Runner) -> Iterator[tuple[str, list[Row]]]:
    """Yields the measured rows, with the names of their tables."""
    flags.set_default(runner.UNITS, ["32", "100"])
    for name in _TASKS:
        few = _few(bench.corpus(name))
        for units in map(int, runner.UNITS.value):
            yield "epoch", list(_rows(bench, few, name, units))
    for name in _TASKS[1:]:
        for frames in _LENGTHS:
            corpus = _made_up(find_task(name), frames)
            rows = list(_rows(bench, corpus, name, _LENGTHS_UNITS, length=frames))
            yield "long_sequences", rows


if __name__ == "__main__":
    runner.run(tables)
