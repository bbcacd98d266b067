from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys

import mido
import numpy as np
import pytest

from common.errors import InputError
from tuner.tasks.music import datasets, music21_chorales, sources
from tuner.tasks.music.formats import write_npz
from tuner.tasks.music.task import MusicTask
from tuner.tasks.task import DatasetInfo, find_task, load_begun

# The tests replace the address.
PUBLISHED = sources.CANONICAL
JSB = "d40ed9b0a64a04c70e79d3695bd85823ac41c9ea6284a479d9aff849155ed73e"


@pytest.fixture
def built(tiny, monkeypatch):
    """A tiny music21 edition that takes no time to build; says how often it was built."""
    calls = []
    known = datasets.KnownDataset("music21 edition", tiny.counts, tiny.sha256(), "a note")
    monkeypatch.setattr(datasets, "JSB_MUSIC21", known)
    monkeypatch.setattr(datasets, "KNOWN_DATASETS", (datasets.JSB_CHORALES, known))
    monkeypatch.setattr(music21_chorales, "corpus_folder", lambda: None)
    monkeypatch.setattr(music21_chorales, "build_edition", lambda: calls.append(1) or tiny)
    return calls


def test_the_task_is_found_by_name():
    task = find_task("music")

    assert isinstance(task, MusicTask)
    assert (task.name, task.inputs, task.outputs, task.head) == ("music", 88, 88, "bernoulli")
    assert not task.bidirectional
    assert str(task.metric) == "Metric(name='NLL', unit='nats per frame')"


def test_inputs_are_all_frames_but_the_last_and_targets_all_but_the_first(tiny, written, tmp_path):
    name, write = written
    path = tmp_path / name
    path.write_bytes(write(tiny))

    corpus = MusicTask().load(str(path))

    assert corpus.dataset.name == f"piano rolls of {name}"
    assert corpus.dataset.sha256 == tiny.sha256()
    assert str(path) in corpus.dataset.detail
    for split, rolls in (
        (corpus.train, tiny.train),
        (corpus.validation, tiny.valid),
        (corpus.test, tiny.test),
    ):
        assert len(split) == len(rolls)
        for inputs, targets, roll in zip(split.inputs, split.targets, rolls, strict=True):
            assert inputs.dtype == targets.dtype == np.float32
            assert inputs.flags.c_contiguous and targets.flags.c_contiguous
            np.testing.assert_array_equal(inputs, roll[:-1])
            np.testing.assert_array_equal(targets, roll[1:])


def test_published_chorales(music_data):
    corpus = MusicTask().load(str(music_data / "JSB_Chorales.mat"))

    assert (corpus.dataset.name, corpus.dataset.sha256) == ("JSB Chorales", JSB)
    assert "229 + 76 + 77 sequences of 13,807 + 4,602 + 4,725 frames" in corpus.dataset.detail
    assert corpus.train.frames == 13_807 - 229
    assert corpus.validation.frames == 4_602 - 76
    assert corpus.test.frames == 4_725 - 77


def test_auto_takes_the_kept_published_file_without_a_network(music_data, cache_folder):
    cache_folder.mkdir()
    shutil.copyfile(music_data / "JSB_Chorales.mat", cache_folder / "JSB_Chorales.mat")

    for data in ("auto", "canonical", str(cache_folder / "JSB_Chorales.mat")):
        edition = MusicTask().load(data).dataset
        assert (edition.name, edition.sha256) == ("JSB Chorales", JSB)


def test_auto_without_a_network_says_that_it_fell_back(built, tiny):
    edition = MusicTask().load("auto").dataset

    assert (edition.name, edition.sha256) == ("music21 edition", tiny.sha256())
    assert edition.detail.endswith("; the published file could not be fetched (no connection)")
    assert "\n" not in str(edition)


def test_study_begun_without_a_network_goes_on_with_the_kept_file(
    built, cache_folder, music_data
):
    begun = MusicTask().load("auto").dataset
    shutil.copyfile(music_data / "JSB_Chorales.mat", cache_folder / "JSB_Chorales.mat")
    assert MusicTask().load("auto").dataset.sha256 == JSB

    by_path = MusicTask().load(str(cache_folder / sources.MUSIC21_FILE)).dataset
    by_name = MusicTask().load("music21").dataset

    assert (by_path.name, by_path.sha256) == (begun.name, begun.sha256)
    assert (by_name.name, by_name.sha256) == (begun.name, begun.sha256)
    assert str(cache_folder / sources.MUSIC21_FILE) in begun.detail
    assert "fetched" not in by_name.detail


def test_auto_gives_a_study_the_data_that_it_was_begun_with(
    built, tiny, cache_folder, music_data
):
    task = MusicTask()
    offline = task.load("auto").dataset
    shutil.copyfile(music_data / "JSB_Chorales.mat", cache_folder / "JSB_Chorales.mat")
    online = task.load("auto").dataset
    assert (offline.sha256, online.sha256) == (tiny.sha256(), JSB)

    for begun in (offline, online):
        assert load_begun(task, begun).dataset.sha256 == begun.sha256
    # Data that nobody has: the study will say so.
    assert load_begun(task, DatasetInfo("other", "0" * 64, "")).dataset == online
    (cache_folder / "JSB_Chorales.mat").unlink()
    assert load_begun(task, online).dataset.sha256 == offline.sha256
    assert load_begun(task, offline).dataset.sha256 == offline.sha256


