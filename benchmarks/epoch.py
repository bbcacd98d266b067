"""Seconds an epoch of both engines on every task, and what longer sequences cost.

    python -m benchmarks.epoch --data=auto

An epoch is the protocol's: noise, one update a sequence, validation. Engines take turns on the
first training sequences of each task (`epoch`), and on made-up sequences of growing length with as
many frames in all (`long_sequences`): time an epoch must stay, memory may grow with the length.
"""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags

from benchmarks import table
from benchmarks.remote import Remote
from common import command_line

if TYPE_CHECKING:
    from tuner.tasks.sequences import Sequences
    from tuner.tasks.task import Corpus, Task

_DATA = flags.DEFINE_string("data", "auto", "Data of the music task.")
_UNITS = flags.DEFINE_list("units", ["32", "100"], "Sizes to measure.")
_REPEATS = flags.DEFINE_integer("repeats", 3, "Timed repeats.", lower_bound=1)

_TASKS = ("music", "speech", "handwriting")
_ENGINES = ("native", "keras")
_VARIANT = "V"
_SEQUENCES = 60
_LENGTHS = (375, 750, 1500)
_LENGTHS_UNITS = 64
_LENGTHS_FRAMES = 15_000

Row = dict[str, Any]


def _first(split: Sequences, count: int) -> Sequences:
    from tuner.tasks.sequences import Sequences

    return Sequences(split.inputs[:count], split.targets[:count])


def _few(corpus: Corpus) -> Corpus:
    """The first sequences of a corpus, an epoch of the slow engine being long."""
    return dataclasses.replace(
        corpus,
        train=_first(corpus.train, _SEQUENCES),
        validation=_first(corpus.validation, _SEQUENCES // 6),
        test=_first(corpus.test, 1),
    )


def _made_up(task: Task, frames: int) -> Corpus:
    """Sequences of one length without meaning; a label of `ctc` for ten frames."""
    from tuner.tasks.sequences import Sequences
    from tuner.tasks.task import Corpus, DatasetInfo

    generator = np.random.default_rng(1)

    def split(count: int) -> Sequences:
        labels = frames // 10 if task.head == "ctc" else frames
        return Sequences(
            tuple(
                generator.normal(size=(frames, task.inputs)).astype(np.float32)
                for _ in range(count)
            ),
            tuple(
                generator.integers(task.outputs - 1, size=labels).astype(np.int32)
                for _ in range(count)
            ),
        )

    edition = DatasetInfo("made up", "0" * 64, "normal numbers")
    return Corpus(edition, split(_LENGTHS_FRAMES // frames), split(1), split(1))


def _measure(path: Path, task: str, units: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Times the engines in turn, each in a process of its own; yields each engine's medians."""
    found: dict[str, list[dict[str, Any]]] = {engine: [] for engine in _ENGINES}
    with ExitStack() as stack:
        remotes = {
            engine: stack.enter_context(
                Remote("benchmarks.peers.engine_epoch:EngineEpoch", engine=engine)
            )
            for engine in _ENGINES
        }
        for remote in remotes.values():
            remote.call("prepare", path=str(path), task=task, variant=_VARIANT, units=units)
        for _ in range(_REPEATS.value):
            for engine, remote in remotes.items():
                found[engine].append(remote.call("run", epochs=2))
    losses = [rows[0]["loss"] for rows in found.values()]
    if not np.allclose(losses, losses[0], rtol=1e-3):
        raise ValueError(f"Expected equal losses of {', '.join(_ENGINES)}. Received: {losses}")
    for engine, rows in found.items():
        yield engine, {key: statistics.median(row[key] for row in rows) for key in rows[0]}


def _rows(corpus: Corpus, task: Task, units: int, folder: Path) -> list[Row]:
    """Measures a corpus with one size."""
    from tuner.parallel import corpus_file

    path = folder / "corpus"
    with path.open("wb") as file:
        corpus_file.save(corpus, file)
    rows: list[Row] = []
    for engine, medians in _measure(path, task.name, units):
        seconds = medians["seconds"]
        rows.append(
            {
                "task": task.name,
                "data": corpus.dataset.name,
                "engine": engine,
                "units": units,
                "sequences": len(corpus.train),
                "frames": corpus.train.frames,
                "seconds": round(seconds, 3),
                "microseconds_a_frame": round(1e6 * seconds / corpus.train.frames, 2),
                "times_native": round(seconds / (rows or [{"seconds": seconds}])[0]["seconds"], 1),
                "resident_mib": round(medians["mebibytes"]),
            }
        )
    return rows


def main() -> int:
    """Runs the command."""
    command_line.start_tensorflow()
    from tuner.tasks.task import find_task

    epochs: list[Row] = []
    lengths: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for task in map(find_task, _TASKS):
            corpus = task.load(_DATA.value if task.name == "music" else "auto")
            print(f"data: {corpus.dataset}")
            for units in map(int, _UNITS.value):
                epochs += _rows(_few(corpus), task, units, folder)
        for task in map(find_task, _TASKS[1:]):
            for frames in _LENGTHS:
                made_up = _made_up(task, frames)
                for row in _rows(made_up, task, _LENGTHS_UNITS, folder):
                    lengths.append({"length": frames, **row})
    table.show(epochs)
    table.show(lengths)
    print(f"results: {table.save('epoch', epochs)}, {table.save('long_sequences', lengths)}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
