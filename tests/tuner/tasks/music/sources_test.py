from __future__ import annotations

import hashlib

import pytest

from common.errors import InputError
from tuner.tasks.music import datasets, music21_chorales, sources
from tuner.tasks.music.formats import write_npz

# The tests replace the address.
PUBLISHED = sources.CANONICAL


def test_the_address_is_pinned_to_a_commit_and_a_hash():
    assert "/2f8c2b817050206397458dfd1f5a25ce8a32fe65/" in PUBLISHED.address
    assert len(PUBLISHED.sha256) == 64


def test_published_file_has_the_pinned_hash(music_data):
    content = (music_data / "JSB_Chorales.mat").read_bytes()

    assert hashlib.sha256(content).hexdigest() == PUBLISHED.sha256


@pytest.fixture
def built(tiny, monkeypatch):
    """Replaces the slow building; returns how often it was done."""
    calls = []

    def build_edition():
        calls.append(1)
        return tiny

    monkeypatch.setattr(music21_chorales, "build_edition", build_edition)
    monkeypatch.setattr(music21_chorales, "corpus_folder", lambda: None)
    known = datasets.KnownDataset("music21 edition", tiny.counts, tiny.sha256(), "a note")
    monkeypatch.setattr(datasets, "JSB_MUSIC21", known)
    monkeypatch.setattr(datasets, "KNOWN_DATASETS", (known,))
    return calls


def test_music21_edition_is_built_once(built, tiny, cache_folder, capsys):
    first, origin = sources.music21_file()
    assert "once, about a minute" in capsys.readouterr().err
    second, origin_again = sources.music21_file()

    assert len(built) == 1
    assert first.sha256() == second.sha256() == tiny.sha256()
    assert origin == origin_again == f"read from {cache_folder / 'jsb_music21_edition.npz'}"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("damage", ["cut", "empty", "folder", "other music"])
def test_damaged_edition_is_built_again(built, tiny, cache_folder, damage):
    path = cache_folder / sources.MUSIC21_FILE
    sources.music21_file()
    content = path.read_bytes()
    if damage == "folder":
        path.unlink()
        path.mkdir()
    elif damage == "other music":
        write_npz(path, type(tiny)(train=tiny.test, valid=tiny.valid, test=tiny.train))
    else:
        path.write_bytes(content[:100] if damage == "cut" else b"")

    rolls, _ = sources.music21_file()

    assert len(built) == 2
    assert rolls.sha256() == tiny.sha256()
    if damage != "folder":
        assert path.read_bytes() == content


def test_edition_that_cannot_be_kept_is_used_all_the_same(built, tiny, cache_folder, capsys):
    cache_folder.write_text("a file where the folder should be")

    rolls, origin = sources.music21_file()

    assert rolls.sha256() == tiny.sha256()
    assert origin == "built now"
    assert "could not be kept" in capsys.readouterr().err


def test_without_music21_nothing_is_promised(monkeypatch, capsys):
    def refuse():
        raise InputError("not installed")

    monkeypatch.setattr(music21_chorales, "corpus_folder", refuse)

    with pytest.raises(InputError, match="not installed"):
        sources.music21_file()
    assert capsys.readouterr().err == ""
