from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import DataError
from tuner.tasks import files, ragged_npz
from tuner.tasks.ragged_npz import RaggedNpz

GOOD: dict[str, Any] = {
    "x": np.arange(10.0).reshape(5, 2),
    "n": np.array([2, 0, 3]),
    "other": np.array([None]),
}


def opened(arrays: dict[str, Any], largest: int = 2**20) -> RaggedNpz:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return ragged_npz.read("folder/x.npz", file.getvalue(), largest)


def sequences(archive: RaggedNpz) -> list[np.ndarray]:
    return archive.sequences("x", "fiu", "numbers [frames, inputs]", "n")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    ragged_npz.write(tmp_path / "x.npz", {"x": GOOD["x"], "n": GOOD["n"]})
    archive = ragged_npz.read("x", (tmp_path / "x.npz").read_bytes(), 2**20)
    found = sequences(archive)
    assert [one.tolist() for one in found] == [[[0, 1], [2, 3]], [], [[4, 5], [6, 7], [8, 9]]]
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"x": None}, "expected an array 'x'. Received: n, other"),
        ({"n": None}, "expected an array 'n'. Received: x, other"),
        ({"x": np.zeros(5)}, "x: expected numbers [frames, inputs]. Received: float64 [5]"),
        ({"x": np.full((5, 2), "a")}, "x: expected numbers [frames, inputs]. Received: str"),
        ({"n": np.array([2.0, 3.0])}, "n: expected integers [sequences]. Received: float64 [2]"),
        ({"n": np.array(5)}, "n: expected integers [sequences]. Received: int64 []"),
        (
            {"n": np.array([2, 2])},
            "n: expected lengths that add up to the 5 rows of x. Received: 4, the shortest 2",
        ),
        ({"n": np.array([6, -1])}, "Received: 5, the shortest -1"),
        ({"n": np.array([2**63, 2**63 + 5], np.uint64)}, "Received: 18,446,744,073,709,551,621"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], expected: str) -> None:
    arrays = {name: array for name, array in (GOOD | change).items() if array is not None}
    with pytest.raises(DataError) as caught:
        sequences(opened(arrays))
    assert str(caught.value).startswith("--data: folder/x.npz: ")
    assert expected in str(caught.value)


def test_a_file_that_would_unpack_to_gigabytes_is_refused() -> None:
    with pytest.raises(DataError, match="at most 100,000 bytes when unpacked. Received: 1"):
        opened(GOOD | {"bomb": np.zeros(1_000_000, np.uint8)}, largest=100_000)


def read_all(source: str, content: bytes) -> list[np.ndarray]:
    archive = ragged_npz.read(source, content, 2**20)
    return [archive.arrays[name] for name in archive.arrays]


def test_damaged_files_are_one_line() -> None:
    file = io.BytesIO()
    np.savez_compressed(file, x=np.arange(50), y=np.eye(3), head=np.array("softmax"))
    content = file.getvalue()
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(1500):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), size=rng.integers(1, 4)):
            damaged[place] ^= int(rng.integers(1, 256))
        try:
            files.parse("x.npz", bytes(damaged), "an .npz", read_all)
        except DataError as error:
            refused += 1
            assert str(error).startswith("--data: x.npz: ") and str(error).isprintable()
    assert refused > 1000


def test_pickles_other_files_and_single_arrays_are_refused() -> None:
    pickled = io.BytesIO()
    np.savez(pickled, x=np.array([{}], dtype=object))
    single = io.BytesIO()
    np.save(single, np.zeros(3))
    encrypted = io.BytesIO()
    with zipfile.ZipFile(encrypted, "w") as archive:
        archive.writestr("x.npy", single.getvalue())
    # The flag of encryption, in the local header and in the directory.
    secret = bytearray(encrypted.getvalue())
    secret[6] |= 1
    secret[secret.index(b"PK\x01\x02") + 8] |= 1
    for content in (pickled.getvalue(), single.getvalue(), bytes(secret), b"PK\x03\x04", b"hello"):
        with pytest.raises(DataError, match="x.npz: expected an .npz file. Received: damaged or"):
            files.parse("x.npz", content, "an .npz", read_all)
