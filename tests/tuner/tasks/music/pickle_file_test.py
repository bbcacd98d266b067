from __future__ import annotations

import collections
import io
import os
import pickle
import pickletools
import struct
import subprocess

import numpy as np
import pytest

from common.errors import InputError
from tuner.tasks.music.music_file import parse
from tuner.tasks.music.pickle_file import read_pickle

PIECE = [[60], [62]]


def content_with(train):
    return {"train": train, "valid": [PIECE], "test": [PIECE]}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "piece",
    [
        pytest.param([(60, 64), (62,)], id="tuples"),
        pytest.param([[np.int64(60), np.int32(64)], [np.uint8(62)]], id="scalars"),
        pytest.param([np.array([60, 64]), np.array([62], ">i2")], id="arrays"),
        pytest.param([{60, 64}, frozenset([62])], id="sets"),
        pytest.param(np.array([(60, 64), (62,)], object), id="array of tuples"),
        pytest.param(np.array([[60, 64], [62, 62]]), id="array of frames"),
        pytest.param(np.asfortranarray([[60, 64], [62, 62]]), id="array in Fortran order"),
    ],
)
def test_every_way_to_write_pitches_is_read(protocol, piece):
    content = pickle.dumps(content_with([piece]), protocol=protocol)

    rolls = read_pickle("x.pickle", content)

    assert np.argwhere(rolls.train[0]).tolist() == [[0, 39], [0, 43], [1, 41]]


@pytest.mark.parametrize("protocol", range(6))
def test_ordered_dictionary_is_read(protocol):
    content = pickle.dumps(collections.OrderedDict(content_with([PIECE])), protocol=protocol)

    assert read_pickle("x.pickle", content).counts == ((1, 2), (1, 2), (1, 2))


def test_numpy_scalars_of_python_2_are_read():
    # As Python 2 wrote numpy.int64(60): bytes as `str`, and the module's old name.
    scalar = (
        b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(S'i8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\n"
        b"I0\ntbS'<\\x00\\x00\\x00\\x00\\x00\\x00\\x00'\ntR"
    )
    piece = b"((" + scalar + b"t(I62\ntl"
    content = b"(dS'train'\n(" + piece + b"lsS'valid'\n(" + piece + b"lsS'test'\n(" + piece + b"ls"
    content += b"U\x05titleU\x07Chor\xe4les."

    rolls = read_pickle("x.pickle", content)

    assert np.argwhere(rolls.test[0]).tolist() == [[0, 39], [1, 41]]


@pytest.mark.parametrize(
    ("array", "received"),
    [
        (np.array([60.0]), "float"),
        (np.array([True]), "bool"),
        (np.array([60 + 0j]), "damaged or other content"),
        (np.array(["60"]), "damaged or other content"),
        (np.array(60), "damaged or other content"),
        (np.array([[60]], object), "damaged or other content"),
    ],
)
def test_arrays_of_other_things_are_refused(array, received):
    with pytest.raises(InputError, match=received):
        parse("x.pickle", pickle.dumps(content_with([[array, [62]]])))


class Calls:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def _attacks(target):
    write = f"open({str(target)!r}, 'w')"
    return {
        "os.system": Calls(os.system, f"touch {target}"),
        "subprocess": Calls(subprocess.call, ["touch", str(target)]),
        "eval": Calls(eval, write),
        "exec": Calls(exec, write),
        "open": Calls(open, str(target), "w"),
        "getattr": Calls(getattr, os, "system"),
        "numpy.save": Calls(np.save, str(target), [1]),
        "type": Calls(type, "x", (), {}),
        "bytearray subclass": Calls(__import__, "os"),
    }


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("attack", sorted(_attacks("")))
@pytest.mark.parametrize("place", ["whole", "pitch", "inside array"])
def test_a_pickle_that_wants_to_run_something_is_refused(tmp_path, protocol, attack, place):
    target = tmp_path / "attacked"
    evil = _attacks(target)[attack]
    if attack == "getattr":
        evil = Calls(os.system, f"touch {target}")
    content = {
        "whole": evil,
        "pitch": content_with([[[evil], [60]]]),
        "inside array": content_with([np.array([[60], evil], object)]),
    }[place]

    with pytest.raises(InputError) as caught:
        parse("folder/x.pickle", pickle.dumps(content, protocol=protocol))

    assert "folder/x.pickle: expected a pickle of lists and numbers only" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not target.exists() and not target.with_suffix(".npy").exists()


def test_an_instance_of_a_class_is_refused():
    with pytest.raises(InputError, match=r"asks for .*\.Calls$"):
        parse("x.pkl", b"c" + __name__.encode() + b"\nCalls\n.")


@pytest.mark.parametrize(
    "name",
    [b"numpy\ndtype", b"numpy\nndarray", b"_codecs\nencode", b"numpy.core.multiarray\nscalar",
     b"collections\nOrderedDict", b"builtins\nset"],
)  # fmt: skip
def test_a_pickle_cannot_change_the_constructors(name):
    before = vars(collections.OrderedDict).copy()

    # BUILD with a pair of states sets attributes on what it is given.
    with pytest.raises(InputError, match="a constructor has no state"):
        parse("x.pkl", b"c" + name + b"\n(N(dS'__call__'\nI1\nstb.")

    assert vars(collections.OrderedDict) == before


def test_a_huge_memo_number_asks_for_no_memory():
    with pytest.raises(InputError, match="memo number 4294967295"):
        parse("x.pkl", b"]r" + struct.pack("<I", 2**32 - 1) + b".")


@pytest.mark.parametrize("bad", [b"", b".", b"(", b"\x80\x63.", b"P1\n.", b"\x82\x01.", b"hello"])
def test_damaged_pickles_are_one_line(bad):
    with pytest.raises(InputError) as caught:
        parse("x.pkl", bad)

    assert "\n" not in str(caught.value)


def test_an_array_that_lies_about_its_size_is_refused():
    content = pickle.dumps(content_with([np.array([[60], [61]])]), protocol=2)
    # The shape (2, 1) becomes (100, 1).
    assert content.count(b"K\x02K\x01\x86") == 1
    lying = content.replace(b"K\x02K\x01\x86", b"K\x64K\x01\x86")

    with pytest.raises(InputError, match="an array .100, 1. of 16 bytes"):
        parse("x.pkl", lying)


def test_the_tests_pickles_use_the_stand_ins():
    out = io.StringIO()
    pickletools.dis(pickle.dumps(np.array([1])), out=out)

    assert "_reconstruct" in out.getvalue() and "multiarray" in out.getvalue()
