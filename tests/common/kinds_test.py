"""The kinds of what a file says."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import pytest

from common import kinds


@dataclasses.dataclass
class Point:
    x: float
    loss: float | None = None


@dataclasses.dataclass
class Curve:
    name: str = "a"
    count: int = 1
    done: bool = False
    start: Point = dataclasses.field(default_factory=lambda: Point(0.5))
    points: tuple[Point, ...] = ()
    words: list[str] = dataclasses.field(default_factory=list)
    values: Mapping[str, int | float] = dataclasses.field(default_factory=dict)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"start": Point(3, 2)},
        {"points": (Point(1.5), Point(2, 3.5))},
        {"words": ["b", ""]},
        {"values": {"units": 3, "rate": 0.5}},
    ],
)
def test_what_is_declared_passes(changes: dict[str, Any]) -> None:
    kinds.check([Curve(**changes), Curve()])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": 3}, "name: expected str. Received: 3"),
        ({"name": None}, "name: expected str. Received: None"),
        ({"count": 1.0}, "count: expected int. Received: 1.0"),
        ({"count": True}, "count: expected int. Received: True"),
        ({"done": 0}, "done: expected bool. Received: 0"),
        ({"start": {"x": 1}}, "start: expected Point"),
        ({"start": Point("1")}, "x: expected float. Received: '1'"),
        ({"start": Point(math.nan)}, "x: expected a finite number"),
        ({"start": Point(1, math.inf)}, "loss: expected a finite number"),
        ({"points": (Point(1), Point(10**400))}, "x: expected a finite number"),
        ({"points": [Point(1)]}, "points: expected tuple"),
        ({"words": "words"}, "words: expected list. Received: 'words'"),
        ({"words": ["b", 1]}, "words: expected str. Received: 1"),
        ({"values": [1]}, "values: expected dict"),
        ({"values": {"units": "3"}}, "values: expected float or int. Received: '3'"),
        ({"values": {3: 3}}, "values: expected str. Received: 3"),
        ({"name": ["x" * 1000] * 1000}, "name: expected str. Received: ["),
    ],
)
def test_anything_else_is_named_in_a_short_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError) as caught:
        kinds.check([Curve(), Curve(**changes)])
    assert str(caught.value).startswith(message)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 300
