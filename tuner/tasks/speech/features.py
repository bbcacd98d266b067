"""Features of utterances: computed once in a process of its own, then kept.

The layer that computes them also serves, so it runs on Keras. In this process TensorFlow would then
take the memory of the accelerators that belongs to the workers.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from serving.command_line import InputError
from serving.files import write_file
from tuner.tasks import kept
from tuner.tasks.problems import one_line, reason
from tuner.tasks.speech.labels import FRAME_LENGTH, FRAME_STEP, frames_of
from tuner.tasks.speech.sphere import SAMPLE_RATE, Samples

OPTIONS: Mapping[str, Any] = {
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
}
"""Arguments of `zoo.frontends.MFCC`, the paper's where it states them."""

FEATURES = 39
"""Twelve coefficients and the energy, their deltas and accelerations."""

Features = npt.NDArray[np.float32]

# Of audio in one call, padding included: two minutes.
_SAMPLES_A_BATCH = 120 * SAMPLE_RATE


def of(samples: Sequence[Samples], sha256: str) -> list[Features]:
    """Features of utterances, not normalized.

    Args:
        samples: int16 `[samples]` of each, one frame at least.
        sha256: hash of all of them, by which their features are kept.

    Returns:
        float32 `[frames, 39]` of each; views of one array.

    Raises:
        InputError: if the process that computes them fails.
    """
    lengths = [frames_of(len(utterance)) for utterance in samples]
    key = hashlib.sha256(json.dumps([sha256, dict(OPTIONS)]).encode()).hexdigest()
    path = kept.folder() / f"speech_features_{key[:16]}.npz"
    features = _read(path, sum(lengths))
    if features is None:
        features = _computed(samples)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, features)
        except OSError as error:
            kept.tell(f"{path} could not be kept: {reason(error)}")
    ends = itertools.accumulate(lengths, initial=0)
    return [features[start:end] for start, end in itertools.pairwise(ends)]


def _read(path: Path, frames: int) -> Features | None:
    """Reads kept features; None if they are not there or damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            features: Features = arrays["features"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    right = features.dtype == np.float32 and features.shape == (frames, FEATURES)
    return features if right else None


def _write(path: Path, features: Features) -> None:
    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            np.savez(file, features=features)

    write_file(path, write, size=features.nbytes)


def _computed(samples: Sequence[Samples]) -> Features:
    """Computes the features of all utterances, one behind the other, in another process."""
    from tuner.crew import environment

    hours = sum(map(len, samples)) / SAMPLE_RATE / 3600
    kept.tell(f"Computing the features of {hours:.2f} hours of speech; once ...")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "samples.npy", np.concatenate(samples))
        np.save(folder / "lengths.npy", np.array([len(utterance) for utterance in samples]))
        process = subprocess.run(
            [sys.executable, "-m", __name__, name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment("native"),
        )
        if process.returncode:
            last = process.stdout.decode(errors="replace").strip().splitlines()[-1:]
            raise InputError(
                "task speech: expected the features of the audio. Received: exit status "
                f"{process.returncode} of their process: {one_line(' '.join(last))}"
            )
        features: Features = np.load(folder / "features.npy")
    return features


def compute(samples: Sequence[Samples]) -> Features:
    """Computes the features of utterances in this process, on Keras' back end.

    Args:
        samples: int16 `[samples]` of each, one frame at least.

    Returns:
        float32 `[frames of all, 39]`, one utterance behind the other.
    """
    from keras import ops

    from zoo.frontends import MFCC

    mfcc = MFCC(**OPTIONS)
    lengths = np.array([len(utterance) for utterance in samples])
    starts = [0, *np.cumsum([frames_of(length) for length in lengths])]
    features = np.empty((starts[-1], FEATURES), np.float32)
    for batch in _batches(lengths):
        padded = np.zeros((len(batch), max(lengths[batch])), np.float32)
        for row, index in zip(padded, batch, strict=True):
            row[: lengths[index]] = samples[index]
        computed, _ = mfcc(padded, lengths[batch])
        for row, index in zip(ops.convert_to_numpy(computed), batch, strict=True):
            start, end = starts[index], starts[index + 1]
            features[start:end] = row[: end - start]
    return features


def _batches(lengths: np.ndarray) -> list[list[int]]:
    """Groups utterances of about the same length, as many as a call may take."""
    batches: list[list[int]] = []
    for index in map(int, np.argsort(lengths, kind="stable")):
        # The utterances come from short to long: the newest is the longest of its batch.
        if batches and (len(batches[-1]) + 1) * lengths[index] <= _SAMPLES_A_BATCH:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def main(folder: Path) -> None:
    """Computes `features.npy` of `samples.npy` and `lengths.npy` in a folder."""
    samples = np.load(folder / "samples.npy", mmap_mode="r")
    lengths = np.load(folder / "lengths.npy")
    ends = itertools.accumulate(map(int, lengths), initial=0)
    utterances = [samples[start:end] for start, end in itertools.pairwise(ends)]
    np.save(folder / "features.npy", compute(utterances))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
