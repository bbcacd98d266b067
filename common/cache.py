"""The user's cache folder, for data that is built or downloaded once."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from common.command_line import log
from common.errors import DownloadError, reason

_Data = TypeVar("_Data")

FOLDER_VARIABLE = "LSTM_ODYSSEY_CACHE"

# A machine without a network should lose only seconds.
_ANSWER_SECONDS = 5


def folder() -> Path:
    """Returns the folder: `$LSTM_ODYSSEY_CACHE`, or one in the user's cache folder."""
    import pooch

    named = os.environ.get(FOLDER_VARIABLE)
    return Path(os.path.expanduser(named)) if named else Path(pooch.os_cache("lstm-odyssey"))


def read_or_build(
    file_name: str,
    read: Callable[[Path], _Data | None],
    build: Callable[[], _Data],
    write: Callable[[Path, _Data], None],
    message: str,
) -> tuple[_Data, str]:
    """Reads data from the cache folder, or builds the data and caches it.

    Args:
        file_name: name of the cached file.
        read: reads the data from a path; returns None if it is missing, damaged or different.
        build: builds the data.
        write: writes the data to a path.
        message: message to log before building.

    Returns:
        The data, and a phrase that says where it came from.
    """
    path = folder() / file_name
    data = read(path)
    if data is not None:
        return data, f"read from {path}"
    log(message)
    data = build()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, data)
    except OSError as error:
        log(f"{path} could not be cached: {reason(error)}")
        return data, "built now"
    return data, f"read from {path}"


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """A published file, pinned by its hash.

    Attributes:
        address: its URL.
        sha256: hash of its content.
        file_name: its name in the cache folder.
        seconds: time limit for the download.
    """

    address: str
    sha256: str
    file_name: str
    seconds: float = 10

    def fetch(self) -> Path:
        """Downloads the file if it is not in the cache; a damaged one is fetched again.

        The HTTP library's timeout applies to each address of a host separately, and not to name
        resolution, so a separate thread downloads the file, with a limit on the wait for it.

        Raises:
            DownloadError: if it cannot be fetched in time.
        """
        done: list[Path | Exception] = []

        def work() -> None:
            try:
                done.append(self._retrieve())
            except Exception as error:
                done.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(self.seconds)
        if not done:
            raise DownloadError(f"no answer within {self.seconds:g} seconds")
        if isinstance(done[0], Exception):
            raise DownloadError(_network_reason(done[0])) from done[0]
        return done[0]

    def _retrieve(self) -> Path:
        import pooch

        # Its log would announce the download on standard error.
        pooch.get_logger().setLevel("WARNING")
        path = pooch.retrieve(
            self.address,
            known_hash=f"sha256:{self.sha256}",
            fname=self.file_name,
            path=folder(),
            downloader=pooch.HTTPDownloader(timeout=_ANSWER_SECONDS),
        )
        return Path(path)


def _network_reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.exceptions.Timeout):
        return f"no answer within {_ANSWER_SECONDS} seconds"
    if isinstance(error, requests.exceptions.ConnectionError):
        return "no connection"
    return reason(error)