def test_canonical_without_a_network_says_what_to_do():
    with pytest.raises(InputError) as caught:
        MusicTask().load("canonical")

    assert str(caught.value).isprintable()
    assert "--data=canonical: expected to fetch http" in str(caught.value)
    assert "Received: no connection; give your own copy with --data=PATH" in str(caught.value)


def test_auto_without_network_and_music21_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "music21", None)

    with pytest.raises(InputError) as caught:
        MusicTask().load("auto")

    assert str(caught.value).isprintable()
    assert "[music]'`, or give" in str(caught.value)
    assert "--data=PATH" in str(caught.value)
    assert "no connection" in str(caught.value)


def _write_midi(path, pitch):
    file = mido.MidiFile(ticks_per_beat=4)
    on, off = mido.Message("note_on", note=pitch), mido.Message("note_off", note=pitch, time=12)
    file.tracks.append(mido.MidiTrack([on, off]))
    file.save(path)


def test_folder_of_midi_files(tmp_path, capsys):
    folder = tmp_path / "my songs"
    folder.mkdir()
    for pitch in range(60, 65):
        _write_midi(folder / f"{pitch}.mid", pitch)
    (folder / "bad.mid").touch()
    (folder / "64.mid").rename(folder / "64.KAR")
    for name, missing in (("x", 2), ("y", 1)):
        _write_midi(folder / f"{name}.rmi", 70 + missing)
        content = bytearray((folder / f"{name}.rmi").read_bytes())
        content[11] += missing
        (folder / f"{name}.rmi").write_bytes(content)

    corpus = MusicTask().load(str(folder))

    assert corpus.dataset.name == "MIDI files of my songs"
    assert corpus.dataset.detail == (
        "train + valid + test are 5 + 1 + 1 sequences of 15 + 3 + 3 frames; "
        f"7 files used, 1 skipped; in 2 files 3 tracks missing; read from {folder}"
    )
    assert capsys.readouterr().err == (
        f"skipped {folder / 'bad.mid'}: not a readable MIDI file (an empty file)\n"
        f"{folder / 'x.rmi'}: 2 tracks missing\n{folder / 'y.rmi'}: 1 tracks missing\n"
    )


def test_folder_with_too_few_midi_files(tmp_path, capsys):
    for pitch in (60, 61):
        _write_midi(tmp_path / f"{pitch}.mid", pitch)
    (tmp_path / "bad.midi").touch()

    with pytest.raises(InputError) as caught:
        MusicTask().load(str(tmp_path))

    assert str(caught.value) == (
        f"--data: {tmp_path}: expected at least 3 usable MIDI files (.mid, .midi, .kar, .rmi). "
        "Received: 2 files used, 1 skipped"
    )
    assert "bad.midi" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("", "--data: expected auto, canonical, music21 or a path. Received: nothing"),
        ("absent.mat", "--data: absent.mat: expected a readable file. Received: No such file"),
        ("absent", "--data: absent: expected a file .mat, "),
        ("~nobody-of-this-name/x.mat", "x.mat: expected a readable file. Received: No such file"),
        ("a\0b.mat", "--data: a b.mat: expected a readable file. Received: "),
        ("x" * 5000 + ".mat", "Received: File name too long"),
    ],
)
def test_data_that_is_not_there(data, expected):
    with pytest.raises(InputError) as caught:
        MusicTask().load(data)

    assert expected in str(caught.value)
    assert str(caught.value).isprintable()


def test_naming_the_task_imports_nothing_heavy():
    code = (
        "import sys; from tuner.tasks.task import find_task; find_task('music'); "
        "print([name for name in ('scipy', 'mido', 'music21', 'pooch', 'requests', 'tensorflow') "
        "if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_the_address_is_pinned_to_a_commit_and_a_hash(music_data):
    assert "/2f8c2b817050206397458dfd1f5a25ce8a32fe65/" in PUBLISHED.address
    content = (music_data / "JSB_Chorales.mat").read_bytes()
    assert hashlib.sha256(content).hexdigest() == PUBLISHED.sha256


def test_the_music21_edition_is_built_once_and_again_if_damaged(built, tiny, cache_folder):
    path = cache_folder / sources.MUSIC21_FILE
    for _ in range(2):
        rolls, origin = sources.music21_file()
        assert (rolls.sha256(), origin) == (tiny.sha256(), f"read from {path}")
    assert len(built) == 1
    content = path.read_bytes()
    path.write_bytes(content[:100])
    assert sources.music21_file()[0].sha256() == tiny.sha256()
    write_npz(path, type(tiny)(train=tiny.test, valid=tiny.valid, test=tiny.train))
    assert sources.music21_file()[0].sha256() == tiny.sha256()
    assert len(built) == 3 and path.read_bytes() == content


def test_without_music21_nothing_is_promised(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "music21", None)
    with pytest.raises(InputError, match="Received: not installed"):
        sources.music21_file()
    assert capsys.readouterr().err == ""
