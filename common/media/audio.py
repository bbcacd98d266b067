"""One way to read audio, whatever the file: by its first bytes, not by its name."""

from __future__ import annotations

import importlib.util
import math
import re
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from common.command_line import start_tensorflow
from common.errors import InputError, RecordingError, one_line, reason

SAMPLE_RATE = 16_000

Samples = npt.NDArray[np.int16]

_RATES = range(4_000, 768_001)
_RIFF_BYTES = 12
# Programs that write a RIFF file into a pipe cannot know its size.
_UNKNOWN_SIZES = (0, 2**32 - 1)
_SPHERE, _SPHERE_BYTES = b"NIST_1A", 1024
_TENSORFLOW_IO = (
    "tensorflow-io 0.37.1 under TensorFlow 2.16 or 2.17 to read it (an environment of "
    "requirements_io_lock.txt)"
)
# What TensorFlow writes around what went wrong, and the page that a web server answers with.
_WRAPPING = re.compile(r"^\{\{.*?\}\} |\s*\[Op:.*$| with body .*$", re.DOTALL)


def read(path: str) -> Samples:
    """Reads an audio file as the corpus needs it.

    soundfile reads SPHERE, RIFF, FLAC, Ogg and so on; what it does not know tensorflow-io may know.
    An address (`https://`, `s3://`, ...) is fetched as a whole by fsspec, or by tensorflow-io where
    fsspec is missing or does not know its kind. Audio of another rate than 16 kHz is resampled by a
    polyphase filter (`scipy.signal.resample_poly`).

    Args:
        path: a file or an address; one channel.

    Returns:
        int16 `[samples]` at 16 kHz.

    Raises:
        RecordingError: if it is no audio, damaged or truncated, or has more than one channel.
        InputError: if a package that reads it is not installed.
    """
    if "://" not in path:
        return _read(path)
    content = _fetch(path)
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        return _read(file.name)


def _read(path: str) -> Samples:
    try:
        with open(path, "rb") as file:
            beginning = file.read(_SPHERE_BYTES)
    except OSError as error:
        raise RecordingError("unreadable file", f"{path}: {reason(error)}") from error
    if importlib.util.find_spec("soundfile") is None:
        raise InputError(
            one_line(
                f"{path}: expected the package soundfile, which reads audio. "
                "Received: not installed; run `pip install 'lstm-odyssey[speech]'`"
            )
        )
    import soundfile

    expected = _sphere_samples(beginning) if beginning.startswith(_SPHERE) else None
    if beginning[:4] == b"RIFF":
        _check_size(beginning, Path(path).stat().st_size)
    try:
        with soundfile.SoundFile(path) as file:
            rate, frames = file.samplerate, file.frames if expected is None else expected
            # Other sample types are scaled to ±1 as well; 16 bits come back exactly.
            audio = file.read(frames, dtype="float64", always_2d=True)
    except soundfile.LibsndfileError as error:
        if "not recognised" in str(error):
            samples, rate = decode(path)
            return _at_16_khz(samples.astype(np.float64), rate)
        raise RecordingError("damaged audio", reason(error)) from error
    if audio.shape[1] != 1:
        channels = audio.shape[1]
        raise RecordingError("other audio format", f"expected one channel. Received: {channels}")
    if len(audio) < frames:
        received = f"expected {frames:,} samples. Received: {len(audio):,}"
        raise RecordingError("truncated audio", received)
    return _at_16_khz(audio[:, 0] * 32_768, rate)


def _check_size(beginning: bytes, size: int) -> None:
    """Compares a RIFF file with the size in its header, which soundfile does not."""
    stated = int.from_bytes(beginning[4:8], "little")
    if len(beginning) >= _RIFF_BYTES and stated not in _UNKNOWN_SIZES and stated + 8 > size:
        received = f"expected {stated + 8:,} bytes. Received: {size:,}"
        raise RecordingError("truncated audio", received)


def _sphere_samples(header: bytes) -> int:
    """Counts the samples that a SPHERE header promises, which soundfile does not.

    Source: NIST, "SPHERE", http://www.nist.gov/itl/iad/mig/tools (`sphere_2.6a`, doc/header.doc).
    """
    if len(header) < _SPHERE_BYTES:
        received = f"expected a header of {_SPHERE_BYTES:,} bytes. Received: {len(header)}"
        raise RecordingError("truncated audio", received)
    fields = dict(re.findall(r"^(\w+) -\S+ (.*?) *$", header.decode("latin1"), re.MULTILINE))
    coding, count = fields.get("sample_coding", "pcm"), fields.get("sample_count", "nothing")
    if coding != "pcm":
        raise RecordingError(
            "compressed audio",
            f"expected sample_coding pcm. Received: {coding} (sph2pipe or sox can unpack it)",
        )
    if not (count.isascii() and count.isdigit()):
        raise RecordingError("damaged header", f"expected a number sample_count. Received: {count}")
    return int(count)


