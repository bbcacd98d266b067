"""Features of utterances: computed once, then cached."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from common import cache
from common.files import write_file
from common.media.audio import SAMPLE_RATE, Samples
from tuner.tasks.features import Extraction
from tuner.tasks.sequences import cut
from tuner.tasks.speech.labels import FRAME_LENGTH, FRAME_STEP, frames_of

EXTRACTION = Extraction(
    "MFCC",
    {
        "sample_rate": SAMPLE_RATE,
        "frame_length": FRAME_LENGTH,
        "frame_step": FRAME_STEP,
        "fft_length": 512,
        "filters": 23,
        "coefficients": 12,
        "energy": "log_energy",
        "preemphasis": 0.97,
        "lower_frequency": 0.0,
        "upper_frequency": 8_000.0,
        "power": True,
        "lifter": 22,
        "delta_window": 2,
    },
)
"""The paper's features, as far as it specifies them."""

FEATURES = 39
"""Twelve coefficients and the energy, with their deltas and accelerations."""

Features = npt.NDArray[np.float32]


def of(samples: Sequence[Samples], sha256: str) -> list[Features]:
    """Computes features, float32 `[frames, 39]` per utterance, not normalized; views of one array.

    Args:
        samples: int16 `[samples]` of each utterance, at least one frame.
        sha256: hash of all samples, by which their features are cached.
    """
    lengths = [frames_of(len(utterance)) for utterance in samples]
    key = hashlib.sha256(json.dumps([sha256, dataclasses.asdict(EXTRACTION)]).encode()).hexdigest()
    hours = sum(map(len, samples)) / SAMPLE_RATE / 3600
    features, _ = cache.read_or_build(
        f"speech_features_{key[:16]}.npz",
        lambda path: _read(path, sum(lengths)),
        lambda: np.concatenate(EXTRACTION.run(samples)),
        _write,
        f"Computing the features of {hours:.2f} hours of speech; once ...",
    )
    return cut(features, lengths)


def _read(path: Path, frames: int) -> Features | None:
    """Reads cached features; None if they are missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            features: Features = arrays["features"]
    except Exception:  # Damaged content makes NumPy raise almost anything.
        return None
    right = features.dtype == np.float32 and features.shape == (frames, FEATURES)
    return features if right else None


def _write(path: Path, features: Features) -> None:
    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            np.savez(file, features=features)

    write_file(path, write, size=features.nbytes)
