"""Reads `.mat` files (MATLAB 5) of piano rolls.

`scipy.io.loadmat` trusts what a file says about itself: a changed byte can end the process or fill
the memory. The few kinds of content that piano rolls need are read here, and every size is checked.
Format: MathWorks, "MAT-File Format", level 5.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from common.errors import unusable
from tuner.tasks.music.piano_rolls import PianoRolls, from_arrays

LARGEST_UNPACKED = 2**29

_VARIABLES = {"train": "traindata", "valid": "validdata", "test": "testdata"}
_HEADER_BYTES = 128
_MATRIX = 14
_COMPRESSED = 15
_CELL_CLASS = 1
_NUMERIC_CLASSES = range(6, 16)
_COMPLEX_FLAG = 0x800
_NUMBERS = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}

_Array: TypeAlias = npt.NDArray[Any]


def read_matlab(source: str, content: bytes) -> PianoRolls:
    """Reads piano rolls from a MATLAB 5 file, compressed or not, of either byte order.

    Args:
        source: the file, for the error text.
        content: cell arrays `traindata`, `validdata`, `testdata` (1 x N or N x 1) of matrices
            [T, 88] of zeros and ones, of any number type; column j is MIDI pitch 21 + j. Other
            variables are left unread.

    Raises:
        InputError: if a variable is missing or has another shape or value.
        ValueError: if it is no such file or damaged, or unpacks to more than 512 MiB.
    """
    variables = dict(_variables(content))
    splits = {}
    for split, variable in _VARIABLES.items():
        if variable not in variables:
            raise unusable(
                source,
                f"expected the variables {', '.join(_VARIABLES.values())}. Received: no {variable}",
            )
        cells = variables[variable]
        if not isinstance(cells, list):
            raise unusable(
                source,
                f"{variable}: expected a cell array 1 x N of piano rolls. "
                f"Received: {cells.dtype.name} {list(cells.shape)}",
            )
        splits[split] = cells
    return from_arrays(source, splits)


def _variables(content: bytes) -> Iterator[tuple[str, _Array | list[_Array]]]:
    """Yields name and value of the wanted variables.

    Raises:
        ValueError: if a size does not fit.
    """
    if len(content) < _HEADER_BYTES:
        raise ValueError(f"{len(content)} bytes")
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128], "")
    if order and struct.unpack(f"{order}H", content[124:126])[0] == 0x200:
        raise ValueError("a file of MATLAB 7.3; save it with -v7")
    if not order:
        raise ValueError("no header of MATLAB 5")
    room = LARGEST_UNPACKED
    for kind, payload in _elements(content[_HEADER_BYTES:], order):
        if kind == _COMPRESSED:
            unpacker = zlib.decompressobj()
            unpacked = unpacker.decompress(payload, room)
            if not unpacker.eof:
                # Either the stream is cut short or there is more of it than there is room.
                raise ValueError("compressed data that does not end")
            ((kind, payload),) = _elements(unpacked, order)
        room -= len(payload)
        if room <= 0:
            raise ValueError(f"more than {LARGEST_UNPACKED:,} bytes when unpacked")
        if kind != _MATRIX:
            raise ValueError("something other than a variable")
        name, matrix_class, shape, parts = _matrix(payload, order)
        if name not in _VARIABLES.values():
            continue
        if matrix_class != _CELL_CLASS:
            yield name, _numbers(matrix_class, shape, parts, order)
            continue
        cells = []
        for cell_kind, cell in parts:
            if cell_kind != _MATRIX:
                raise ValueError(f"{name} with a cell that is no matrix")
            _, cell_class, cell_shape, cell_parts = _matrix(cell, order)
            cells.append(_numbers(cell_class, cell_shape, cell_parts, order))
        if math.prod(shape) != len(cells) or sum(size > 1 for size in shape) > 1:
            raise ValueError(f"{name} {list(shape)} of {len(cells):,} cells")
        yield name, cells


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yields kind and content of the data elements that follow each other.

    Raises:
        ValueError: if one says that it is longer than what is there.
    """
    position = 0
    while position < len(content):
        if position + 8 > len(content):
            raise ValueError("an element cut short")
        kind, size = struct.unpack_from(f"{order}II", content, position)
        start = position + 8
        if kind >> 16:
            # Up to four bytes of content share the eight bytes of their tag.
            kind, size, start = kind & 0xFFFF, kind >> 16, position + 4
            if size > 4:
                raise ValueError("a short element of more than four bytes")
            position += 8
        else:
            # Content is filled up to a multiple of eight bytes, except compressed content.
            position = start + size + (0 if kind == _COMPRESSED else -size % 8)
        if start + size > len(content):
            raise ValueError(
                f"an element of {size:,} bytes where {len(content) - start:,} are left"
            )
        yield kind, content[start : start + size]


def _matrix(
    payload: bytes, order: str
) -> tuple[str, int, tuple[int, ...], Iterator[tuple[int, bytes]]]:
    """Reads the head of a matrix.

    Returns:
        Its name, class and shape, and the elements that follow.

    Raises:
        ValueError: if the head is incomplete.
    """
    if not payload:
        return "", _NUMERIC_CLASSES[0], (0, 0), iter(())  # An empty matrix may be written so.
    parts = _elements(payload, order)
    flags, dimensions, name = (next(parts, (0, b""))[1] for _ in range(3))
    if len(flags) != 8 or len(dimensions) < 8 or len(dimensions) % 4:
        raise ValueError("a variable without size")
    (word,) = struct.unpack(f"{order}I", flags[:4])
    shape = struct.unpack(f"{order}{len(dimensions) // 4}i", dimensions)
    if min(shape) < 0:
        raise ValueError("a negative size")
    matrix_class = word & 0xFF
    if word & _COMPLEX_FLAG:
        raise ValueError("complex numbers")
    return name.decode("latin1"), matrix_class, shape, parts


def _numbers(
    matrix_class: int, shape: tuple[int, ...], parts: Iterator[tuple[int, bytes]], order: str
) -> _Array:
    if matrix_class not in _NUMERIC_CLASSES:
        raise ValueError("a matrix of something other than numbers")
    # MATLAB stores small whole numbers in a smaller type than the matrix has.
    kind, content = next(parts, (2, b""))
    if kind not in _NUMBERS:
        raise ValueError("numbers of an unknown type")
    values: _Array = np.frombuffer(content, np.dtype(order + _NUMBERS[kind]))
    if math.prod(shape) != len(values):
        raise ValueError(f"a matrix {list(shape)} of {len(values):,} numbers")
    return values.reshape(shape, order="F")
