"""Reads and writes lines of handwriting as `.npz`: the project's own form, used for its cache."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import unusable
from common.files import write_file
from tuner.tasks.content import check_unpacked
from tuner.tasks.handwriting.lines import SPLITS, Collector, Lines

LARGEST_UNPACKED = 2**30


def read_npz(source: str, content: bytes) -> Lines:
    """Reads lines from `.npz`.

    Args:
        source: the file, for the error text.
        content: for each of `train`, `validation`, `test` three arrays: `<split>_points`, numbers
            `[points, 4]` of x, y (downwards), seconds and 1 on a stroke's last point, else 0, all
            its lines one after the other; `<split>_lengths`, integers `[lines]`, the points of each
            line; `<split>_texts`, strings `[lines]`.

    Raises:
        InputError: if an array is missing or has another shape or type, or if the file would unpack
            to more than 1 GiB.
        Exception: whatever `zipfile` and NumPy raise for a damaged file.
    """
    check_unpacked(source, content, LARGEST_UNPACKED)
    collector = Collector()
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        for split in SPLITS:
            points = _array(source, arrays, f"{split}_points", "biuf", "numbers [points, 4]", 2)
            if points.shape[1] != 4:
                raise unusable(
                    source,
                    f"{split}_points: expected numbers [points, 4]. "
                    f"Received: {points.dtype.name} {list(points.shape)}",
                )
            lengths = _array(source, arrays, f"{split}_lengths", "iu", "integers [lines]", 1)
            texts = _array(source, arrays, f"{split}_texts", "U", "strings [lines]", 1)
            ends = list(itertools.accumulate((int(length) for length in lengths), initial=0))
            if ends[-1] != len(points) or min(lengths, default=0) < 0 or len(texts) != len(lengths):
                raise unusable(
                    source,
                    f"{split}_lengths: expected {len(texts):,} lengths, one a text, that add up to "
                    f"the {len(points):,} points. Received: {len(lengths):,} that add up to "
                    f"{ends[-1]:,}, the shortest {min(lengths, default=0)}",
                )
            for (start, end), text in zip(itertools.pairwise(ends), texts, strict=True):
                collector.add(split, _strokes(points[start:end]), str(text))
    return collector.lines()


def _array(
    source: str, arrays: Any, name: str, kinds: str, expected: str, dimensions: int
) -> np.ndarray:
    if name not in arrays:
        raise unusable(source, f"expected an array {name!r}. Received: none")
    array: np.ndarray = arrays[name]
    if array.dtype.kind not in kinds or array.ndim != dimensions:
        raise unusable(
            source,
            f"{name}: expected {expected}. Received: {array.dtype.name} {list(array.shape)}",
        )
    return array


def _strokes(points: np.ndarray) -> list[np.ndarray]:
    """Cuts a line after each pen-up; what follows the last one is a stroke too."""
    return np.split(points[:, :3], np.flatnonzero(points[:, 3]) + 1)


def write_npz(path: Path, lines: Lines) -> None:
    """Writes lines in the form that `read_npz` reads; `path` never holds half a file.

    Args:
        path: where to; its folder must exist.
        lines: what to write; each split has some.

    Raises:
        OSError: if it cannot be written.
    """
    arrays: dict[str, Any] = {}
    for split, members in lines.splits.items():
        arrays[f"{split}_points"] = np.concatenate([line.points for line in members])
        arrays[f"{split}_lengths"] = np.array([len(line.points) for line in members], np.int64)
        arrays[f"{split}_texts"] = np.array([line.text for line in members])

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            np.savez_compressed(file, **arrays)

    write_file(path, write)
