"""Sequences of different lengths in `.npz` files: one behind the other, and the length of each."""

from __future__ import annotations

import dataclasses
import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from common import files
from common.errors import DataError
from tuner.tasks.sequences import cut


@dataclasses.dataclass(frozen=True)
class RaggedNpz:
    """The arrays of a file; each is read, and may turn out to be damaged, when it is asked for.

    Attributes:
        source: the file, for the error text.
        arrays: by name.
    """

    source: str
    arrays: Mapping[str, np.ndarray]

    def array(self, name: str, kinds: str, expected: str) -> np.ndarray:
        """Takes an array.

        Args:
            name: its name.
            kinds: the letters of NumPy's `dtype.kind` that it may have.
            expected: what it should be, with its axes in brackets, numbers for those of known
                size: `numbers [points, 4]`; a single value without brackets.

        Raises:
            DataError: if it is missing, or of another kind or shape.
        """
        if name not in self.arrays:
            present = ", ".join(self.arrays) or "none"
            raise DataError(self.source, f"expected an array {name!r}. Received: {present}")
        array = self.arrays[name]
        axes = re.findall(r"(\w+)(?=[,\]])", expected)
        fits = array.dtype.kind in kinds and array.ndim == len(axes)
        sizes = [size for axis, size in zip(axes, array.shape, strict=fits) if axis.isdigit()]
        if not fits or sizes != [int(axis) for axis in axes if axis.isdigit()]:
            received = f"{array.dtype.name} {list(array.shape)}"
            raise DataError(self.source, f"{name}: expected {expected}. Received: {received}")
        return array

    def sequences(self, name: str, kinds: str, expected: str, lengths: str) -> list[np.ndarray]:
        """Takes an array and cuts it into sequences, views of it.

        Args:
            name: as for `array`.
            kinds: likewise.
            expected: likewise.
            lengths: name of the array of their lengths.

        Raises:
            DataError: see `array`; and if the lengths do not add up to the rows of the array.
        """
        array = self.array(name, kinds, expected)
        numbers: list[int] = self.array(lengths, "iu", "integers [sequences]").tolist()
        if sum(numbers) != len(array) or min(numbers, default=0) < 0:
            raise DataError(
                self.source,
                f"{lengths}: expected lengths that add up to the {len(array):,} rows of {name}. "
                f"Received: {sum(numbers):,}, the shortest {min(numbers, default=0)}",
            )
        return cut(array, numbers)


def read(source: str, content: bytes, largest: int) -> RaggedNpz:
    """Opens a file.

    Args:
        source: the file, for the error text.
        content: what is in it.
        largest: most bytes when unpacked.

    Raises:
        DataError: if it would unpack to more.
        Exception: whatever `zipfile` and NumPy raise for a damaged file.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        # `zipfile` reads no more of a member than its stated size, so the sizes can be relied on.
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > largest:
        raise DataError(
            source, f"expected at most {largest:,} bytes when unpacked. Received: {unpacked:,}"
        )
    # Pickles would run whatever code is in them.
    return RaggedNpz(source, np.load(io.BytesIO(content), allow_pickle=False))


def write(path: Path, arrays: Mapping[str, Any]) -> None:
    """Writes arrays, compressed; `path` never holds half a file.

    Args:
        path: where to, a name that ends in `.npz`; its folder must exist.
        arrays: by name.

    Raises:
        OSError: if it cannot be written.
    """

    def fill(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)

    files.write_file(path, fill)
