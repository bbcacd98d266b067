"""Checks that values from a file have the types that a dataclass declares."""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
import reprlib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def check(values: Sequence[Any]) -> None:
    """Checks the fields of dataclasses created from JSON: their types, and that numbers are finite.

    Fields may be declared as int, float, bool, str, None, another dataclass, unions of these,
    tuples `tuple[kind, ...]`, lists, and mappings of strings to them.

    Args:
        values: instances of one dataclass.

    Raises:
        TypeError: if a field holds anything else; the one-line message names it.

    Example:
        >>> @dataclasses.dataclass
        ... class Point:
        ...     x: float
        ...     name: str | None = None
        >>> check([Point(1), Point(2.5, "here")])
        >>> check([Point("1")])
        Traceback (most recent call last):
        TypeError: x: expected float. Received: '1'
    """
    if not values:
        return
    declared: Any = type(values[0])
    for name, kind in _fields(declared):
        _check(name, kind, list(map(operator.attrgetter(name), values)))


@functools.cache
def _fields(declared: Any) -> tuple[tuple[str, Any], ...]:
    hints = typing.get_type_hints(declared)
    return tuple((field.name, hints[field.name]) for field in dataclasses.fields(declared))


def _check(name: str, kind: Any, values: list[Any]) -> None:
    """Checks all values of one field at once: a study has hundreds of thousands of epochs."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (tuple, list):
        _require(name, values, {origin})
        _check(name, parts[0], [part for value in values for part in value])
    elif origin is Mapping:
        _require(name, values, {dict})
        _check(name, parts[0], [key for value in values for key in value])
        _check(name, parts[1], [part for value in values for part in value.values()])
    elif dataclasses.is_dataclass(kind):
        _require(name, values, {kind})
        check(values)
    else:
        kinds = parts if origin is types.UnionType else (kind,)
        _require(name, values, set(kinds))
        if not _all_finite([value for value in values if isinstance(value, int | float)]):
            raise TypeError(f"{name}: expected a finite number")


def _require(name: str, values: Iterable[Any], kinds: set[Any]) -> None:
    # JSON may write a whole float as an integer.
    allowed = kinds | {int} if float in kinds else kinds
    if not set(map(type, values)) <= allowed:
        wrong = next(value for value in values if type(value) not in allowed)
        expected = " or ".join(sorted(kind.__name__ for kind in kinds))
        raise TypeError(f"{name}: expected {expected}. Received: {reprlib.repr(wrong)}")


def _all_finite(numbers: Iterable[float]) -> bool:
    try:
        return all(map(math.isfinite, numbers))
    except OverflowError:
        # An integer that no float can represent.
        return False
