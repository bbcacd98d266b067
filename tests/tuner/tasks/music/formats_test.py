from __future__ import annotations

import hashlib
import io
import json
import math
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import InputError
from tuner.tasks.music import formats
from tuner.tasks.music.formats import PUBLISHED_MAT, parse, read_file, write_npz
from tuner.tasks.music.piano_rolls import PianoRolls

PIECE = [[60], [62]]


def test_every_kind_of_file_gives_the_same_rolls(tiny, written, tmp_path):
    name, write = written
    path = tmp_path / name.upper()
    path.write_bytes(write(tiny))

    rolls = read_file(path)

    assert rolls.sha256() == tiny.sha256()
    for split, expected in zip(rolls.splits.values(), tiny.splits.values(), strict=True):
        for ours, roll in zip(split, expected, strict=True):
            np.testing.assert_array_equal(ours, roll)


def test_published_chorales_survive_every_kind_of_file(music_data, written):
    published = read_file(music_data / "JSB_Chorales.mat")
    assert published.sha256() == "d40ed9b0a64a04c70e79d3695bd85823ac41c9ea6284a479d9aff849155ed73e"
    name, write = written
    if name == "integers.pkl":
        # Every pitch is an object there, whose text is checked first: an eighth takes a second.
        eighth = {split: rolls[::8] for split, rolls in published.splits.items()}
        published = PianoRolls(**eighth)

    assert parse(name, write(published)).sha256() == published.sha256()


def parse_or_refuse(name, content):
    """Checks that content either is music or is refused in one line that names the file."""
    try:
        rolls = parse(f"folder/{name}", content)
    except InputError as error:
        assert f"folder/{name}" in str(error)
        assert str(error).isprintable()
        assert len(str(error)) < 400
        return None
    assert isinstance(rolls, PianoRolls)
    for split in rolls.splits.values():
        for roll in split:
            assert roll.dtype == np.uint8 and roll.shape[1:] == (88,) and len(roll) >= 2
            assert roll.max() <= 1
    return rolls


def test_every_cut_is_refused(tiny, written):
    name, content = written[0], written[1](tiny)
    # Each of the first and last bytes, and some in between.
    cuts = {*range(300), *range(len(content) - 300, len(content)), *range(0, len(content), 37)}

    for cut in sorted(cut for cut in cuts if 0 <= cut < len(content)):
        assert parse_or_refuse(name, content[:cut]) is None


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_changed_bytes_are_refused_or_still_music(contents, written, data):
    name = written[0]
    content = bytearray(contents[name])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))

    parse_or_refuse(name, bytes(content))


def test_content_of_another_kind_is_refused(contents, written):
    def kind(name):
        return Path(name).suffix.replace("pickle", "pkl")

    for name, content in {"nothing": b"", "text": b"hello", **contents}.items():
        if kind(name) != kind(written[0]):
            assert parse_or_refuse(written[0], content) is None


def test_files_that_cannot_be_read_are_refused(tmp_path, monkeypatch):
    def refused(path):
        with pytest.raises(InputError) as caught:
            read_file(path)
        assert str(path) in str(caught.value)
        assert str(caught.value).isprintable()
        return str(caught.value)

    (tmp_path / "empty.mat").touch()
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "large.json").write_bytes(b"[" * 200)

    assert refused(tmp_path / "absent.mat").endswith("Received: No such file or directory")
    assert refused(tmp_path / "empty.mat").endswith("Received: an empty file")
    assert refused(tmp_path / "pipe.json").endswith("Received: something else, such as a device")
    assert refused(tmp_path / "folder.npz").endswith("something else, such as a device")
    assert refused(tmp_path / "song.mid").endswith(
        "or a folder of MIDI files. Received: a file .mid"
    )
    assert refused(tmp_path / "chorales").endswith("Received: a file without suffix")
    monkeypatch.setattr(formats, "LARGEST_FILE", 100)
    assert refused(tmp_path / "large.json").endswith("expected at most 100 bytes. Received: 200")


def test_a_file_without_permission_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "secret.mat"
    path.write_bytes(b"x")

    # Not by chmod: whoever runs the tests may be allowed everything.
    def denied(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", denied)

    with pytest.raises(InputError, match=r"secret.mat: expected a readable .* Permission denied$"):
        read_file(path)


def test_a_name_with_line_breaks_stays_one_line(tmp_path):
    for name in ("two\nlines.mat", "zero\0.mat", "b\udcffytes.mat"):
        with pytest.raises(InputError) as caught:
            read_file(tmp_path / name)
        assert str(caught.value).isprintable()


# --- .json ---


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b"nul",
        b'{"train": [[[NaN], []]]}',
        b'{"train": 1e999}',
        b'{"train": [[[' + b"9" * 5000 + b"],[]]]}",
    ],
)
def test_damaged_json_is_one_line(content):
    assert parse_or_refuse("x.json", content) is None


