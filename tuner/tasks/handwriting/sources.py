"""Turns what a person gave as `--data` into lines of handwriting with a name."""

from __future__ import annotations

import os
from pathlib import Path

from serving.command_line import InputError
from tuner.tasks import kept
from tuner.tasks.handwriting import line_file, synthetic
from tuner.tasks.handwriting.lines import SPLITS, Lines
from tuner.tasks.handwriting.npz_file import write_npz
from tuner.tasks.problems import one_line, reason, unusable
from tuner.tasks.task import Edition

SYNTHETIC = "synthetic handwriting (Hershey fonts)"

SYNTHETIC_SHA256 = "9ca7eeb12c20ee83b38219587f5050e741f9c7efecd401b1db1661ec4a7365c6"
"""The synthetic lines wherever they lie."""

SYNTHETIC_FILE = "handwriting_synthetic.npz"


def find(data: str) -> tuple[Lines, Edition]:
    """Finds the data.

    Args:
        data: one of
            `auto` or `synthetic`: synthetic lines, kept or built;
            `uji`: lines composed of the letters of UJI Pen Characters v2, kept or downloaded;
            a path: a folder with IAM-OnDB, unpacked or as its archives; `ujipenchars2.txt` or the
            `.zip` around it; or a file `.npz`, see `npz_file.read_npz`.

    Returns:
        The lines, and the edition that says what they are. Name and hash of the synthetic lines are
        the same however they were found.

    Raises:
        InputError: if there is nothing usable.
    """
    if not data:
        raise InputError("--data: expected auto, synthetic, uji or a path. Received: nothing")
    if data in ("auto", "synthetic"):
        lines, origin = _synthetic()
        return lines, _edition(SYNTHETIC, lines, origin)
    # The functions of os.path, other than those of Path, take any text without an error.
    path = Path(os.path.expanduser(data))
    lines = line_file.read_npz_file(path)
    recognized = lines.sha256() == SYNTHETIC_SHA256
    name = SYNTHETIC if recognized else one_line(f"handwriting of {path.name}")
    return lines, _edition(name, lines, f"read from {path}")


def _synthetic() -> tuple[Lines, str]:
    """The synthetic lines, built if not yet there; a damaged file is built again."""
    path = kept.folder() / SYNTHETIC_FILE
    try:
        lines = line_file.read_npz_file(path)
        if lines.sha256() == SYNTHETIC_SHA256:
            return lines, f"read from {path}"
    except InputError:
        pass  # Not there or damaged: it is made below.
    kept.tell("Writing synthetic lines in Hershey's fonts; once, about ten seconds ...")
    lines = synthetic.build()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_npz(path, lines)
    except OSError as error:
        kept.tell(f"{path} could not be kept: {reason(error)}")
        return lines, "built now"
    return lines, f"read from {path}"


def _edition(name: str, lines: Lines, origin: str) -> Edition:
    """Names the data, and says on standard error what was left out."""
    skipped = ", ".join(f"{count:,} {kind}" for kind, count in sorted(lines.skipped.items()))
    if skipped:
        kept.tell(f"{name}: lines left out: {skipped}")
    if not all(lines.counts):
        raise unusable(
            name,
            f"expected usable lines for {', '.join(SPLITS)}. "
            f"Received: {lines.counts}; left out: {skipped or 'none'}",
        )
    characters = (sum(len(line.text) for line in split) for split in lines.splits.values())
    size = (
        f"train + validation + test are {' + '.join(f'{count:,}' for count in lines.counts)} lines "
        f"of {' + '.join(f'{count:,}' for count in characters)} characters"
    )
    parts = [size, f"left out: {skipped}" if skipped else "", origin]
    return Edition(name, lines.sha256(), one_line("; ".join(part for part in parts if part)))
