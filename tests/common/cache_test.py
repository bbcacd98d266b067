from __future__ import annotations

import dataclasses
import hashlib
import http.server
import threading

import pytest

from common import cache
from common.errors import DownloadError

CONTENT = b"as if these were data"


@pytest.fixture
def server():
    """A web server on this machine, and the address of its file."""

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
    yield Handler, f"http://127.0.0.1:{running.server_port}/published.bin"
    running.shutdown()
    running.server_close()


@pytest.fixture
def published(server):
    """A file that the web server publishes."""
    return cache.RemoteFile(server[1], hashlib.sha256(CONTENT).hexdigest(), "published.bin")


def test_file_is_fetched_once(server, published, cache_folder):
    assert published.fetch() == cache_folder / "published.bin"
    assert published.fetch().read_bytes() == CONTENT
    assert server[0].requests == 1


def test_damaged_file_is_fetched_again(server, cache_folder, published):
    cache_folder.mkdir()
    (cache_folder / "published.bin").write_bytes(CONTENT[:5])

    assert published.fetch().read_bytes() == CONTENT


def test_other_content_is_not_kept(server, cache_folder, published):
    server[0].answer = staticmethod(lambda: b"a login page")

    with pytest.raises(DownloadError) as caught:
        published.fetch()

    assert str(caught.value).isprintable()
    assert list(cache_folder.iterdir()) == []


def test_missing_page_is_a_reason(server, published):
    server[0].answer = staticmethod(lambda: b"")

    with pytest.raises(DownloadError, match="404"):
        published.fetch()


def test_no_connection_is_a_reason(published):
    nobody = dataclasses.replace(published, address="http://127.0.0.1:9/published.bin")
    with pytest.raises(DownloadError, match="^no connection$"):
        nobody.fetch()


def test_a_server_that_does_not_answer_costs_little_time(server, monkeypatch, published):
    over = threading.Event()

    def slow():
        over.wait(300)
        return CONTENT

    server[0].answer = staticmethod(slow)
    monkeypatch.setattr(cache, "_ANSWER_SECONDS", 0.2)
    with pytest.raises(DownloadError, match="no answer within 0.2 seconds"):
        published.fetch()
    monkeypatch.setattr(cache, "_ANSWER_SECONDS", 5)
    published = dataclasses.replace(published, seconds=0.3)
    with pytest.raises(DownloadError, match="no answer within 0.3 seconds"):
        published.fetch()
    over.set()


def test_cache_that_cannot_be_written_is_a_reason(server, cache_folder, published):
    cache_folder.write_text("a file where the folder should be")

    with pytest.raises(DownloadError, match="Not a directory"):
        published.fetch()


def test_folder_of_the_user_without_the_variable(monkeypatch):
    monkeypatch.delenv(cache.FOLDER_VARIABLE)

    assert cache.folder().name == "lstm-odyssey"


def read_or_build(built):
    """Data that are built as `built`, and where they came from."""

    def read(path):
        return path.read_text() if path.is_file() and path.read_text() != "damaged" else None

    return cache.read_or_build(
        "data.txt", read, lambda: built, lambda path, data: path.write_text(data) and None, "Soon."
    )


def test_data_are_built_once_and_again_if_they_are_damaged(cache_folder, capsys):
    path = cache_folder / "data.txt"
    assert read_or_build("one") == ("one", f"read from {path}")
    assert capsys.readouterr().err == "Soon.\n"
    assert read_or_build("two") == ("one", f"read from {path}")
    assert capsys.readouterr().err == ""
    path.write_text("damaged")
    assert read_or_build("three") == ("three", f"read from {path}")
    assert path.read_text() == "three"


def test_data_that_cannot_be_kept_are_used_all_the_same(cache_folder, capsys):
    cache_folder.write_text("a file where the folder should be")
    assert read_or_build("one") == ("one", "built now")
    assert capsys.readouterr().err.endswith("could not be cached: File exists\n")
