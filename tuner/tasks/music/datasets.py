"""Recognizes published data by their content, so that a result never carries a wrong name."""

from __future__ import annotations

import dataclasses

from tuner.tasks.music.piano_rolls import PianoRolls
from tuner.tasks.task import DatasetInfo


@dataclasses.dataclass(frozen=True)
class KnownDataset:
    """A published dataset.

    Attributes:
        name: name of the dataset.
        counts: see `PianoRolls.counts`.
        sha256: see `PianoRolls.sha256`.
        note: what a reader of a result should know about the dataset.
    """

    name: str
    counts: tuple[tuple[int, int], ...]
    sha256: str
    note: str


JSB_CHORALES = KnownDataset(
    name="JSB Chorales",
    counts=((229, 13_807), (76, 4_602), (77, 4_725)),
    sha256="d40ed9b0a64a04c70e79d3695bd85823ac41c9ea6284a479d9aff849155ed73e",
    note="the splits of Boulanger-Lewandowski et al. (2012), a frame a quarter note",
)
NOTTINGHAM = KnownDataset(
    name="Nottingham",
    counts=((694, 176_561), (173, 45_513), (170, 44_463)),
    sha256="cf213f20d0ff9480d8c80f77730b5176647bd63f47cd2a0f46bb4c1b2ac26e4f",
    note="the splits of Boulanger-Lewandowski et al. (2012)",
)
# The numbers in the note are sums over the columns of jsb_music21_map.csv.
JSB_MUSIC21 = KnownDataset(
    name="JSB Chorales, music21 edition (374 of 382)",
    counts=((224, 13_445), (73, 4_361), (77, 4_725)),
    sha256="92449324c28bc7ec30267695e04a6ec4135a881fa16fe1fb7868d7d50f91686b",
    note=(
        "rebuilt from the scores in music21, equal to the JSB Chorales in 21,336 of their 23,134 "
        "frames (92.2 %)"
    ),
)
KNOWN_DATASETS = (JSB_CHORALES, NOTTINGHAM, JSB_MUSIC21)


def recognize(rolls: PianoRolls, neutral_name: str, origin: str) -> DatasetInfo:
    """Identifies data: known data by their notes, whatever file they came in.

    Args:
        rolls: the data.
        neutral_name: name of the data if they are not known.
        origin: where the data came from; the end of the description.
    """
    sequences = " + ".join(f"{count:,}" for count, _ in rolls.counts)
    frames = " + ".join(f"{count:,}" for _, count in rolls.counts)
    size = f"train + valid + test are {sequences} sequences of {frames} frames"
    sha256 = rolls.sha256()
    for known in KNOWN_DATASETS:
        if (known.counts, known.sha256) == (rolls.counts, sha256):
            return DatasetInfo(known.name, sha256, f"{known.note}; {size}; {origin}")
    return DatasetInfo(neutral_name, sha256, f"{size}; {origin}")
