from __future__ import annotations

import io

import numpy as np
import pytest

from common.errors import InputError
from tuner.tasks.music import npz_file
from tuner.tasks.music.music_file import parse, read_file
from tuner.tasks.music.npz_file import write_npz

GOOD = {}
for _name in ("train", "valid", "test"):
    GOOD |= {_name: np.zeros((5, 88), np.uint8), f"{_name}_lengths": np.array([2, 3])}


def saved(arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def test_what_is_written_is_read(tiny, tmp_path):
    write_npz(tmp_path / "x.npz", tiny)

    rolls = read_file(tmp_path / "x.npz")

    assert rolls.sha256() == tiny.sha256()
    assert [len(roll) for roll in rolls.test] == [2, 5, 2]
    assert [path.name for path in tmp_path.glob("*")] == ["x.npz"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"train": np.zeros((5, 88))},
            "train: expected uint8 [frames, 88]. Received: float64 [5, 88]",
        ),
        (
            {"train": np.zeros(5, np.uint8)},
            "train: expected uint8 [frames, 88]. Received: uint8 [5]",
        ),
        ({"valid": np.zeros((5, 87), np.uint8)}, "valid[0]: expected an array [frames, 88]"),
        ({"valid": np.full((5, 88), 2, np.uint8)}, "valid[0], frame 0, column 0: expected 0 or 1"),
        (
            {"valid_lengths": np.array([2, 2])},
            "add up to the 5 frames of valid. Received: 4, the shortest 2",
        ),
        ({"valid_lengths": np.array([6, -1])}, "Received: 5, the shortest -1"),
        ({"valid_lengths": np.array([2**63, 2**63 + 5], np.uint64)}, "Received: 18,446,744"),
        ({"valid_lengths": np.array([1, 4])}, "valid[0]: expected at least 2 frames. Received: 1"),
        (
            {"test_lengths": np.array([2.0, 3.0])},
            "test_lengths: expected integers [sequences]. Received: float64",
        ),
        ({"test_lengths": np.array(5)}, "Received: int64 []"),
        (
            {"test": np.zeros((0, 88), np.uint8), "test_lengths": np.zeros(0, int)},
            "test: expected at least one",
        ),
        ({"train": np.array([None])}, "expected an .npz file. Received: damaged or other content"),
    ],
)
def test_wrong_content_is_refused(change, expected):
    with pytest.raises(InputError) as caught:
        parse("folder/x.npz", saved(GOOD | change))

    assert "folder/x.npz: " in str(caught.value)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", sorted(GOOD))
def test_missing_array_is_named(missing):
    with pytest.raises(InputError, match=f"expected an array '{missing}'. Received: none"):
        parse("x.npz", saved({name: GOOD[name] for name in GOOD if name != missing}))


def test_a_file_that_would_unpack_to_gigabytes_is_refused(monkeypatch):
    monkeypatch.setattr(npz_file, "LARGEST_UNPACKED", 100_000)
    content = saved(GOOD | {"bomb": np.zeros(1_000_000, np.uint8)})
    assert len(content) < 10_000

    with pytest.raises(
        InputError, match="expected at most 100,000 bytes when unpacked. Received: 1"
    ):
        parse("x.npz", content)


def test_a_single_array_is_no_archive():
    file = io.BytesIO()
    np.save(file, GOOD["train"])

    with pytest.raises(InputError, match=r"File is not a zip file"):
        parse("x.npz", file.getvalue())
