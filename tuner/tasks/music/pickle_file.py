"""Reads the pickle files of Boulanger-Lewandowski et al. (2012), and runs nothing that is in them.

A pickle is a program. The unpickler here knows plain containers, numbers, and stand-ins for the few
constructors by which NumPy writes arrays and scalars; any other name in the file is refused before
it is imported. The stand-ins are Python: NumPy's own constructors never see unchecked input.
"""

from __future__ import annotations

import collections
import io
import math
import pickle
import pickletools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from common.errors import unusable
from tuner.tasks.music.piano_rolls import PianoRolls
from tuner.tasks.music.pitch_lists import from_pitch_lists

_KNOWN_DTYPE = re.compile(r"[<>=|]?([iu][1248]|f[248]|b1|O8?)")
_LARGEST_SET = 1_000


class _Refused(Exception):
    """A pickle wants something other than containers and numbers."""


def read_pickle(source: str, content: bytes) -> PianoRolls:
    """Reads piano rolls from a pickle, of Python 2 or 3, any protocol.

    Args:
        source: the file, for the error text.
        content: a pickled dictionary `train`, `valid`, `test` of nested lists as
            `pitch_lists.from_pitch_lists` takes them; pitches may be NumPy integers, lists NumPy
            arrays.

    Raises:
        InputError: if it names anything else than containers and numbers, or holds something else.
        Exception: whatever `pickle` raises for a damaged file.

    Example:
        >>> piece = [[60, 64], [62]]
        >>> content = pickle.dumps({"train": [piece], "valid": [piece], "test": [piece]})
        >>> read_pickle("tiny.pickle", content).counts
        ((1, 2), (1, 2), (1, 2))
    """
    _check_memo(content)
    try:
        lists = _RestrictedUnpickler(io.BytesIO(content), encoding="latin1").load()
    except _Refused as refusal:
        raise unusable(
            source,
            "expected a pickle of lists and numbers only; it was not executed. "
            f"Received: a pickle that asks for {refusal}",
        ) from None
    return from_pitch_lists(source, lists)


def _check_memo(content: bytes) -> None:
    """Reads the instructions without following them.

    The unpickler reserves memory for the largest memo number that a file names, so that a single
    changed byte could ask for many gigabytes.

    Raises:
        ValueError: if a memo number is larger than the file, or the file is cut short.
    """
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > len(content):
            raise ValueError(f"memo number {argument} in a file of {len(content)} bytes")


class _Constructor:
    """A callable that a pickle may call but not change."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *arguments: Any) -> Any:
        return self._make(*arguments)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("a constructor has no state")


class _Dtype:
    """Stands in for `numpy.dtype`: a number type and, by its state, a byte order."""

    def __init__(self, name: str) -> None:
        if not _KNOWN_DTYPE.fullmatch(name):
            raise pickle.UnpicklingError(f"an array of {name[:20]!r}")
        self.numpy = np.dtype(name)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        byte_order = state[1]
        if byte_order not in ("<", ">", "=", "|"):
            raise pickle.UnpicklingError("an unknown byte order")
        self.numpy = self.numpy.newbyteorder(byte_order)


class _Array(list[Any]):
    """Stands in for `numpy.ndarray`: its content as nested lists, filled in by its state."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, is_fortran, raw = state
        if dtype.numpy.hasobject:
            if len(shape) != 1 or shape[0] != len(raw):
                raise pickle.UnpicklingError("an array of objects that is not one-dimensional")
            self[:] = list(raw)
        else:
            self[:] = _numbers(raw, dtype, shape, "F" if is_fortran else "C")


def _numbers(raw: Any, dtype: _Dtype, shape: tuple[int, ...], order: Any) -> list[Any]:
    content = _as_bytes(raw)
    if not shape or dtype.numpy.hasobject or any(size < 0 for size in shape):
        raise pickle.UnpicklingError("an array of unexpected shape or type")
    if math.prod(shape) * dtype.numpy.itemsize != len(content):
        raise pickle.UnpicklingError(f"an array {shape} of {len(content)} bytes")
    values: npt.NDArray[Any] = np.frombuffer(content, dtype.numpy)
    nested = values.reshape(shape, order="F" if order == "F" else "C").tolist()
    assert isinstance(nested, list)
    return nested


def _scalar(dtype: _Dtype, raw: Any) -> int | float | bool:
    content = _as_bytes(raw)
    if dtype.numpy.hasobject or len(content) != dtype.numpy.itemsize:
        raise pickle.UnpicklingError("a number of unexpected size")
    value: int | float | bool = np.frombuffer(content, dtype.numpy)[0].item()
    return value


def _as_bytes(raw: Any) -> bytes:
    # Python 2 wrote bytes as `str`, which arrives here as text decoded by latin1.
    if isinstance(raw, str):
        return raw.encode("latin1")
    if isinstance(raw, bytes | bytearray):
        return bytes(raw)
    raise pickle.UnpicklingError("an array without bytes")


def _encode(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("bytes in an unknown encoding")
    return text.encode("latin1")


def _set(items: list[Any] | tuple[Any, ...] = ()) -> frozenset[Any]:
    if len(items) > _LARGEST_SET:
        raise pickle.UnpicklingError(f"a set of more than {_LARGEST_SET} numbers")
    return frozenset(items)


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _Constructor(lambda *_: _Array()),
    ("numpy", "dtype"): _Constructor(lambda name, *_: _Dtype(name)),
    # How Python 3 writes bytes for protocols of Python 2.
    ("_codecs", "encode"): _Constructor(_encode),
    ("collections", "OrderedDict"): _Constructor(collections.OrderedDict),
}
for _package in ("numpy.core", "numpy._core"):
    _ALLOWED |= {
        (f"{_package}.multiarray", "_reconstruct"): _Constructor(lambda *_: _Array()),
        (f"{_package}.multiarray", "scalar"): _Constructor(_scalar),
        (f"{_package}.numeric", "_frombuffer"): _Constructor(_numbers),
    }
for _package in ("builtins", "__builtin__"):
    _ALLOWED |= {
        (_package, "set"): _Constructor(_set),
        (_package, "frozenset"): _Constructor(_set),
        (_package, "bytearray"): _Constructor(lambda raw=b"", *_: bytearray(_as_bytes(raw))),
        (_package, "bytes"): _Constructor(lambda raw=b"": _as_bytes(raw)),
    }


class _RestrictedUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise _Refused(f"{module[:60]}.{name[:60]}") from None
