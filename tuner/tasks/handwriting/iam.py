"""Reads IAM-OnDB as people have it."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

import numpy as np

from common.command_line import log
from common.errors import DataError, RecordingError
from common.media.ink import read_strokes
from tuner.tasks.handwriting.iam_parts import SETS, Part, find_parts
from tuner.tasks.handwriting.lines import Collector, Lines

NAME = "IAM-OnDB"

COUNTS = (5355, 2956, 3859)
"""Lines that the paper trains, validates and tests with."""

_SPLITS = dict(zip(SETS, ("train", "validation", "validation", "test"), strict=True))

# Eleven percent signs for which there is no ink; the paper leaves the board out.
_BAD_BOARD = "a08-551z"

_Strokes = list[np.ndarray]

_STROKE_FILE = re.compile(r"(?P<board>.+)-(?P<number>\d+)\.xml")


def read_iam(folder: Path) -> tuple[Lines, str]:
    """Reads the lines of the boards that the four lists name.

    The sets v and t validate together, f tests. A line whose files are missing or damaged, or that
    cannot be learned from, is counted in `Lines.skipped`. Board z01-000z, which has ink but no
    text, is in none of the lists.

    Source: Liwicki and Bunke, *IAM-OnDB: an on-line English sentence database acquired from
        handwritten text on a whiteboard* (ICDAR 2005); Greff et al. (2015), section IV.A.

    Args:
        folder: see `iam_parts.find_parts`.

    Returns:
        The lines, and what they may be called: `IAM-OnDB` only if there are as many as in the
        paper.

    Raises:
        InputError: if a part is missing, a list is not as it should be, an archive is damaged, or a
            stroke file attacks its reader.
    """
    parts = find_parts(folder)
    log(f"Reading IAM-OnDB from {folder}; about a minute ...")
    collector = Collector()
    split_of = _read_sets(parts.sets)
    if split_of.pop(_BAD_BOARD, None):
        collector.skipped[f"board ({_BAD_BOARD}, signs without ink)"] += 1
    texts = _read_texts(parts.transcriptions, split_of)
    strokes = _read_strokes(parts.strokes, split_of)
    for board, split in split_of.items():
        _add_board(collector, split, texts.get(board, []), strokes.get(board, {}))
    lines = collector.lines()
    return lines, _name(lines)


def _read_sets(part: Part) -> dict[str, str]:
    """Reads the split of each board from the four lists, in their order."""
    lists = dict(part.files(SETS.__contains__))
    split_of: dict[str, str] = {}
    for name, split in _SPLITS.items():
        if name not in lists:
            raise DataError(part.path, f"expected the lists {', '.join(SETS)}. Received: no {name}")
        for board in lists[name].decode("latin-1").split():
            if board in split_of:
                raise DataError(
                    part.path, f"expected each board in one list. Received: {board} twice"
                )
            split_of[board] = split
    return split_of


def _read_texts(part: Part, boards: Collection[str]) -> dict[str, list[str]]:
    """Reads the lines of each board: those that are not empty after `CSR:`."""

    def wanted(name: str) -> bool:
        return name.endswith(".txt") and name.removesuffix(".txt") in boards

    texts = {}
    for name, content in part.files(wanted):
        written = content.decode("latin-1").partition("CSR:")[2]
        lines = (line.strip() for line in written.splitlines())
        texts[name.removesuffix(".txt")] = [line for line in lines if line]
    return texts


def _read_strokes(part: Part, boards: Collection[str]) -> dict[str, dict[int, _Strokes | None]]:
    """Reads the strokes of each board's lines by their number from 1; None for a damaged file."""

    def wanted(name: str) -> bool:
        match = _STROKE_FILE.fullmatch(name)
        return match is not None and match["board"] in boards

    strokes: dict[str, dict[int, _Strokes | None]] = {}
    for name, content in part.files(wanted):
        match = _STROKE_FILE.fullmatch(name)
        assert match is not None
        try:
            line: _Strokes | None = read_strokes(f"{part.path}: {name}", content)
        except RecordingError:
            line = None
        strokes.setdefault(match["board"], {})[int(match["number"])] = line
    return strokes


def _add_board(
    collector: Collector, split: str, texts: list[str], strokes: dict[int, _Strokes | None]
) -> None:
    if not texts and not strokes:
        collector.skipped["boards without files"] += 1
    for number in sorted({*range(1, len(texts) + 1), *strokes}):
        line = strokes.get(number, [])
        if line is None:
            collector.skipped["lines with a damaged stroke file"] += 1
        else:
            collector.add(split, line, texts[number - 1] if 0 < number <= len(texts) else "")


def _name(lines: Lines) -> str:
    if lines.counts == COUNTS:
        return NAME
    received = " + ".join(f"{count:,}" for count in lines.counts)
    expected = " + ".join(f"{count:,}" for count in COUNTS)
    less = any(count < known for count, known in zip(lines.counts, COUNTS, strict=True))
    how = "incomplete" if less else "other lines"
    return f"{NAME}, {how} ({received}; in the paper {expected})"
