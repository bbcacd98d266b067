from __future__ import annotations

import io
import re
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
    for _ in range(300):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), size=rng.integers(1, 4)):
            damaged[place] ^= int(rng.integers(1, 256))
        try:
            files.parse("x.npz", bytes(damaged), "an .npz", read_all)
        except DataError as error:
            refused += 1
            assert str(error).startswith("--data: x.npz: ") and str(error).isprintable()
    assert refused > 200


def zipped(content: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytearray:
    """A zip file of one member, `x.npy`."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("x.npy", content)
    return bytearray(file.getvalue())


def npy(array: np.ndarray, **change: Any) -> bytes:
    """An array as NumPy saves it, with something else in its head."""
    file = io.BytesIO()
    head = np.lib.format.header_data_from_array_1_0(array) | change
    np.lib.format.write_array_header_1_0(file, head)  # type: ignore[arg-type]
    return file.getvalue() + array.tobytes()


def encrypted() -> bytearray:
    """The flag of encryption is in the local header and in the directory."""
    content = zipped(npy(np.zeros(3)))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return content


def pickled() -> bytes:
    file = io.BytesIO()
    np.savez(file, x=np.array([{}], dtype=object))
    return file.getvalue()


THREE = np.zeros(3)


@pytest.mark.parametrize(
    ("content", "received"),
    [
        (pickled(), "Python objects"),
        (zipped(npy(THREE, descr="|O")), "Python objects"),
        (zipped(npy(THREE, descr=[("a", "<f8"), ("b", "|O")])), "Python objects"),
        (encrypted(), "an encrypted one"),
        (zipped(npy(THREE), zipfile.ZIP_BZIP2), "one that is compressed in another way than NumPy"),
        (zipped(npy(THREE), zipfile.ZIP_LZMA), "one that is compressed in another way than NumPy"),
        (zipped(npy(THREE, shape=(2**40,))), "one that is longer or shorter than its shape"),
        (zipped(npy(THREE, shape=(2**62, 2**62))), "one that is longer or shorter than its shape"),
        (zipped(npy(THREE, shape=(-3,))), "one that is longer or shorter than its shape"),
        (zipped(npy(THREE, descr="|V2000000000")), "one that is longer or shorter than its shape"),
        (zipped(npy(THREE)[:-1]), "one that is longer or shorter than its shape"),
        (zipped(npy(THREE) + b"x"), "one that is longer or shorter than its shape"),
        (zipped(npy(THREE, descr="(" * 500)), "a damaged one, or something else"),
        (zipped(npy(THREE, descr="<f8" + " " * 20_000)), "a damaged one, or something else"),
        (zipped(b"\x93NUMPY\x03\x00" + npy(THREE)[8:]), "a damaged one, or something else"),
        (zipped(b"\x93NUMPY\x01\x00\x10\x00{'descr': (\n      "), "a damaged one, or something"),
        (zipped(b"no array"), "a damaged one, or something else"),
        (zipped(b""), "a damaged one, or something else"),
    ],
)
def test_a_member_that_is_no_array_of_numbers_is_named(content: bytes, received: str) -> None:
    with pytest.raises(DataError) as caught:
        files.parse("x.npz", bytes(content), "an .npz", read_all)
    text = str(caught.value)
    assert f"x.npz: x: expected an array of numbers or strings. Received: {received}" in text
    # What NumPy and zipfile advise instead.
    assert not re.search("pickle|trust|unsafe|password|max_header_size", text)


@pytest.mark.parametrize("content", [npy(THREE), b"PK\x03\x04", b"hello", bytes(zipped(b"x")[:-9])])
def test_what_is_no_zip_file_is_one_line(content: bytes) -> None:
    with pytest.raises(DataError, match="x.npz: expected an .npz file. Received: damaged or"):
        files.parse("x.npz", content, "an .npz", read_all)


def test_contents_that_differ_from_their_checksum_are_damaged() -> None:
    content = zipped(npy(np.zeros(9000)), zipfile.ZIP_STORED)
    content[60_000] ^= 1
    with pytest.raises(DataError, match="damaged or other content .*CRC"):
        files.parse("x.npz", bytes(content), "an .npz", read_all)


def test_more_lengths_than_anybody_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ragged_npz, "_MOST_SEQUENCES", 3)
    with pytest.raises(DataError, match="n: expected at most 3. Received: 4"):
        sequences(opened(GOOD | {"n": np.array([2, 0, 3, 0])}))


def test_files_of_other_names_and_huge_ones_do_not_make_a_long_line() -> None:
    names = {f"{number}" + "x" * 300: np.zeros(1) for number in range(50)}
    with pytest.raises(DataError) as caught:
        sequences(opened(names))
    assert len(str(caught.value)) < 1000
