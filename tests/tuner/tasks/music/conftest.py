"""What the music tests share: small rolls, the data beside the repository, and no network."""

from __future__ import annotations

import dataclasses
import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuner.tasks.music import sources
from tuner.tasks.music.piano_rolls import PianoRolls

# Small, and every split and sequence different, so that nothing can be swapped unseen.
_TINY_PITCHES: dict[str, Any] = {
    "train": [[[21, 60], [60], [], [64, 67, 108]], [[30], [31]]],
    "valid": [[[40, 44], [], [45]]],
    "test": [[[50], [51, 55]], [[52], [53], [54], [55], []], [[70, 71, 72], [73]]],
}


@pytest.fixture
def tiny_pitches() -> dict[str, Any]:
    """Tiny piano rolls as nested lists of MIDI pitches."""
    return json.loads(json.dumps(_TINY_PITCHES))


@pytest.fixture(scope="session")
def tiny() -> PianoRolls:
    """The same as piano rolls."""
    return _rolls(_TINY_PITCHES)


def _rolls(pitches: dict[str, Any]) -> PianoRolls:
    """Makes piano rolls in the most obvious way."""
    splits = {}
    for name, sequences in pitches.items():
        rolls = []
        for sequence in sequences:
            roll = np.zeros((len(sequence), 88), np.uint8)
            for frame, chord in enumerate(sequence):
                for pitch in chord:
                    roll[frame, pitch - 21] = 1
            rolls.append(roll)
        splits[name] = tuple(rolls)
    return PianoRolls(**splits)


def _pitches(rolls: PianoRolls, kind: type = int) -> dict[str, Any]:
    return {
        name: [[[kind(21 + j) for j in range(88) if frame[j]] for frame in roll] for roll in split]
        for name, split in rolls.splits.items()
    }


def _npz(rolls: PianoRolls) -> bytes:
    arrays: dict[str, Any] = {}
    for name, split in rolls.splits.items():
        arrays[name] = np.concatenate(split)
        arrays[f"{name}_lengths"] = [len(roll) for roll in split]
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


_WRITERS: dict[str, Callable[[PianoRolls], bytes]] = {
    "lists.pickle": lambda rolls: pickle.dumps(_pitches(rolls), protocol=2),
    "integers.pkl": lambda rolls: pickle.dumps(_pitches(rolls, np.int64), protocol=0),
    "rolls.json": lambda rolls: json.dumps(_pitches(rolls)).encode(),
    "rolls.npz": _npz,
}


@pytest.fixture(params=sorted(_WRITERS), scope="session")
def written(request: pytest.FixtureRequest) -> tuple[str, Callable[[PianoRolls], bytes]]:
    """A file name and what writes such a file, for every kind of file."""
    return request.param, _WRITERS[request.param]


@pytest.fixture(scope="session")
def contents(tiny: PianoRolls) -> dict[str, bytes]:
    """What is in such files of the tiny rolls, by file name."""
    return {name: write(tiny) for name, write in _WRITERS.items()}


@pytest.fixture
def music_data() -> Path:
    """The published files, which lie beside the repository or nowhere."""
    folder = Path(__file__).resolve().parents[4].parent / "shared" / "data" / "music"
    if not (folder / "JSB_Chorales.mat").is_file():
        pytest.skip("the published data is not beside the repository")
    return folder


@pytest.fixture(autouse=True)
def nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address where nobody answers instead of the network."""
    address = "http://127.0.0.1:9/JSB_Chorales.mat"
    nobody = dataclasses.replace(sources.CANONICAL, address=address)
    monkeypatch.setattr(sources, "CANONICAL", nobody)