def write_sphere(path: Path, samples: Samples) -> None:
    """Writes int16 `[samples]` at 16 kHz as TIMIT has them, without the name of a database.

    In a folder that is still being built (`common.files.write_folder`).
    """
    if samples.dtype != np.int16 or samples.ndim != 1:
        raise ValueError(
            f"Expected samples of dtype int16 and shape [samples]. "
            f"Received: {samples.dtype} {list(samples.shape)}"
        )
    utterance = f"{path.parent.name[1:]}_{path.stem}".lower()
    utterance = "".join(c if c.isascii() and c.isprintable() else "_" for c in utterance)[:200]
    lowest, highest = (int(samples.min()), int(samples.max())) if len(samples) else (0, 0)
    header = (
        f"NIST_1A\n{_SPHERE_BYTES:7}\n"
        f"utterance_id -s{len(utterance)} {utterance}\n"
        f"channel_count -i 1\n"
        f"sample_count -i {len(samples)}\n"
        f"sample_rate -i {SAMPLE_RATE}\n"
        f"sample_min -i {lowest}\n"
        f"sample_max -i {highest}\n"
        f"sample_n_bytes -i 2\n"
        f"sample_byte_format -s2 01\n"
        f"sample_sig_bits -i 16\n"
        f"end_head\n"
    )
    path.write_bytes(header.encode("ascii").ljust(_SPHERE_BYTES) + samples.astype("<i2").tobytes())


def _at_16_khz(audio: np.ndarray, rate: int) -> Samples:
    """Resamples and rounds audio in units of 16-bit samples."""
    if rate not in _RATES:
        received = f"expected 4 kHz to 768 kHz. Received: {rate:,} Hz"
        raise RecordingError("other audio format", received)
    if rate != SAMPLE_RATE:
        import scipy.signal

        divisor = math.gcd(rate, SAMPLE_RATE)
        audio = scipy.signal.resample_poly(audio, SAMPLE_RATE // divisor, rate // divisor)
    samples: Samples = np.clip(np.rint(audio), -32_768, 32_767).astype(np.int16)
    return samples


def _fetch(address: str) -> bytes:
    """Fetches a file from a remote file system.

    As a whole: tensorflow-io's own way to read audio over HTTP needs a server that answers ranges,
    and ends the process where the answer is empty.
    """
    try:
        import fsspec

        filesystem, path = fsspec.url_to_fs(address)
    except (ImportError, ValueError) as error:
        # There is no fsspec, or it does not know this kind of address.
        return _fetch_by_tensorflow(address, reason(error))
    try:
        content: bytes = filesystem.cat_file(path)
    except Exception as error:  # Each kind of file system raises its own.
        what = "not found" if isinstance(error, FileNotFoundError) else reason(error)
        raise RecordingError("unreadable file", f"{address}: {what}") from error
    return content


def _fetch_by_tensorflow(address: str, obstacle: str) -> bytes:
    try:
        _tensorflow_io()
    except ImportError as error:
        raise InputError(
            one_line(
                f"{address}: expected the package fsspec with what reads such an address (run "
                f"`pip install 'lstm-odyssey[speech]'`). Received: {obstacle}; or {error}"
            )
        ) from error
    import tensorflow as tf

    try:
        content: bytes = tf.io.read_file(address).numpy()
    except tf.errors.OpError as error:
        raise RecordingError("unreadable file", f"{address}: {_unwrapped(error)}") from error
    return content


def decode(path: str) -> tuple[Samples, int]:
    """Decodes a file that soundfile does not know by tensorflow-io.

    It knows WAV, FLAC, Ogg Vorbis and MP3, which soundfile reads better; and, where FFmpeg's
    libraries 2.8 to 4.2 are installed, AAC in MP4, which it does not.

    Returns:
        int16 `[samples]`, and the sample rate, Hz.

    Raises:
        RecordingError: if it is no audio of one channel, or if tensorflow-io, which could tell, is
            not installed or does not run under this TensorFlow.
    """
    try:
        tensorflow_io = _tensorflow_io()
    except ImportError as error:
        raise RecordingError("unknown audio format", str(error)) from error
    import tensorflow as tf

    try:
        audio = tensorflow_io.audio.AudioIOTensor(path)
        samples, rate = audio.to_tensor().numpy(), int(audio.rate)
    except tf.errors.OpError as error:
        # The name of a fetched copy would say nothing.
        raise RecordingError("no audio", _unwrapped(error).replace(f": {path}", "")) from error
    channels = samples.shape[1]
    if channels != 1:
        raise RecordingError("other audio format", f"expected one channel. Received: {channels}")
    if samples.dtype != np.int16:
        if not np.issubdtype(samples.dtype, np.floating):
            expected = "expected samples of 16 bits or floating-point"
            raise RecordingError("other audio format", f"{expected}. Received: {samples.dtype}")
        samples = np.clip(np.rint(samples * 32_768.0), -32_768, 32_767).astype(np.int16)
    return samples[:, 0], rate


def _tensorflow_io() -> Any:
    """Imports tensorflow-io and makes sure that it works; if not, ImportError says why in one line.

    Its last release loads its native library under TensorFlow 2.16 and 2.17 only.
    """
    start_tensorflow()
    import tensorflow as tf

    received = f"expected {_TENSORFLOW_IO}. Received: TensorFlow {tf.__version__}"
    try:
        with warnings.catch_warnings():
            # Of a library that does not load it warns at length.
            warnings.simplefilter("ignore")
            import tensorflow_io
        # Its native library is loaded by the first operation.
        tensorflow_io.audio.encode_wav(tf.zeros([1, 1], tf.int16), rate=16_000)
    except ImportError as error:
        raise ImportError(f"{received} without it ({reason(error)})") from error
    except NotImplementedError as error:
        raise ImportError(f"{received}, where its library does not load") from error
    return tensorflow_io


def _unwrapped(error: Exception) -> str:
    return reason(ValueError(_WRAPPING.sub("", str(error))))