def test_json_with_byte_order_mark_is_read(tiny, tiny_pitches):
    content = b"\xef\xbb\xbf" + json.dumps(tiny_pitches).encode()

    assert parse("x.json", content).sha256() == tiny.sha256()


@pytest.mark.parametrize("rest", ["-1", "-1.0", "0", "0.0", "NaN", "null"])
def test_voices_that_rest_and_floats_without_a_fraction_are_read(rest):
    """As the editions in eighths and sixteenths of czhuang/JSB-Chorales-dataset have them."""
    voices = (
        f"[[72.0, 67, {rest}, 48], [{rest}, {rest}, {rest}, {rest}], [], [{rest}, 65.0, 6.0e1]]"
    )
    content = f'{{"test": [{voices}], "train": [{voices}, {voices}], "valid": [{voices}]}}'
    rolls = parse("x.json", content.encode())
    assert json.loads(b"".join(rolls.canonical_form())) == {
        "train": [[[48, 67, 72], [], [], [60, 65]]] * 2,
        "valid": [[[48, 67, 72], [], [], [60, 65]]],
        "test": [[[48, 67, 72], [], [], [60, 65]]],
    }


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_the_chorales_are_read_at_every_resolution(music_data, steps):
    """A quarter note held for so many frames, in four voices, is the same music."""
    published = read_file(music_data / "JSB_Chorales.mat").splits
    some = {name: split[:12] for name, split in published.items()}
    splits: dict[str, list[list[list[float]]]] = {}
    for name, split in some.items():
        splits[name] = []
        for roll in split:
            chords = [[*map(float, 21 + np.flatnonzero(frame)), *[math.nan] * 4] for frame in roll]
            splits[name].append([chord[:4] for chord in chords for _ in range(steps)])
    rolls = parse("x.json", json.dumps(splits).encode())
    for name, split in some.items():
        for ours, roll in zip(rolls.splits[name], split, strict=True):
            np.testing.assert_array_equal(ours, np.repeat(roll, steps, axis=0))


# --- .npz ---


def test_what_is_written_is_read(tiny, tmp_path):
    write_npz(tmp_path / "x.npz", tiny)

    rolls = read_file(tmp_path / "x.npz")

    assert rolls.sha256() == tiny.sha256()
    assert [len(roll) for roll in rolls.test] == [2, 5, 2]
    assert [path.name for path in tmp_path.glob("*")] == ["x.npz"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"train": np.zeros((5, 88))}, "train: expected uint8 [frames, 88]. Received: float64"),
        ({"valid": np.zeros((5, 87), np.uint8)}, "valid: expected uint8 [frames, 88]. Received: "),
        ({"valid": np.full((5, 88), 2, np.uint8)}, "valid[0], frame 0, column 0: expected 0 or 1"),
        ({"valid_lengths": [1, 4]}, "valid[0]: expected at least 2 frames. Received: 1"),
        (
            {"test": np.zeros((0, 88), np.uint8), "test_lengths": np.zeros(0, int)},
            "test: expected at least one",
        ),
    ],
)
def test_arrays_that_are_no_rolls_are_refused(change, expected):
    arrays = {}
    for name in ("train", "valid", "test"):
        arrays |= {name: np.zeros((5, 88), np.uint8), f"{name}_lengths": [2, 3]}
    file = io.BytesIO()
    np.savez(file, **arrays | change)

    with pytest.raises(InputError) as caught:
        parse("folder/x.npz", file.getvalue())

    assert f"folder/x.npz: {expected}" in str(caught.value)


# --- .mat ---


def _matlab(rolls):
    variables = {}
    for name, split in rolls.splits.items():
        cells = np.empty((1, len(split)), object)
        cells[0, :] = list(split)
        variables[f"{name}data"] = cells
    file = io.BytesIO()
    scipy.io.savemat(file, variables, do_compression=True)
    return file.getvalue()


def test_a_published_matlab_file_is_read_and_no_other(tiny, monkeypatch):
    content = _matlab(tiny)
    with pytest.raises(InputError) as caught:
        parse("folder/x.mat", content)
    assert str(caught.value) == (
        "--data: folder/x.mat: expected one of the published files JSB_Chorales.mat, MuseData.mat, "
        "Nottingham.mat, Piano_midi.mat. Received: another or damaged file; convert it to .npz or "
        ".json"
    )

    sha256 = hashlib.sha256(content).hexdigest()
    monkeypatch.setitem(PUBLISHED_MAT, "tiny.mat", sha256)

    rolls = parse("x.mat", content)
    for split, expected in zip(rolls.splits.values(), tiny.splits.values(), strict=True):
        for ours, roll in zip(split, expected, strict=True):
            np.testing.assert_array_equal(ours, roll)
    with pytest.raises(InputError, match="another or damaged file"):
        parse("x.mat", content[:-1] + b"x")


