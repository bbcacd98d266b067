"""A study of which more and more trials have ended."""

from __future__ import annotations

import json
import pathlib
import shutil

from tests.tuner import tiny
from tests.tuner.studies import run


def make(folder: pathlib.Path) -> pathlib.Path:
    """A study of two variants with three trials each."""
    run(folder / "tiny", tiny.config(("V", "NP"), trials=3))
    return folder / "tiny"


def interrupt(whole: pathlib.Path, to: pathlib.Path) -> pathlib.Path:
    """The same while NP has ended one trial."""
    shutil.copytree(whole, to / "tiny")
    go_on(whole, to / "tiny", 1)
    return to / "tiny"


def go_on(whole: pathlib.Path, half: pathlib.Path, trials: int) -> list[dict]:
    """Lets so many trials of NP have ended; returns all lines of the ledger."""
    written = (whole / "trials" / "NP.jsonl").read_text().splitlines(keepends=True)
    (half / "trials" / "NP.jsonl").write_text("".join(written[:trials]))
    return [json.loads(line) for line in written]
