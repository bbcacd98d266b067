"""Reads and writes piano rolls as `.npz`: the project's own form, used for its cache."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import unusable
from common.files import write_file
from common.media.pitches import FEWEST_FRAMES
from tuner.tasks.content import check_unpacked
from tuner.tasks.music.piano_rolls import SPLITS, PianoRolls, from_arrays

LARGEST_UNPACKED = 2**29


def read_npz(source: str, content: bytes) -> PianoRolls:
    """Reads piano rolls from `.npz`.

    Args:
        source: the file, for the error text.
        content: for each of `train`, `valid`, `test` an array of that name, uint8 [frames, 88], all
            its sequences one after the other, and an array `<name>_lengths`, integer [sequences],
            the frames of each.

    Raises:
        InputError: if an array is missing or has another shape, type or value, or if the file would
            unpack to more than 512 MiB.
        Exception: whatever `zipfile` and NumPy raise for a damaged file.
    """
    check_unpacked(source, content, LARGEST_UNPACKED)
    splits = {}
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        for split in SPLITS:
            for name in (split, f"{split}_lengths"):
                if name not in arrays:
                    raise unusable(source, f"expected an array {name!r}. Received: none")
            frames, lengths = arrays[split], arrays[f"{split}_lengths"]
            if frames.dtype != np.uint8 or frames.ndim != 2:
                raise unusable(
                    source,
                    f"{split}: expected uint8 [frames, 88]. "
                    f"Received: {frames.dtype.name} {list(frames.shape)}",
                )
            if lengths.dtype.kind not in "iu" or lengths.ndim != 1:
                raise unusable(
                    source,
                    f"{split}_lengths: expected integers [sequences]. "
                    f"Received: {lengths.dtype.name} {list(lengths.shape)}",
                )
            ends = list(itertools.accumulate((int(length) for length in lengths), initial=0))
            if ends[-1] != len(frames) or min(lengths, default=0) < 0:
                raise unusable(
                    source,
                    f"{split}_lengths: expected lengths from {FEWEST_FRAMES} that add up to the "
                    f"{len(frames):,} frames of {split}. "
                    f"Received: {ends[-1]:,}, the shortest {min(lengths, default=0)}",
                )
            splits[split] = [frames[start:end] for start, end in itertools.pairwise(ends)]
    return from_arrays(source, splits)


def write_npz(path: Path, rolls: PianoRolls) -> None:
    """Writes piano rolls in the form that `read_npz` reads; `path` never holds half a file.

    Args:
        path: where to; its folder must exist.
        rolls: what to write.

    Raises:
        OSError: if it cannot be written.
    """
    arrays: dict[str, Any] = {}
    for name, split in rolls.splits.items():
        arrays[name] = np.concatenate(split)
        arrays[f"{name}_lengths"] = np.array([len(roll) for roll in split], np.int64)

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            np.savez_compressed(file, **arrays)

    write_file(path, write)
