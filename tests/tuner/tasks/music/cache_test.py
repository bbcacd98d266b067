from __future__ import annotations

import hashlib
import http.server
import threading
import time

import pytest

from serving.command_line import InputError
from tuner.tasks.music import cache, editions, music21_edition
from tuner.tasks.music.npz_file import write_npz

PINNED_ADDRESS = cache.CANONICAL_ADDRESS
CONTENT = b"as if these were chorales"


@pytest.fixture
def server(monkeypatch):
    """A web server on this machine; `answers` says what it does, `requests` counts."""

    class Handler(http.server.BaseHTTPRequestHandler):
        answer = staticmethod(lambda: CONTENT)
        requests = 0

        def do_GET(self):
            Handler.requests += 1
            content = Handler.answer()
            self.send_response(200 if content else 404)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_):
            pass  # A client that did not wait is what some tests are about.

    running = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{running.server_port}/JSB_Chorales.mat"
    monkeypatch.setattr(cache, "CANONICAL_ADDRESS", address)
    monkeypatch.setattr(cache, "CANONICAL_SHA256", hashlib.sha256(CONTENT).hexdigest())
    yield Handler
    running.shutdown()
    running.server_close()


def test_the_address_is_pinned_to_a_commit_and_a_hash():
    assert "/2f8c2b817050206397458dfd1f5a25ce8a32fe65/" in PINNED_ADDRESS
    assert len(cache.CANONICAL_SHA256) == 64


def test_published_file_has_the_pinned_hash(music_data):
    content = (music_data / "JSB_Chorales.mat").read_bytes()

    assert hashlib.sha256(content).hexdigest() == cache.CANONICAL_SHA256


def test_file_is_fetched_once(server, cache_folder):
    assert cache.canonical_file() == cache_folder / "JSB_Chorales.mat"
    assert cache.canonical_file().read_bytes() == CONTENT
    assert server.requests == 1


def test_damaged_file_is_fetched_again(server, cache_folder):
    cache_folder.mkdir()
    (cache_folder / "JSB_Chorales.mat").write_bytes(CONTENT[:5])

    assert cache.canonical_file().read_bytes() == CONTENT


def test_other_content_is_not_kept(server, cache_folder):
    server.answer = staticmethod(lambda: b"a login page")

    with pytest.raises(cache.Unavailable) as caught:
        cache.canonical_file()

    assert str(caught.value).isprintable()
    assert list(cache_folder.iterdir()) == []


def test_missing_page_is_a_reason(server):
    server.answer = staticmethod(lambda: b"")

    with pytest.raises(cache.Unavailable, match="404"):
        cache.canonical_file()


def test_no_connection_is_a_reason():
    with pytest.raises(cache.Unavailable, match="^no connection$"):
        cache.canonical_file()


def test_a_server_that_does_not_answer_costs_little_time(server, monkeypatch):
    def slow():
        time.sleep(3)
        return CONTENT

    server.answer = staticmethod(slow)
    monkeypatch.setattr(cache, "_ANSWER_SECONDS", 0.2)
    before = time.monotonic()
    with pytest.raises(cache.Unavailable, match="no answer within 0.2 seconds"):
        cache.canonical_file()
    monkeypatch.setattr(cache, "_ANSWER_SECONDS", 5)
    monkeypatch.setattr(cache, "_DOWNLOAD_SECONDS", 0.3)
    with pytest.raises(cache.Unavailable, match="no answer within 0.3 seconds"):
        cache.canonical_file()
    assert time.monotonic() - before < 2.5


def test_cache_that_cannot_be_written_is_a_reason(server, cache_folder):
    cache_folder.write_text("a file where the folder should be")

    with pytest.raises(cache.Unavailable, match="Not a directory"):
        cache.canonical_file()


def test_cache_folder_of_the_user_without_the_variable(monkeypatch):
    monkeypatch.delenv(cache.CACHE_VARIABLE)

    assert cache.cache_folder().name == "lstm-odyssey"


@pytest.fixture
def built(tiny, monkeypatch):
    """Replaces the slow building; returns how often it was done."""
    calls = []

    def build_edition():
        calls.append(1)
        return tiny

    monkeypatch.setattr(music21_edition, "build_edition", build_edition)
    monkeypatch.setattr(music21_edition, "corpus_folder", lambda: None)
    known = editions.KnownEdition("music21 edition", tiny.counts, tiny.sha256(), "a note")
    monkeypatch.setattr(editions, "JSB_MUSIC21", known)
    monkeypatch.setattr(editions, "KNOWN_EDITIONS", (known,))
    return calls


def test_music21_edition_is_built_once(built, tiny, cache_folder, capsys):
    first, origin = cache.music21_file()
    assert "once, about a minute" in capsys.readouterr().err
    second, origin_again = cache.music21_file()

    assert len(built) == 1
    assert first.sha256() == second.sha256() == tiny.sha256()
    assert origin == origin_again == f"read from {cache_folder / 'jsb_music21_edition.npz'}"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("damage", ["cut", "empty", "folder", "other music"])
def test_damaged_edition_is_built_again(built, tiny, cache_folder, damage):
    path = cache_folder / cache.MUSIC21_FILE
    cache.music21_file()
    content = path.read_bytes()
    if damage == "folder":
        path.unlink()
        path.mkdir()
    elif damage == "other music":
        write_npz(path, type(tiny)(train=tiny.test, valid=tiny.valid, test=tiny.train))
    else:
        path.write_bytes(content[:100] if damage == "cut" else b"")

    rolls, _ = cache.music21_file()

    assert len(built) == 2
    assert rolls.sha256() == tiny.sha256()
    if damage != "folder":
        assert path.read_bytes() == content


def test_edition_that_cannot_be_kept_is_used_all_the_same(built, tiny, cache_folder, capsys):
    cache_folder.write_text("a file where the folder should be")

    rolls, origin = cache.music21_file()

    assert rolls.sha256() == tiny.sha256()
    assert origin == "built now"
    assert "could not be kept" in capsys.readouterr().err


def test_without_music21_nothing_is_promised(monkeypatch, capsys):
    def refuse():
        raise InputError("not installed")

    monkeypatch.setattr(music21_edition, "corpus_folder", refuse)

    with pytest.raises(InputError, match="not installed"):
        cache.music21_file()
    assert capsys.readouterr().err == ""
