from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import scipy.io

from common.errors import InputError
from tuner.tasks.music import matlab_file
from tuner.tasks.music.music_file import parse


def cells(*rolls, column=False):
    array = np.empty((len(rolls), 1) if column else (1, len(rolls)), object)
    for index, roll in enumerate(rolls):
        array[(index, 0) if column else (0, index)] = roll
    return array


def saved(compressed=True, **variables):
    file = io.BytesIO()
    scipy.io.savemat(file, variables, do_compression=compressed)
    return file.getvalue()


ROLL = np.zeros((3, 88), np.uint8)
ROLL[0, 39] = ROLL[2, 87] = 1
GOOD = {"traindata": cells(ROLL), "validdata": cells(ROLL), "testdata": cells(ROLL)}


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float64, np.float32, bool])
@pytest.mark.parametrize("column", [False, True])
@pytest.mark.parametrize("compressed", [False, True])
def test_every_number_type_and_direction_is_read(kind, column, compressed):
    other = 1 - ROLL[:2]
    train = cells(ROLL.astype(kind), other.astype(kind), column=column)

    rolls = parse("x.mat", saved(compressed, **GOOD | {"traindata": train, "more": "text"}))

    np.testing.assert_array_equal(rolls.train[0], ROLL)
    np.testing.assert_array_equal(rolls.train[1], other)
    assert rolls.train[0].dtype == np.uint8


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"validdata": cells(ROLL * 2)},
            "valid[0], frame 0, column 39: expected 0 or 1. Received: 2",
        ),
        ({"testdata": cells(ROLL, ROLL.T)}, "test[1]: expected an array [frames, 88]"),
        ({"testdata": cells(ROLL[:1])}, "test[0]: expected at least 2 frames. Received: 1"),
        (
            {"traindata": ROLL},
            "traindata: expected a cell array 1 x N of piano rolls. Received: uint8 [3, 88]",
        ),
        ({"traindata": cells()}, "train: expected at least one sequence. Received: none"),
        ({"traindata": cells("text")}, "a matrix of something other than numbers"),
        ({"traindata": cells({"a": 1})}, "a matrix of something other than numbers"),
        ({"traindata": cells(cells(ROLL, ROLL))}, "a matrix of something other than numbers"),
        ({"traindata": cells(ROLL * 1j)}, "complex numbers"),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_wrong_content_is_refused(change, expected, compressed):
    with pytest.raises(InputError) as caught:
        parse("folder/x.mat", saved(compressed, **GOOD | change))

    assert "folder/x.mat: " in str(caught.value)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_variable_is_named():
    content = saved(traindata=GOOD["traindata"], testdata=GOOD["testdata"])

    with pytest.raises(InputError, match="traindata, validdata, testdata. Received: no validdata"):
        parse("x.mat", content)


def test_a_file_that_would_unpack_to_gigabytes_is_refused(monkeypatch):
    monkeypatch.setattr(matlab_file, "LARGEST_UNPACKED", 10_000)
    content = saved(**GOOD | {"bomb": np.zeros((1000, 100))})
    assert len(content) < 2_000

    with pytest.raises(InputError, match="compressed data that does not end"):
        parse("x.mat", content)
    with pytest.raises(InputError, match="more than 10,000 bytes when unpacked"):
        parse("x.mat", saved(False, **GOOD | {"bomb": np.zeros((1000, 100))}))


def test_a_cell_array_that_lies_about_its_size_is_refused():
    content = bytearray(saved(False, **GOOD))
    # The dimensions (1, 1) of the first cell array, after the header and the variable's flags.
    assert struct.unpack_from("<iiii", content, 128 + 8 + 16) == (5, 8, 1, 1)
    struct.pack_into("<ii", content, 128 + 8 + 24, 2**20, 2**10)

    with pytest.raises(InputError, match=r"traindata \[1048576, 1024\] of 1 cells"):
        parse("x.mat", bytes(content))


def test_a_file_that_is_cut_short_says_so():
    with pytest.raises(InputError, match=r"an element of [\d,]+ bytes where [\d,]+ are left"):
        parse("x.mat", saved(**GOOD)[:-1])


def test_other_versions_are_refused_with_a_reason():
    hdf = saved(**GOOD)[:124] + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n" * 9
    with pytest.raises(InputError, match=r"MATLAB 7\.3; save it with -v7"):
        parse("x.mat", hdf)
    file = io.BytesIO()
    scipy.io.savemat(file, {"traindata": ROLL}, format="4")
    with pytest.raises(InputError, match="no header of MATLAB 5"):
        parse("x.mat", file.getvalue())


def test_big_endian_files_are_read():
    def element(kind, content):
        return struct.pack(">II", kind, len(content)) + content + bytes(-len(content) % 8)

    def matrix(matrix_class, name, shape, content):
        flags = element(6, struct.pack(">II", matrix_class, 0))
        return element(
            14, flags + element(5, struct.pack(">ii", *shape)) + element(1, name) + content
        )

    roll = matrix(9, b"", (3, 88), element(2, ROLL.tobytes(order="F")))
    content = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI"
    for name in (b"traindata", b"validdata", b"testdata"):
        packed = zlib.compress(matrix(1, name, (1, 1), roll))
        content += struct.pack(">II", 15, len(packed)) + packed

    rolls = parse("x.mat", content)

    np.testing.assert_array_equal(rolls.test[0], ROLL)
