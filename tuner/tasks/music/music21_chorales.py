"""Rebuilds the JSB Chorales from the Bach scores that come with music21, without a download.

For 374 of the 382 chorales, `jsb_music21_map.csv` lists the score, the transposition, and the
quarter notes of the score that are its frames. It contains no notes. The result is close but not
equal to the published data (`datasets.JSB_MUSIC21`), which hold some last chords longer and write
some repeats out; and music21 has corrected notes since.
"""

from __future__ import annotations

import csv
import dataclasses
import importlib.resources
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from common.errors import DataError, InputError, install, reason
from common.media.midi import HIGHEST_PITCH, LOWEST_PITCH, PITCHES, Roll
from tuner.tasks.music.piano_rolls import SPLITS, PianoRolls, from_arrays

COLUMNS_A_QUARTER = 4

_VOICES = ("Soprano", "Alto", "Tenor", "Bass")
_SEGMENT = re.compile(r"(\d+)\+(\d+)(?:h(\d+))?")
# Offsets such as thirds of a quarter note are rounded: a note that starts on a column must not
# seem to start after it.
_ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True)
class Segment:
    """A stretch of a score: its first quarter note, its length, and repeats of its last one.

    Quarter notes are counted from 0, the start of the first bar, whether complete or not.
    """

    start: int
    frames: int
    held: int


@dataclasses.dataclass(frozen=True)
class MapRow:
    """How a chorale in the published data is made from a score.

    Attributes:
        split: `train`, `valid` or `test`.
        index: index in that split, from 0.
        score: path inside music21's corpus; empty if no score was found.
        semitones: semitones to add to every pitch.
        published_frames: number of frames in the published chorale.
        identical_frames: number of frames that this recipe reproduces exactly (music21 10.5.1).
        segments: the stretches of the score, in order.
    """

    split: str
    index: int
    score: str
    semitones: int
    published_frames: int
    identical_frames: int
    segments: tuple[Segment, ...]


def read_map() -> tuple[MapRow, ...]:
    """Reads the map: 382 rows, in the order of the published data, 8 of them without a score.

    Example:
        >>> row = read_map()[0]
        >>> row.score, row.semitones, row.segments[1]
        ('bach/bwv190.7-inst.mxl', 10, Segment(start=126, frames=2, held=0))
    """
    resource = importlib.resources.files("tuner.tasks.music") / "jsb_music21_map.csv"
    with resource.open(encoding="utf-8") as file:
        return tuple(
            MapRow(
                split=row["split"],
                index=int(row["index"]),
                score=row["music21_path"],
                semitones=int(row["semitones"] or 0),
                published_frames=int(row["canon_frames"]),
                identical_frames=int(row["identical_frames"] or 0),
                segments=tuple(
                    Segment(*(int(number or 0) for number in match.groups()))
                    for match in _SEGMENT.finditer(row["segments_start_quarter+frames"])
                ),
            )
            for row in csv.DictReader(file)
        )


def corpus_folder() -> Path:
    """Returns the folder of the scores in the installed music21.

    Raises:
        InputError: if music21 is not installed.
    """
    try:
        from music21 import common
    except ImportError as error:
        raise InputError(
            "--data: expected the package music21 for the JSB Chorales without a download. "
            f"Received: not installed; run `{install('music')}`, or give your own with "
            "--data=PATH (.mat, .pickle, .json, .npz, or a folder of MIDI files)"
        ) from error
    return Path(common.getCorpusFilePath())


def build(rows: Iterable[MapRow], corpus: Path) -> dict[str, list[Roll]]:
    """Builds the chorales of some rows of the map; a score takes about 0.1 s.

    Args:
        rows: rows of the map; those without a score are left out.
        corpus: folder from `corpus_folder`.

    Returns:
        The rolls of each split, uint8 [frames, 88], in the order of the rows.

    Raises:
        InputError: if a score is missing or shorter than the map says, which can happen with
            another version of music21.
    """
    splits: dict[str, list[Roll]] = {name: [] for name in SPLITS}
    grids: dict[str, npt.NDArray[np.int16]] = {}
    for row in rows:
        if not row.score:
            continue
        if row.score not in grids:
            grids[row.score] = _score_grid(corpus / row.score)
        splits[row.split].append(_chorale(row, grids[row.score], corpus / row.score))
    return splits


def build_edition() -> PianoRolls:
    """Builds all 374 chorales, 22,531 frames; takes 40 to 60 s on one core.

    Raises:
        InputError: if music21 is not installed or its scores are not those of the map.
    """
    corpus = corpus_folder()
    return from_arrays(str(corpus), build(read_map(), corpus))


def _score_grid(path: Path) -> npt.NDArray[np.int16]:
    """Samples the pitch of each voice four times per quarter, [voices, columns], 0 for silence."""
    from music21 import converter

    try:
        # Without music21's cache, which is in a folder that all users share.
        score = converter.parse(path, forceSource=True, storePickle=False)
        return _sample(_voices(list(score.parts)))
    except Exception as error:
        raise DataError(
            path, f"expected a score as in music21 10.5.1. Received: {reason(error)}"
        ) from error


def _sample(voices: list[Any]) -> npt.NDArray[np.int16]:
    columns = round(COLUMNS_A_QUARTER * max(float(part.highestTime) for part in voices))
    grid = np.zeros((len(voices), columns), np.int16)
    for voice, part in enumerate(voices):
        for note in part.flatten().notes:
            # A grace note has no length, and so fills no column.
            start = _column(float(note.offset))
            end = _column(float(note.offset) + float(note.quarterLength))
            grid[voice, start:end] = max(pitch.midi for pitch in note.pitches)
    return grid


def _column(quarters: float) -> int:
    return math.ceil(COLUMNS_A_QUARTER * quarters - _ROUNDING)


def _voices(parts: list[Any]) -> list[Any]:
    """Picks the four singing voices: by name, or else the first four parts."""
    named = [
        next((part for part in parts if (part.partName or "").strip().startswith(voice)), None)
        for voice in _VOICES
    ]
    return parts[: len(_VOICES)] if None in named else named


def _chorale(row: MapRow, grid: npt.NDArray[np.int16], path: Path) -> Roll:
    columns: list[int] = []
    for segment in row.segments:
        quarters = range(segment.start, segment.start + segment.frames)
        columns += [COLUMNS_A_QUARTER * quarter for quarter in quarters]
        columns += columns[-1:] * segment.held
    if max(columns) >= grid.shape[1]:
        raise DataError(
            path,
            f"expected at least {max(columns) // COLUMNS_A_QUARTER + 1} quarter notes, as in "
            f"music21 10.5.1. Received: {grid.shape[1] / COLUMNS_A_QUARTER:g}",
        )
    roll = np.zeros((len(columns), PITCHES), np.uint8)
    for voice in grid[:, columns]:
        frames = np.flatnonzero(voice)
        pitches = voice[frames] + row.semitones
        if len(pitches) and not LOWEST_PITCH <= pitches.min() <= pitches.max() <= HIGHEST_PITCH:
            raise DataError(path, f"expected pitches that +{row.semitones} keeps on the piano")
        roll[frames, pitches - LOWEST_PITCH] = 1
    return roll
