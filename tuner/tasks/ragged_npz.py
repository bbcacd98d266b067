"""Sequences of different lengths in `.npz` files: concatenated, with the length of each."""

from __future__ import annotations

import dataclasses
import io
import itertools
import math
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from common import files
from common.errors import DataError
from tuner.tasks.sequences import cut

_MOST_SEQUENCES = 2**24
"""Each is an object, and a small file could hold the lengths of a billion empty ones."""

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
"""Functions that read the header of an array, by the version of the format."""


@dataclasses.dataclass(frozen=True)
class RaggedNpz:
    """The arrays of a file; each is read, and may turn out to be damaged, when it is accessed.

    Attributes:
        source: the file, for error messages.
        arrays: arrays by name.
    """

    source: str
    arrays: Mapping[str, np.ndarray]

    def array(self, name: str, kinds: str, expected: str) -> np.ndarray:
        """Returns an array of an expected kind and shape.

        Args:
            name: name of the array.
            kinds: letters of NumPy's `dtype.kind` that are allowed.
            expected: description with the axes in brackets, as numbers if their size is known:
                `numbers [points, 4]`; for a single value, without brackets.

        Raises:
            DataError: if the array is missing, or of another kind or shape.
        """
        if name not in self.arrays:
            names = (present[:40] for present in itertools.islice(self.arrays, 20))
            present = ", ".join(names) or "none"
            raise DataError(self.source, f"expected an array {name!r}. Received: {present}")
        array = self.arrays[name]
        axes = re.findall(r"(\w+)(?=[,\]])", expected)
        fits = array.dtype.kind in kinds and array.ndim == len(axes)
        sizes = [size for axis, size in zip(axes, array.shape, strict=fits) if axis.isdigit()]
        if not fits or sizes != [int(axis) for axis in axes if axis.isdigit()]:
            # NumPy's names of string types contain their size.
            kind = array.dtype.name.rstrip("0123456789" if array.dtype.kind in "SU" else "")
            received = f"{kind} {list(array.shape)}"
            raise DataError(self.source, f"{name}: expected {expected}. Received: {received}")
        return array

    def sequences(self, name: str, kinds: str, expected: str, lengths: str) -> list[np.ndarray]:
        """Returns an array cut into sequences, which are views of it.

        Args:
            name: see `array`.
            kinds: see `array`.
            expected: see `array`.
            lengths: name of the array with the lengths of the sequences.

        Raises:
            DataError: as `array` does, and if the lengths do not add up to the array's rows.
        """
        array = self.array(name, kinds, expected)
        counts = self.array(lengths, "iu", "integers [sequences]")
        if len(counts) > _MOST_SEQUENCES:
            raise DataError(
                self.source,
                f"{lengths}: expected at most {_MOST_SEQUENCES:,}. Received: {len(counts):,}",
            )
        numbers: list[int] = counts.tolist()
        if sum(numbers) != len(array) or min(numbers, default=0) < 0:
            raise DataError(
                self.source,
                f"{lengths}: expected lengths that add up to the {len(array):,} rows of {name}. "
                f"Received: {sum(numbers):,}, the shortest {min(numbers, default=0)}",
            )
        return cut(array, numbers)


class _Members(Mapping[str, np.ndarray]):
    """The arrays in a zip file by name; each is unpacked when it is accessed."""

    def __init__(self, source: str, archive: zipfile.ZipFile) -> None:
        self._source, self._archive = source, archive
        self._members = {
            member.filename.removesuffix(".npy"): member for member in archive.infolist()
        }

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __getitem__(self, name: str) -> np.ndarray:
        member = self._members[name]
        if obstacle := self._obstacle(member):
            raise DataError(
                self._source,
                f"{name[:40]}: expected an array of numbers or strings. Received: {obstacle}",
            )
        with self._archive.open(member) as file:
            # Pickles would run whatever code is in them.
            array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
        return array

    def _obstacle(self, member: zipfile.ZipInfo) -> str:
        """Returns why a member cannot be unpacked, or an empty string; unpacks only its header."""
        if member.flag_bits & 1:
            return "an encrypted one"
        # Other methods unpack a whole part of a file at once, however large it is.
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return "one that is compressed in another way than NumPy does"
        try:
            with self._archive.open(member) as file:
                version = np.lib.format.read_magic(file)
                shape, _, dtype = _HEADERS[version](file)
                size = file.tell() + math.prod(shape) * dtype.itemsize
        except Exception:  # Damaged content makes the libraries raise almost anything.
            return "a damaged one, or something else"
        if dtype.hasobject:
            return "Python objects"
        # NumPy would allocate as much memory as the header says.
        return "" if size == member.file_size else "one that is longer or shorter than its shape"


def read(source: str, content: bytes, largest: int) -> RaggedNpz:
    """Opens a file.

    Args:
        source: the file, for error messages.
        content: content of the file.
        largest: largest allowed size when unpacked, in bytes.

    Raises:
        DataError: if it would unpack to more.
        Exception: whatever `zipfile` raises for a damaged file.
    """
    archive = zipfile.ZipFile(io.BytesIO(content))
    # `zipfile` reads no more of a member than its stated size, so the sizes can be relied on.
    unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > largest:
        raise DataError(
            source, f"expected at most {largest:,} bytes when unpacked. Received: {unpacked:,}"
        )
    return RaggedNpz(source, _Members(source, archive))


def write(path: Path, arrays: Mapping[str, Any]) -> None:
    """Writes arrays, compressed; `path` never holds half a file.

    Args:
        path: file to write, whose name ends in `.npz`; its folder must exist.
        arrays: arrays by name.

    Raises:
        OSError: if the file cannot be written.
    """

    def fill(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)

    files.write_file(path, fill)
