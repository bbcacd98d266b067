from __future__ import annotations

import dataclasses
import hashlib
import itertools
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common import cache, machine
from common.errors import InputError
from common.media import audio
from tests.commands import Forked
from tests.tuner.tasks.speech.synthesis.conftest import SMALL
from tuner.tasks.speech import labels, timit
from tuner.tasks.speech.labels import Segment
from tuner.tasks.speech.synthesis import corpus, espeak
from tuner.tasks.speech.synthesis.corpus import Recipe, corpus_folder
from tuner.tasks.speech.synthesis.recording import Session
from tuner.tasks.speech.synthesis.voices import Voice, voices

TINY = Recipe(train=2, validation=1, test=1, utterances=1)


def _hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def copy(small_corpus: Path, cache_folder: Path) -> Path:
    """A kept corpus of `SMALL` that a test may damage."""
    folder = cache_folder / "synthetic_speech" / SMALL.folder_name
    shutil.copytree(small_corpus, folder)
    return folder


@pytest.fixture
def no_studio(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be recorded."""

    def refuse(sessions):
        raise AssertionError("It is there already.")

    monkeypatch.setattr(corpus, "_hold", refuse)


def _print_folder(recipe: Recipe) -> None:
    print(corpus_folder(recipe))


def _run(folder: Path, recipe: Recipe = TINY) -> Forked:
    return Forked(_print_folder, recipe, environment={cache.FOLDER_VARIABLE: str(folder)})


def test_the_reader_of_timit_finds_the_splits_and_the_edition(small_corpus):
    tree = timit.find(small_corpus)

    speakers = {
        split: {recording.speaker for recording in recordings}
        for split, recordings in tree.splits.items()
    }
    assert {split: len(found) for split, found in tree.splits.items()} == {
        "train": 30, "validation": 6, "test": 6
    }  # fmt: skip
    for split in timit.SPLITS:
        assert speakers[split] == {voice.name for voice in voices(split, getattr(SMALL, split))}
    assert tree.name == "synthetic speech"
    assert re.match(r"spoken by eSpeak NG [\d.]+.*, recipe 1: 10 \+ 2 \+ 2 speakers", tree.detail)
    assert "never occur: ax-h, em, eng, epi, hv, nx, ux" in tree.detail


def test_nobody_says_what_somebody_else_says(small_corpus):
    texts = [path.read_text().split(" ", 2)[2] for path in small_corpus.rglob("*.TXT")]

    assert len(set(texts)) == len(texts) == SMALL.speakers * SMALL.utterances


def _utterances(folder: Path) -> list[tuple[np.ndarray, tuple[Segment, ...]]]:
    return [
        (audio.read(str(path)).astype(float), labels.read(path.with_suffix(".PHN")).segments)
        for path in sorted(folder.rglob("*.WAV"))
    ]


def test_segments_tile_every_utterance(small_corpus):
    for samples, segments in _utterances(small_corpus):
        assert segments[0].start == 0 and segments[-1].end == len(samples)
        assert segments[0].phone == segments[-1].phone == "h#"
        assert all(
            one.end == other.start for one, other in itertools.pairwise(segments)
        )
        assert 16_000 < len(samples) < 6 * 16_000


VOWELS = frozenset("aa ae ah ao aw ay eh er ey ih iy ow oy uh uw".split())
FRICATIVES = frozenset("s sh z zh ch".split())


def _crossings(folder: Path, phones: frozenset[str], shift: int) -> float:
    """Median rate of zero crossings in segments of phones, in hertz."""
    rates = [
        np.mean(np.diff(np.signbit(piece))) * audio.SAMPLE_RATE / 2
        for samples, segments in _utterances(folder)
        for segment in segments
        if segment.phone in phones
        and len(piece := samples[segment.start + shift : segment.end + shift]) > 160
    ]
    return float(np.median(rates))


def test_marks_sit_on_the_sound(small_corpus):
    contrast, contrast_shifted = (
        _crossings(small_corpus, FRICATIVES, shift) / _crossings(small_corpus, VOWELS, shift)
        for shift in (0, 1600)
    )

    assert contrast > 3
    assert contrast_shifted < 1.5


def test_closures_are_quieter_than_their_bursts_and_bursts_brighter(small_corpus):
    louder = {}
    for samples, segments in _utterances(small_corpus):
        bright = np.diff(samples, prepend=0, n=2)
        for closure, burst in itertools.pairwise(segments):
            if closure.phone.endswith("cl"):
                levels = (
                    np.sqrt(np.mean(bright[part.start : part.end] ** 2))
                    for part in (closure, burst)
                )
                before, after = levels
                louder.setdefault(closure.phone, []).append(after > 1.5 * before)

    assert set(louder) == {"bcl", "dcl", "gcl", "kcl", "pcl", "tcl"}
    assert {phone: np.mean(found) > 0.85 for phone, found in louder.items()} == dict.fromkeys(
        louder, True
    )


def test_stops_have_closures(small_corpus):
    phones = [[segment.phone for segment in segments] for _, segments in _utterances(small_corpus)]
    before = [
        one
        for spoken in phones
        for one, other in itertools.pairwise(spoken)
        if other in ("p", "t", "k", "b", "d", "g", "ch", "jh") and one not in ("pau", "h#")
    ]

    assert np.mean([phone.endswith("cl") for phone in before]) > 0.9


@pytest.mark.usefixtures("quick_studio")
def test_a_speaker_is_the_same_whoever_else_is_recorded(small_corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "cores", lambda: 5)
    known = {voice.name.upper(): voice for split in timit.SPLITS for voice in voices(split, 10)}
    sessions = []
    for folder in sorted(small_corpus.glob("T*/*/*"), reverse=True)[::2]:
        paths = sorted(folder.glob("*.TXT"), key=lambda path: int(path.stem[2:]))
        texts = {path.stem: path.read_text().split(" ", 2)[2].strip() for path in paths}
        (tmp_path / folder.name).mkdir()
        sessions.append(Session(str(tmp_path / folder.name), known[folder.name], texts))

    corpus._hold(sessions)

    assert len(sessions) == 7
    assert _hashes(tmp_path) == {
        "/".join(name.split("/")[2:]): content
        for name, content in _hashes(small_corpus).items()
        if any(session.voice.name.upper() in name for session in sessions)
    }


def test_a_kept_corpus_is_used_and_needs_no_espeak(copy, no_studio, capsys):
    assert corpus_folder(SMALL) == copy
    assert capsys.readouterr().err == ""


def _exchange(folder: Path) -> None:
    one, other = list(folder.rglob("*.PHN"))[:2]
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


def _shorten(folder: Path) -> None:
    path = next(folder.rglob("*.WAV"))
    path.write_bytes(path.read_bytes()[:-2])


def _change_recipe(folder: Path) -> None:
    path = folder / corpus.MANIFEST
    path.write_text(path.read_text().replace('"edition": 1', '"edition": 99'))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "removed": lambda folder: (folder / "dev_spk.list").unlink(),
    "shortened": _shorten,
    "exchanged": _exchange,
    "added": lambda folder: (folder / "TRAIN" / "more.txt").touch(),
    "no manifest": lambda folder: (folder / corpus.MANIFEST).write_text('{"recipe": []}'),
    "other recipe": _change_recipe,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_noticed(copy, damage, monkeypatch):
    def build(folder, recipe):
        raise InputError(f"building {folder.name}")

    monkeypatch.setattr(corpus, "_build", build)
    DAMAGES[damage](copy)

    with pytest.raises(InputError, match=f"building {SMALL.folder_name}"):
        corpus_folder(SMALL)


@pytest.mark.usefixtures("quick_studio")
def test_a_damaged_corpus_is_built_again(copy, small_corpus, capsys):
    _shorten(copy)

    assert corpus_folder(SMALL) == copy
    assert capsys.readouterr().err.count("Building the synthetic speech corpus of 42") == 1
    assert _hashes(copy) == _hashes(small_corpus)


def test_a_failed_build_leaves_nothing_half(cache_folder, monkeypatch):
    def fail(sessions):
        Path(sessions[0].folder, "SX1.WAV").write_bytes(b"half")
        raise InputError("no voice")

    monkeypatch.setattr(corpus, "_hold", fail)

    with pytest.raises(InputError, match="no voice"):
        corpus_folder(TINY)

    assert [path.name for path in (cache_folder / "synthetic_speech").iterdir()] == ["lock"]


def test_a_killed_build_is_cleared_away_and_made_again(engine, cache_folder):
    parent = cache_folder / "synthetic_speech"
    process = _run(cache_folder, dataclasses.replace(SMALL, utterances=12))
    while process.poll() is None and not list(parent.glob("*/TRAIN/*/*/*.WAV")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(parent.glob(".tmp-*"))
    assert not [path for path in parent.iterdir() if path.name[0].isdigit()]

    folder = corpus_folder(TINY)

    assert corpus.read_manifest(folder).recipe == TINY
    deadline = time.monotonic() + 300
    while len(list(parent.iterdir())) > 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert {path.name for path in parent.iterdir()} == {"lock", TINY.folder_name}


def test_two_processes_at_once_build_one_corpus(engine, cache_folder):
    processes = [_run(cache_folder), _run(cache_folder)]
    outputs = [process.wait() for process in processes]

    folder = cache_folder / "synthetic_speech" / TINY.folder_name
    assert [output.stdout for output in outputs] == [f"{folder}\n"] * 2
    assert "".join(output.stderr for output in outputs).count("Building") == 1


def test_a_cache_that_cannot_be_written_is_named_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path / "file"))

    with pytest.raises(InputError, match="LSTM_ODYSSEY_CACHE. Received: .*file") as caught:
        corpus_folder(TINY)

    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("quick_studio")
def test_an_unmapped_phoneme_ends_the_build_in_one_line(engine, tmp_path):
    voice = Voice("f1", "fr", "f", 160, 50, 50)

    with pytest.raises(InputError, match=r"eSpeak NG .*: expected a phoneme .* in fr$") as caught:
        corpus._hold([Session(str(tmp_path), voice, {"SX1": "Bonjour, un bon vin blanc."})])

    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("quick_studio")
def test_a_mistake_of_the_studio_is_shown_as_it_is(engine, tmp_path):
    voice = Voice("f1", "en", "f", 160, 50, 50)

    with pytest.raises(RuntimeError, match=r"(?s)could not be recorded.*FileNotFoundError"):
        corpus._hold([Session(str(tmp_path / "nowhere"), voice, {"SX1": "Yes."})])


def test_without_espeak_one_line_says_how_to_install_it(tmp_path, monkeypatch):
    (tmp_path / "espeakng_loader.py").write_text("raise ImportError")
    monkeypatch.syspath_prepend(tmp_path)
    for name in espeak._SYSTEM_LIBRARIES:
        # Not in this process, in which another library of that name may be loaded.
        command = [sys.executable, "-c", f"import ctypes; ctypes.CDLL({name!r})"]
        if subprocess.run(command, capture_output=True).returncode == 0:
            pytest.skip("The system has eSpeak NG.")

    with pytest.raises(InputError, match=r"pip install .*\[speech\]'"):
        corpus_folder(TINY)
