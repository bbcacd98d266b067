"""What tasks keep between runs: one folder, and files fetched into it."""

from __future__ import annotations

import dataclasses
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from common import cache
from common.errors import one_line, reason

# A machine without a network shall lose only seconds.
_ANSWER_SECONDS = 5


class Unavailable(Exception):
    """A published file is neither kept nor can it be fetched; the text says why."""


def tell(message: str) -> None:
    """Says on standard error, in one line, what takes time or went wrong with a kept file."""
    print(one_line(message), file=sys.stderr, flush=True)


@dataclasses.dataclass(frozen=True)
class Published:
    """A file that somebody publishes, exactly this one.

    Attributes:
        address: where it is.
        sha256: what is in it.
        file_name: its name in the folder.
        seconds: how long its download may take.
    """

    address: str
    sha256: str
    file_name: str
    seconds: float = 10

    def fetch(self) -> Path:
        """Downloads the file if it is not kept yet; a damaged one is fetched again.

        Raises:
            Unavailable: if it cannot be had in time.
        """
        return Path(_within(self.seconds, self._retrieve))

    def _retrieve(self) -> str:
        import pooch

        # Its log would announce the download as news on standard error.
        pooch.get_logger().setLevel("WARNING")
        path: str = pooch.retrieve(
            self.address,
            known_hash=f"sha256:{self.sha256}",
            fname=self.file_name,
            path=cache.folder(),
            downloader=pooch.HTTPDownloader(timeout=_ANSWER_SECONDS),
        )
        return path


def _within(seconds: float, fetch: Callable[[], str]) -> str:
    """Calls `fetch`, but waits no longer than some seconds.

    The time-out of the HTTP library counts for each address of a host anew, and not for finding
    them.

    Raises:
        Unavailable: if it takes longer or fails.
    """
    paths: list[str] = []
    problems: list[Exception] = []

    def work() -> None:
        try:
            paths.append(fetch())
        except Exception as error:
            problems.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if paths:
        return paths[0]
    if problems:
        raise Unavailable(_network_reason(problems[0])) from problems[0]
    raise Unavailable(f"no answer within {seconds:g} seconds")


def _network_reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.exceptions.Timeout):
        return f"no answer within {_ANSWER_SECONDS} seconds"
    if isinstance(error, requests.exceptions.ConnectionError):
        return "no connection"
    return reason(error)
