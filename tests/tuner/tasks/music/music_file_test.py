from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import InputError
from tuner.tasks.music import music_file
from tuner.tasks.music.music_file import parse, read_file
from tuner.tasks.music.piano_rolls import PianoRolls


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
    name, write = written

    rolls = parse(name, write(published))

    assert rolls.sha256() == "d40ed9b0a64a04c70e79d3695bd85823ac41c9ea6284a479d9aff849155ed73e"


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


@given(content=st.binary(max_size=400))
@settings(max_examples=50, deadline=None)
def test_noise_is_refused(written, content):
    assert parse_or_refuse(written[0], content) is None


def test_content_of_another_kind_is_refused(contents, written):
    suffix = Path(written[0]).suffix
    for other, content in contents.items():
        if {suffix, Path(other).suffix} not in ({suffix}, {".pkl", ".pickle"}):
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
    monkeypatch.setattr(music_file, "LARGEST_FILE", 100)
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
