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
import scipy.io

from tuner.tasks.music import cache
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


def _pitches(rolls: PianoRolls) -> dict[str, Any]:
    return {
        name: [[[21 + j for j in range(88) if frame[j]] for frame in roll] for roll in split]
        for name, split in rolls.splits.items()
    }


def _matlab(rolls: PianoRolls, compressed: bool) -> bytes:
    variables = {}
    for name, split in rolls.splits.items():
        cells = np.empty((1, len(split)), object)
        cells[0, :] = list(split)
        variables[f"{name}data"] = cells
    file = io.BytesIO()
    scipy.io.savemat(file, variables, do_compression=compressed)
    return file.getvalue()


def _npz(rolls: PianoRolls) -> bytes:
    arrays: dict[str, Any] = {}
    for name, split in rolls.splits.items():
        arrays[name] = np.concatenate(split)
        arrays[f"{name}_lengths"] = [len(roll) for roll in split]
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _numpy_pickle(rolls: PianoRolls, protocol: int) -> bytes:
    return pickle.dumps(
        {
            name: [[np.array(chord, np.int64) for chord in roll] for roll in split]
            for name, split in _pitches(rolls).items()
        },
        protocol=protocol,
    )


_WRITERS: dict[str, Callable[[PianoRolls], bytes]] = {
    "compressed.mat": lambda rolls: _matlab(rolls, compressed=True),
    "plain.mat": lambda rolls: _matlab(rolls, compressed=False),
    "lists.pickle": lambda rolls: pickle.dumps(_pitches(rolls), protocol=2),
    "arrays0.pkl": lambda rolls: _numpy_pickle(rolls, 0),
    "arrays2.pkl": lambda rolls: _numpy_pickle(rolls, 2),
    "arrays5.pkl": lambda rolls: _numpy_pickle(rolls, 5),
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
    monkeypatch.setattr(cache, "CANONICAL", dataclasses.replace(cache.CANONICAL, address=address))
