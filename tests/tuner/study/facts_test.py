"""`study.json` that is not what this study wrote."""

from __future__ import annotations

import json
import pathlib
import random
from typing import Any

import pytest

from common.errors import InputError
from tests.tuner import tiny
from tuner.study import facts

CONFIG = tiny.config()


@pytest.fixture
def begun(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "study.json"
    facts.update(path, CONFIG, "run")
    return path


def refused(path: pathlib.Path) -> str:
    """The line with which a study of a file is refused, before the file is changed."""
    before = path.read_bytes()
    with pytest.raises(InputError) as caught:
        facts.update(path, CONFIG, "run")
    assert path.read_bytes() == before
    message = str(caught.value)
    assert message.startswith(str(path)) and message.isprintable() and len(message) < 500
    return message


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'["task"]',
        b"3",
        b"null",
        b'"task"',
        b"{}",
        b'{"a": {"b": [1, 2]}}',
        b"\xff\xfe{\x00}\x00",
        b"[" * 100_000,
        b"9" * 5_000,
        b"\x00" * 4096,
        b"trial,seed\n",
    ],
    ids=lambda content: content[:12].decode("latin-1"),
)
def test_another_file_is_one_line(begun: pathlib.Path, content: bytes) -> None:
    begun.write_bytes(content)
    assert "expected" in refused(begun)


WRONG = (None, 4, 1.5, True, "text", [], ["text"], {}, {"name": 1}, [[1, 2]])


@pytest.mark.parametrize(
    "name", ["task", "metric", "data", "protocol", "space", "seed", "versions"]
)
def test_a_fact_that_is_missing_or_of_another_kind_is_one_line(
    begun: pathlib.Path, name: str
) -> None:
    whole = json.loads(begun.read_text())
    begun.write_text(json.dumps({key: fact for key, fact in whole.items() if key != name}))
    assert name in refused(begun)
    # No library's version need be known.
    for wrong in (value for value in WRONG if (name, value) != ("versions", {})):
        begun.write_text(json.dumps(whole | {name: wrong}))
        assert name in refused(begun)


@pytest.mark.parametrize("name", ["sampler", "machines", "commands", "cells", "variants"])
def test_a_later_fact_of_another_kind_is_one_line(begun: pathlib.Path, name: str) -> None:
    whole = json.loads(begun.read_text())
    for wrong in (3, True, {"name": 1}, [[1, 2]]):
        begun.write_text(json.dumps(whole | {name: wrong}))
        assert name in refused(begun)


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("protocol", {"curriculum": True}, "curriculum"),
        ("protocol", {"max_epochs": "3"}, "max_epochs: expected int"),
        ("protocol", {"weight_std": float("nan")}, "weight_std: expected a finite number"),
        ("metric", {"direction": "max"}, "direction"),
        ("space", {"units": ["3", "8"]}, "space: expected float"),
        ("space", {"units": [8, 3]}, "units: expected LOW:HIGH with LOW at most HIGH"),
        ("space", {"units": [3.5, 8]}, "units: expected two whole numbers"),
        ("space", {"learning_rate": [0, 1]}, "learning_rate: expected LOW above 0"),
        ("space", {"layers": [1, 2]}, "layers"),
        ("versions", {"keras": 3.15}, "versions: expected str"),
        ("versions", {"numba": "0.1"}, 'begun with versions {"numba": "0.1"}'),
        ("versions", {"llvmlite": "0.1"}, 'begun with versions {"llvmlite": "0.1"}'),
        ("versions", {"jaxlib": "0.1"}, 'begun with versions {"jaxlib": "0.1"}'),
    ],
)
def test_a_part_of_a_fact_that_is_unknown_or_senseless_is_named(
    begun: pathlib.Path, name: str, changes: dict[str, Any], expected: str
) -> None:
    whole = json.loads(begun.read_text())
    begun.write_text(json.dumps(whole | {name: whole[name] | changes}))
    assert expected in refused(begun)


def test_a_study_that_was_begun_with_fewer_pinned_versions_goes_on(begun: pathlib.Path) -> None:
    whole = json.loads(begun.read_text())
    assert {"jaxlib", "numba", "llvmlite", "tensorflow"} <= whole["versions"].keys()
    for name in ("numba", "llvmlite"):
        del whole["versions"][name]
    begun.write_text(json.dumps(whole))
    facts.update(begun, CONFIG, "again")
    # Nobody knows what its first trials were trained with.
    assert json.loads(begun.read_text())["versions"] == whole["versions"]


def test_any_damaged_byte_is_one_line_or_does_no_harm(begun: pathlib.Path) -> None:
    content = begun.read_bytes()
    chance = random.Random(1)
    outcomes = set()
    for _ in range(300):
        damaged = bytearray(content)
        for _ in range(chance.randint(1, 3)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        begun.write_bytes(damaged)
        try:
            facts.update(begun, CONFIG, "run")
            outcomes.add("goes on")
        except InputError as error:
            assert str(error).isprintable()
            outcomes.add("refused")
    assert outcomes == {"goes on", "refused"}