# --- .pickle ---


def content_with(train):
    return {"train": train, "valid": [PIECE], "test": [PIECE]}


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize(
    "piece",
    [
        pytest.param([(60, 64), (62,)], id="tuples"),
        pytest.param([[np.int64(60), np.dtype(">i4").type(64)], [np.uint8(62)]], id="integers"),
        pytest.param(
            [[np.float64(60), 64.0, np.float16("nan")], [np.float32(62), -1]], id="floats"
        ),
    ],
)
def test_every_way_to_write_pitches_is_read(protocol, piece):
    content = pickle.dumps(content_with([piece]), protocol=protocol)

    rolls = parse("x.pickle", content)

    assert np.argwhere(rolls.train[0]).tolist() == [[0, 39], [0, 43], [1, 41]]


@pytest.mark.parametrize(("order", "raw"), [("<", b"<\\x00\\x00\\x00"), (">", b"\\x00\\x00\\x00<")])
def test_numpy_integers_of_python_2_are_read(order, raw):
    # As Python 2 wrote numpy.int32(60): bytes as `str`.
    scalar = (
        b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(S'i4'\nI0\nI1\ntR(I3\nS'%s'\nNNNI-1\n"
        b"I-1\nI0\ntbS'%s'\ntR" % (order.encode(), raw)
    )
    piece = b"((" + scalar + b"t(I62\ntl"
    content = b"(dS'train'\n(" + piece + b"lsS'valid'\n(" + piece + b"lsS'test'\n(" + piece + b"ls"
    content += b"U\x05titleU\x07Chor\xe4les."

    rolls = parse("x.pickle", content)

    assert np.argwhere(rolls.test[0]).tolist() == [[0, 39], [1, 41]]


@pytest.mark.parametrize(
    ("number", "received"),
    [
        (
            np.float64(60.5),
            "train[0], frame 0: expected MIDI pitches, integers 21..108. Received: 60.5",
        ),
        (np.complex64(60), "damaged or other content (a number of type 'c8')"),
        (np.True_, "damaged or other content (a number of type 'b1')"),
        (np.array([60]), "asks for numpy"),
        (np.str_("60"), "a number of type 'U2'"),
    ],
)
def test_other_numbers_are_refused(number, received):
    with pytest.raises(InputError) as caught:
        parse("x.pickle", pickle.dumps(content_with([[[number], [62]]])))
    assert received in str(caught.value)


class Calls:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def _attacks(target):
    write = f"open({str(target)!r}, 'w')"
    return {
        "os.system": Calls(os.system, f"touch {target}"),
        "eval": Calls(eval, write),
        "open": Calls(open, str(target), "w"),
        "numpy.save": Calls(np.save, str(target), [1]),
    }


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize("attack", sorted(_attacks("")))
def test_a_pickle_that_wants_to_run_something_is_refused(tmp_path, protocol, attack):
    target = tmp_path / "attacked"
    evil = _attacks(target)[attack]
    for content in (evil, content_with([[[evil], [60]]])):
        with pytest.raises(InputError) as caught:
            parse("folder/x.pickle", pickle.dumps(content, protocol=protocol))

        assert "folder/x.pickle: expected a pickle of lists and numbers only" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert not target.exists() and not target.with_suffix(".npy").exists()


def test_an_instance_of_a_class_is_refused():
    with pytest.raises(InputError, match=r"asks for .*\.Calls; convert it to .npz or .json$"):
        parse("x.pkl", b"c" + __name__.encode() + b"\nCalls\n.")


@pytest.mark.parametrize(
    "name", [b"numpy\ndtype", b"_codecs\nencode", b"numpy.core.multiarray\nscalar"]
)
def test_a_pickle_cannot_change_the_stand_ins(name):
    stand_in = formats._STAND_INS[name.decode().replace("\n", ".")]
    before = vars(stand_in).copy()

    # BUILD with a pair of states sets attributes on what it is given.
    with pytest.raises(InputError, match="damaged or other content"):
        parse("x.pkl", b"c" + name + b"\n(N(dS'__new__'\nI1\nstb.")

    assert vars(stand_in) == before


def test_a_huge_memo_number_asks_for_no_memory():
    with pytest.raises(InputError, match="memo number 4294967295"):
        parse("x.pkl", b"]r" + struct.pack("<I", 2**32 - 1) + b".")


@pytest.mark.parametrize("bad", [b"", b".", b"(", b"\x80\x63.", b"P1\n.", b"\x82\x01.", b"hello"])
def test_damaged_pickles_are_one_line(bad):
    assert parse_or_refuse("x.pkl", bad) is None
