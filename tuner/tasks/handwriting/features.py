"""Features of lines, computed in a process of their own.

The layer that computes them also serves, so it runs on Keras. In this process TensorFlow would then
take the memory of the accelerators that belongs to the workers.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from serving.command_line import InputError
from tuner.tasks.handwriting.lines import KEEP_EVERY
from tuner.tasks.problems import one_line

FEATURES = 4
"""Δx, Δy, time since the stroke's start, pen-up."""

# Of points in one call, padding included.
_POINTS_A_BATCH = 2**18


def of(points: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Computes the features of lines, not normalized.

    Args:
        points: float32 `[points, 4]` of each line, one point at least.

    Returns:
        float32 `[frames, 4]` of each line; views of one array.

    Raises:
        InputError: if the process that computes them fails.
    """
    from tuner.crew import environment

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "points.npy", np.concatenate(points))
        np.save(folder / "lengths.npy", np.array([len(line) for line in points]))
        process = subprocess.run(
            [sys.executable, "-m", __name__, name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment("native"),
        )
        if process.returncode:
            last = process.stdout.decode(errors="replace").strip().splitlines()[-1:]
            raise InputError(
                "task handwriting: expected the features of the lines. Received: exit status "
                f"{process.returncode} of their process: {one_line(' '.join(last))}"
            )
        features = np.load(folder / "features.npy")
    ends = itertools.accumulate((_frames(len(line)) for line in points), initial=0)
    return [features[start:end] for start, end in itertools.pairwise(ends)]


def _frames(points: int) -> int:
    return -(-points // KEEP_EVERY)


def compute(points: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Computes the features of lines in this process, on Keras' back end; see `of`."""
    from keras import ops

    from zoo.frontends import PenStrokes

    frontend = PenStrokes(KEEP_EVERY)
    lengths = np.array([len(line) for line in points])
    features: dict[int, np.ndarray] = {}
    for batch in _batches(lengths):
        padded = np.zeros((len(batch), lengths[batch].max(), FEATURES), np.float32)
        for row, index in zip(padded, batch, strict=True):
            row[: lengths[index]] = points[index]
        computed, frames = frontend(padded, lengths[batch])
        rows = zip(ops.convert_to_numpy(computed), ops.convert_to_numpy(frames), strict=True)
        for index, (row, count) in zip(batch, rows, strict=True):
            features[index] = row[:count]
    return [features[index] for index in range(len(points))]


def _batches(lengths: np.ndarray) -> list[list[int]]:
    """Groups lines of about the same length, as many as a call may take."""
    batches: list[list[int]] = []
    for index in map(int, np.argsort(lengths, kind="stable")):
        # The lines come from short to long: the newest is the longest of its batch.
        if batches and (len(batches[-1]) + 1) * lengths[index] <= _POINTS_A_BATCH:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def main(folder: Path) -> None:
    """Computes `features.npy` of `points.npy` and `lengths.npy` in a folder."""
    points = np.load(folder / "points.npy", mmap_mode="r")
    ends = itertools.accumulate(map(int, np.load(folder / "lengths.npy")), initial=0)
    lines = [points[start:end] for start, end in itertools.pairwise(ends)]
    np.save(folder / "features.npy", np.concatenate(compute(lines)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
