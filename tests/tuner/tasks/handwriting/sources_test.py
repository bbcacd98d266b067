from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import InputError
from tests.tuner.tasks.handwriting.made_up import some_lines
from tuner.tasks.handwriting import lines as lines_of
from tuner.tasks.handwriting import sources, synthetic
from tuner.tasks.handwriting.lines import Lines, write_npz


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A quick build in place of the real one; says how often it ran."""
    calls: list[int] = []

    def build() -> Lines:
        calls.append(1)
        return some_lines()

    monkeypatch.setattr(synthetic, "build", build)
    monkeypatch.setattr(sources, "SYNTHETIC_SHA256", some_lines().sha256())
    return calls


def test_auto_is_synthetic_and_says_so(builds: list[int]) -> None:
    lines, dataset = sources.find("auto")
    assert dataset.name == "synthetic handwriting (Hershey fonts)"
    assert dataset.sha256 == lines.sha256() == some_lines().sha256()
    assert "3 + 2 + 1 lines of 14 + 7 + 5 characters" in dataset.detail
    assert sources.find("synthetic")[1] == dataset


def test_builds_once(builds: list[int], cache_folder: Path) -> None:
    _, first = sources.find("auto")
    lines, second = sources.find("auto")
    assert len(builds) == 1
    assert (first.name, first.sha256) == (second.name, second.sha256)
    assert lines.sha256() == some_lines().sha256()
    assert [entry.name for entry in cache_folder.iterdir()] == [sources.SYNTHETIC_FILE]


@pytest.mark.parametrize("damage", ["truncated", "another"])
def test_a_damaged_kept_file_is_built_again(
    builds: list[int], cache_folder: Path, damage: str
) -> None:
    sources.find("auto")
    path = cache_folder / sources.SYNTHETIC_FILE
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-99])
    else:
        write_npz(path, some_lines(seed=1))
    lines, _ = sources.find("auto")
    assert lines.sha256() == some_lines().sha256()
    assert len(builds) == 2
    sources.find("auto")
    assert len(builds) == 2


def test_the_kept_file_has_the_same_name_by_its_path(
    builds: list[int], cache_folder: Path
) -> None:
    _, auto = sources.find("auto")
    _, dataset = sources.find(str(cache_folder / sources.SYNTHETIC_FILE))
    assert dataset == auto


def test_own_lines_come_back_as_written_under_a_neutral_name(tmp_path: Path) -> None:
    write_npz(tmp_path / "mine.npz", some_lines())
    lines, dataset = sources.find(str(tmp_path / "mine.npz"))
    assert dataset.name == "handwriting of mine.npz"
    assert lines.sha256() == some_lines().sha256()


def arrays_of(lines: Lines, tmp_path: Path) -> dict[str, Any]:
    write_npz(tmp_path / "lines.npz", lines)
    with np.load(tmp_path / "lines.npz") as arrays:
        return dict(arrays)


def find(arrays: dict[str, Any], tmp_path: Path) -> Lines:
    file = io.BytesIO()
    np.savez(file, **arrays)
    (tmp_path / "own.npz").write_bytes(file.getvalue())
    return sources.find(str(tmp_path / "own.npz"))[0]


def test_own_lines_may_be_float64_start_anywhere_and_end_with_the_pen_down(tmp_path: Path) -> None:
    arrays = arrays_of(some_lines(), tmp_path)
    points = arrays["test_points"].astype(np.float64)
    points[:, :3] += 1e9
    points[-1, 3] = 0
    arrays["test_points"] = points
    lines = find(arrays, tmp_path)
    np.testing.assert_allclose(lines.test[0].points, some_lines().test[0].points, atol=1e-5)


def test_bad_lines_are_counted(tmp_path: Path) -> None:
    arrays = arrays_of(some_lines(), tmp_path)
    arrays["train_points"][2, 1] = np.nan
    arrays["train_texts"] = np.array(["one two", "100 %", "four."])
    assert find(arrays, tmp_path).skipped == {
        "lines with coordinates or times that are not finite": 1,
        "lines with characters outside the alphabet": 1,
    }


@pytest.mark.parametrize(
    ("name", "array", "problem"),
    [
        ("test_points", None, "expected an array 'test_points'"),
        ("test_points", np.zeros((5, 3)), "test_points: expected numbers [points, 4]"),
        ("test_points", np.zeros(5), "test_points: expected numbers [points, 4]"),
        ("test_lengths", np.array([3]), "that add up to"),
        ("test_texts", np.array([1]), "test_texts: expected strings [lines]"),
        ("test_texts", np.array(["a", "b"]), "expected 2 lengths, one a text"),
        ("test_texts", np.array([{"a": 1}], object), "test_texts: expected an array of numbers or"),
    ],
)
def test_wrong_arrays_are_named(tmp_path: Path, name: str, array: Any, problem: str) -> None:
    arrays = arrays_of(some_lines(), tmp_path)
    if array is None:
        del arrays[name]
    else:
        arrays[name] = array
    with pytest.raises(InputError) as caught:
        find(arrays, tmp_path)
    assert problem in str(caught.value)
    assert "own.npz" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_split_without_lines_is_refused(tmp_path: Path) -> None:
    arrays = arrays_of(some_lines(), tmp_path)
    arrays["test_texts"] = np.array(["%"])
    with pytest.raises(InputError, match=r"Received: \(3, 2, 0\); left out: 1 lines with char"):
        find(arrays, tmp_path)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ("", "Received: nothing"),
        ("no_such_file.npz", "expected a readable file"),
        ("no_such_file.zip", "expected a readable file"),
        ("no_such_thing", "expected auto, synthetic, uji"),
        ("no_such.tar.gz", "expected auto, synthetic, uji"),
        ("line\nbreak", "expected auto, synthetic, uji"),
        ("zero\0byte", "expected auto, synthetic, uji"),
    ],
)
def test_what_is_no_data_is_refused_in_one_line(data: str, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        sources.find(data)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_npz(tmp_path / "mine.npz", some_lines())
    monkeypatch.setattr(lines_of, "LARGEST_UNPACKED", 1000)
    with pytest.raises(InputError, match="at most 1,000 bytes when unpacked"):
        sources.find(str(tmp_path / "mine.npz"))
