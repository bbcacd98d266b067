"""One way to read audio, whatever the file: by its first bytes, not by its name."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import numpy as np

from common.errors import InputError, Unsuitable, one_line, reason
from common.media import remote_audio, sphere
from common.media.sphere import SAMPLE_RATE, Samples

_RATES = range(4_000, 768_001)
_RIFF_BYTES = 12
# Programs that write a RIFF file into a pipe cannot know its size.
_UNKNOWN_SIZES = (0, 2**32 - 1)


def read(path: str) -> Samples:
    """Reads an audio file as the corpus needs it.

    A file that begins with `NIST_1A` is SPHERE; all others (RIFF, FLAC, Ogg and so on) are read by
    soundfile, and what it does not know by tensorflow-io, which also fetches addresses
    (`s3://...`), see `remote_audio`. Audio of another rate than 16 kHz is resampled by a polyphase
    filter (`scipy.signal.resample_poly`).

    Args:
        path: a file or an address; one channel.

    Returns:
        int16 `[samples]` at 16 kHz.

    Raises:
        Unsuitable: if it is no audio, damaged or truncated, or has more than one channel.
        InputError: if a package that reads it is not installed.
    """
    if remote_audio.is_remote(path):
        with remote_audio.fetched(path) as copy:
            return _read_here(copy)
    return _read_here(path)


def _read_here(path: str) -> Samples:
    try:
        with open(path, "rb") as file:
            beginning = file.read(_RIFF_BYTES)
        if beginning.startswith(sphere.MAGIC):
            return sphere.read(path)
        if beginning[:4] == b"RIFF":
            _check_size(beginning, Path(path).stat().st_size)
    except OSError as error:
        raise Unsuitable("unreadable file", f"{path}: {reason(error)}") from error
    return _with_soundfile(path)


def _check_size(beginning: bytes, size: int) -> None:
    """Compares a RIFF file with the size in its header, which soundfile does not.

    Raises:
        Unsuitable: if the end is missing.
    """
    stated = int.from_bytes(beginning[4:8], "little")
    if stated not in _UNKNOWN_SIZES and stated + 8 > size:
        raise Unsuitable("truncated audio", f"expected {stated + 8:,} bytes. Received: {size:,}")


def _with_soundfile(path: str) -> Samples:
    if importlib.util.find_spec("soundfile") is None:
        raise InputError(
            one_line(
                f"{path}: expected the package soundfile, which reads audio. "
                "Received: not installed; run `pip install 'lstm-odyssey[speech]'`"
            )
        )
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            rate, frames = file.samplerate, file.frames
            # Other sample types are scaled to ±1 as well; 16 bits come back exactly.
            audio = file.read(dtype="float64", always_2d=True)
    except soundfile.LibsndfileError as error:
        if "not recognized" in str(error):
            samples, rate = remote_audio.decode(path)
            return _at_16_khz(samples.astype(np.float64), rate)
        raise Unsuitable("damaged audio", reason(error)) from error
    if len(audio) < frames:
        raise Unsuitable(
            "truncated audio", f"expected {frames:,} samples. Received: {len(audio):,}"
        )
    if audio.shape[1] != 1:
        raise Unsuitable("other audio format", f"expected one channel. Received: {audio.shape[1]}")
    return _at_16_khz(audio[:, 0] * 32_768, rate)


def _at_16_khz(audio: np.ndarray, rate: int) -> Samples:
    """Resamples and rounds audio in units of 16-bit samples."""
    if rate not in _RATES:
        raise Unsuitable("other audio format", f"expected 4 kHz to 768 kHz. Received: {rate:,} Hz")
    if rate != SAMPLE_RATE:
        import scipy.signal

        divisor = math.gcd(rate, SAMPLE_RATE)
        audio = scipy.signal.resample_poly(audio, SAMPLE_RATE // divisor, rate // divisor)
    samples: Samples = np.clip(np.rint(audio), -32_768, 32_767).astype(np.int16)
    return samples
