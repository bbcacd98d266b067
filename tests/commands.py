"""Commands of the project in processes of their own, without the seconds that imports take.

Python's fork server imports `tests.preloaded` once; what it forks has run none of the tests.
"""

from __future__ import annotations

import functools
import io
import multiprocessing
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from typing import Any

ROOT = pathlib.Path(os.path.abspath(__file__)).parents[1]

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.preloaded"])
_AT_FIRST = dict(os.environ)


@functools.cache
def _start_server() -> None:
    """Starts the fork server, once, with the variables that this process began with.

    The first test that forks may have a cache folder of its own, where nothing is compiled yet and
    which is gone when others fork.
    """
    now = dict(os.environ)
    try:
        _replace(_AT_FIRST)
        forkserver.ensure_running()
    finally:
        _replace(now)


def _replace(environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)


class Forked:
    """A process that calls a function, much like `subprocess.Popen`.

    Args:
        function: of a module; what it prints is kept.
        *arguments: of the function.
        environment: further variables.
        folder: where it works.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        environment: Mapping[str, str] | None = None,
        folder: pathlib.Path = ROOT,
    ) -> None:
        self._files = [tempfile.TemporaryFile() for _ in range(2)]
        names = [f"/proc/{os.getpid()}/fd/{file.fileno()}" for file in self._files]
        self._process = _CONTEXT.Process(
            target=_call,
            args=(names, {**os.environ, **(environment or {})}, folder, function, arguments),
        )
        _start_server()
        self._process.start()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """The exit status, if it has ended."""
        return self._process.exitcode

    def printed(self, text: str) -> str:
        """Waits for a line of its standard output that has a text; returns the line."""
        while True:
            ended = self.poll() is not None
            written = pathlib.Path(f"/proc/self/fd/{self._files[0].fileno()}").read_text("utf-8")
            for line in written.splitlines(keepends=True):
                if text in line and line.endswith("\n"):
                    return line
            assert not ended, self.wait()
            time.sleep(0.01)

    def send_signal(self, number: int) -> None:
        """Sends a signal."""
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """Ends it, if it has not ended."""
        self._process.kill()

    def wait(self) -> subprocess.CompletedProcess[str]:
        """Waits for its end; returns its exit status and what it printed."""
        self._process.join()
        texts = []
        for file in self._files:
            file.seek(0)
            texts.append(io.TextIOWrapper(file, encoding="utf-8").read())
        return subprocess.CompletedProcess("", self._process.exitcode, *texts)


def _call(
    names: list[str],
    environment: dict[str, str],
    folder: pathlib.Path,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    for number, name in enumerate(names, start=1):
        # Each opens its file anew, at the beginning: appending keeps their writes apart.
        descriptor = os.open(name, os.O_WRONLY | os.O_APPEND)
        os.dup2(descriptor, number)
        os.close(descriptor)
    # What a shell starts in the background ignores SIGINT, and so would its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _replace(environment)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    function(*arguments)


def run_module(module: str, *arguments: str) -> None:
    """Does what `python -m module arguments` does."""
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def run_code(code: str, *arguments: str) -> None:
    """Does what `python -c code arguments` does."""
    sys.argv = ["-c", *arguments]
    exec(code, {"__name__": "__main__"})


def start(module: str, *arguments: str, **options: Any) -> Forked:
    """Starts `python -m module arguments`."""
    return Forked(run_module, module, *arguments, **options)


def run(module: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs `python -m module arguments` to its end."""
    return start(module, *arguments, **options).wait()
