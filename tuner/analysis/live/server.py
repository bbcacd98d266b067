"""Serves the progress of studies to a browser on the same machine, and pushes changes to it.

    /            the page that changes as trials end
    /events      server-sent events: the state of the studies, as JSON
    /report/     the report on what has ended so far, the same page that is written at the end

It listens only on the loopback interface, and answers only requests that name it as the host: a
foreign page cannot read it through a name that resolves to this machine.
"""

from __future__ import annotations

import functools
import http
import http.server
import json
import math
import mimetypes
import threading
import time
import urllib.parse
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from common.errors import InputError
from tuner.analysis.live.standing import Follower, stamp

HOST = "127.0.0.1"
_POLL_SECONDS = 1.0
_BEAT_SECONDS = 15.0
"""How often a browser hears from the server when nothing changes."""
_FRESH_SECONDS = 30.0
"""How old a report may be before it is rewritten, if trials have ended since."""
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FILES = {
    "/": ("tuner.analysis.live", "templates/live.html"),
    "/theme.css": ("common", "theme.css"),
    "/style.css": ("tuner.analysis.report", "templates/style.css"),
    "/live.css": ("tuner.analysis.live", "templates/live.css"),
    "/live.js": ("tuner.analysis.live", "templates/live.js"),
}
"""Package and file of each address."""


class _State:
    """The state of the studies, read once for all watching browsers."""

    def __init__(
        self, directories: Sequence[Path], running: Callable[[], Sequence[str]] | None
    ) -> None:
        self._directories = directories
        self._follower = Follower(directories)
        self._running = running
        self.changed = threading.Condition()
        self.version, self.files_version = 0, 0
        self.text = "{}"
        self.ended = False

    def follow(self) -> None:
        """Reads the studies again whenever something has changed, until `ended`."""
        read: Any = None
        found: dict[str, Any] = {}
        while not self.ended:
            seen = stamp(self._directories)
            if seen != read:
                read, self.files_version = seen, self.files_version + 1
                try:
                    found = self._follower.read()
                except (InputError, OSError) as error:
                    found = {"error": str(error)}
            running = None if self._running is None else list(self._running())
            text = json.dumps({**found, "running": running}, allow_nan=False)
            if text != self.text:
                with self.changed:
                    self.text, self.version = text, self.version + 1
                    self.changed.notify_all()
            time.sleep(_POLL_SECONDS)


class _Report:
    """The report on what has ended so far, written on request."""

    def __init__(self, write: Callable[[], Path], folder: Path) -> None:
        self._write, self.folder = write, folder.resolve()
        self._lock = threading.Lock()
        self._version, self._written = -1, -_FRESH_SECONDS

    def refresh(self, version: int) -> None:
        """Rewrites the report if trials have ended, but not too often."""
        with self._lock:
            old = time.monotonic() - self._written >= _FRESH_SECONDS
            if version != self._version and old:
                self._write()
                self._version, self._written = version, time.monotonic()

    def close(self) -> None:
        """Waits for a report that is being written, and prevents any others."""
        with self._lock:
            self._written = math.inf


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers GET requests."""

    protocol_version = "HTTP/1.1"
    server: LiveServer

    def do_GET(self) -> None:
        """Answers a request."""
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if host not in (HOST, "localhost"):
            self._refuse(http.HTTPStatus.FORBIDDEN, f"expected the host {HOST} or localhost")
            return
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        if path in _FILES:
            package, name = _FILES[path]
            content = resources.files(package).joinpath(name).read_bytes()
            self._answer(content, name, _POLICY)
        elif path == "/events":
            self._stream()
        elif path.startswith("/report/"):
            self._report(path.removeprefix("/report/") or "index.html")
        else:
            self._refuse(http.HTTPStatus.NOT_FOUND, "there is no such page")

    def _report(self, name: str) -> None:
        report = self.server.report
        try:
            if name == "index.html":
                report.refresh(self.server.state.files_version)
            path = (report.folder / name).resolve()
            if not path.is_relative_to(report.folder):
                raise FileNotFoundError
            content = path.read_bytes()
        except InputError as error:
            self._refuse(http.HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        except OSError:
            self._refuse(http.HTTPStatus.NOT_FOUND, "there is no such file of the report")
        else:
            self._answer(content, path.name, "frame-ancestors 'self'")

    def _stream(self) -> None:
        self.send_response(http.HTTPStatus.OK)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        state, seen = self.server.state, 0
        while not state.ended:
            with state.changed:
                if state.version == seen and not state.ended:
                    state.changed.wait(_BEAT_SECONDS)
                text = state.text if state.version != seen else ""
                seen = state.version
            try:
                self.wfile.write(f"data: {text}\n\n".encode() if text else b": still here\n\n")
                self.wfile.flush()
            except OSError:
                return

    def _answer(self, content: bytes, name: str, policy: str) -> None:
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        self.send_response(http.HTTPStatus.OK)
        charset = "; charset=utf-8" if kind.startswith("text/") else ""
        self.send_header("Content-Type", kind + charset)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", policy)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def _refuse(self, status: http.HTTPStatus, reason: str) -> None:
        content = f"{reason}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Logs nothing: the terminal belongs to the study."""


class LiveServer(http.server.ThreadingHTTPServer):
    """Serves the live page of studies.

    Args:
        directories: directories of the studies, which need not have begun.
        write_report: writes the report on what has ended so far, and returns its page.
        folder: folder of that report.
        port: port to listen on; 0 for a free one.
        running: returns a line for each running trial, if this process runs the studies.

    Raises:
        InputError: if the port is not available.

    Example:
        ```python
        with LiveServer([Path("studies/music")], write, Path("studies/music/report")) as server:
            print(server.url)
            server.serve_forever()
        ```
    """

    daemon_threads = True

    def __init__(
        self,
        directories: Sequence[Path],
        write_report: Callable[[], Path],
        folder: Path,
        port: int = 0,
        running: Callable[[], Sequence[str]] | None = None,
    ) -> None:
        self.state = _State(directories, running)
        self.report = _Report(write_report, folder)
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise InputError(f"--port: cannot listen on {HOST}:{port}: {error}") from error
        threading.Thread(target=self.state.follow, daemon=True).start()

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{HOST}:{self.server_address[1]}/"

    def server_close(self) -> None:
        """Ends the streams, and closes the port."""
        self.state.ended = True
        with self.state.changed:
            self.state.changed.notify_all()
        self.report.close()
        super().server_close()

    def start(self) -> None:
        """Serves in a separate thread."""
        threading.Thread(
            target=functools.partial(self.serve_forever, poll_interval=0.2), daemon=True
        ).start()

    def handle_error(self, *_: Any) -> None:
        """Ignores the error: a browser may disconnect at any time."""
