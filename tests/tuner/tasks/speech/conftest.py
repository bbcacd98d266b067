"""What the speech tests share: corpora in TIMIT's layout, made of noise."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from common.media import audio
from tuner.tasks.speech import labels
from tuner.tasks.speech.labels import Segment
from tuner.tasks.speech.phones import PHONES
from tuner.tasks.speech.timit import TEST, VALIDATION

# A few speakers of each split; of the folder TEST one who is in neither list.
SPEAKERS = {
    "TRAIN/DR1": ["fcjf0", "mdac0"],
    "TRAIN/DR8": ["mbcg0"],
    "TEST/DR1": [min(TEST), min(VALIDATION), "fxxx0"],
}
SENTENCES = ("sa1", "sa2", "si10", "sx20")
PATHS = {
    "train": {("fcjf0", "si10"), ("fcjf0", "sx20"), ("mdac0", "si10"), ("mdac0", "sx20")}
    | {("mbcg0", "si10"), ("mbcg0", "sx20")},
    "validation": {(min(VALIDATION), "si10"), (min(VALIDATION), "sx20")},
    "test": {(min(TEST), "si10"), (min(TEST), "sx20")},
}


@dataclasses.dataclass(frozen=True)
class Spoken:
    """An utterance that nobody spoke."""

    samples: np.ndarray
    segments: tuple[Segment, ...]


def spoken(speaker: str, name: str) -> Spoken:
    """Noise whose loudness depends on the phone; every utterance another."""
    generator = np.random.default_rng([*f"{speaker} {name}".encode()])
    phones = generator.choice(len(PHONES), size=generator.integers(5, 12))
    ends = np.cumsum(generator.integers(300, 1500, size=len(phones)))
    cuts = itertools.pairwise([0, *map(int, ends)])
    segments = tuple(
        Segment(start, end, PHONES[phone])
        for (start, end), phone in zip(cuts, phones, strict=True)
    )
    loudness = np.concatenate(
        [np.full(one.end - one.start, 10 * (PHONES.index(one.phone) + 1)) for one in segments]
    )
    noise = generator.normal(size=len(loudness)) * loudness
    return Spoken(np.rint(noise).astype(np.int16), segments)


def write_speaker(
    folder: Path,
    speaker: str,
    sentences: Iterable[str] = SENTENCES,
    case: Callable[[str], str] = str.upper,
) -> None:
    """Writes what a speaker said into a folder of the speaker's name."""
    place = folder / case(speaker)
    place.mkdir(parents=True)
    for name in sentences:
        utterance = spoken(speaker, name)
        audio.write_sphere(place / case(f"{name}.wav"), utterance.samples)
        labels.write(place / case(f"{name}.phn"), utterance.segments)
        (place / case(f"{name}.txt")).write_text("0 1 Nobody said this.\n")
        (place / case(f"{name}.wrd")).write_text("0 1 nobody\n")


def write_timit(root: Path, case: Callable[[str], str] = str.upper) -> Path:
    """Writes a small corpus in TIMIT's layout."""
    for path, speakers in SPEAKERS.items():
        for speaker in speakers:
            write_speaker(root / case(path), speaker, case=case)
    return root


@pytest.fixture
def timit_folder(tmp_path: Path) -> Path:
    """A small corpus in TIMIT's layout, upper case."""
    return write_timit(tmp_path / "corpus")
