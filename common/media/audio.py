"""Reads audio files of any format, recognized by their first bytes, not by their names."""

from __future__ import annotations

import importlib.util
import io
import math
import os
import re
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from common.command_line import start_tensorflow
from common.errors import InputError, RecordingError, install, mistaken, one_line, reason

if TYPE_CHECKING:
    import soundfile

SAMPLE_RATE = 16_000

MOST_SAMPLES = 2**27
"""Maximum number of samples, also after resampling; reading them takes some gigabytes of memory. A
megabyte of FLAC can unpack to this many."""

Samples = npt.NDArray[np.int16]

_RATES = range(4_000, 768_001)
_RIFF_BYTES = 12
# Chunked formats: the byte order, and which chunk has the samples.
_CHUNKED: dict[bytes, tuple[Literal["little", "big"], bytes]] = {
    b"RIFF": ("little", b"data"),
    b"RIFX": ("big", b"data"),
    b"FORM": ("big", b"SSND"),
}
_MOST_CHUNKS = 1_000
_UNKNOWN_SIZE = 2**31 - 2**16
_MOST_BYTES = 8  # per sample
_UNKNOWN_FRAMES = 2**63 - 1  # libsndfile's value if a header does not say
_SPHERE, _SPHERE_BYTES = b"NIST_1A", 1024
_TENSORFLOW_IO = (
    "tensorflow-io 0.37.1 under TensorFlow 2.16 or 2.17 to read it (an environment of "
    "requirements_io_lock.txt)"
)
# What TensorFlow writes around an error, and the page that a web server responds with.
_WRAPPING = re.compile(r"^\{\{.*?\}\} |\s*\[Op:.*$| with body .*$", re.DOTALL)


def read(path: str) -> Samples:
    """Reads an audio file as the corpus needs it.

    soundfile reads SPHERE, RIFF, FLAC, Ogg and others; tensorflow-io may read what it does not.
    A URL (`https://`, `s3://`, ...) is fetched as a whole by fsspec, or by tensorflow-io if fsspec
    is missing or does not know its scheme. Audio with a rate other than 16 kHz is resampled by a
    polyphase filter (`scipy.signal.resample_poly`).

    Args:
        path: a file or URL, with one channel.

    Returns:
        int16 `[samples]` at 16 kHz.

    Raises:
        RecordingError: if the file is not audio, is damaged, truncated, empty or longer than
            `MOST_SAMPLES`, or has more than one channel.
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
        with open(path, "rb", buffering=0) as file:
            return _read_file(path, file)
    except OSError as error:
        raise RecordingError("unreadable file", f"{path}: {reason(error)}") from error


def _read_file(path: str, file: BinaryIO) -> Samples:
    beginning = file.read(_SPHERE_BYTES)
    if importlib.util.find_spec("soundfile") is None:
        raise InputError(
            one_line(
                f"{path}: expected the package soundfile, which reads audio. "
                f"Received: not installed; run `{install('speech')}`"
            )
        )
    import soundfile

    expected = _sphere_samples(beginning) if beginning.startswith(_SPHERE) else None
    mended = _with_size(file, beginning)
    file.seek(0)
    try:
        # By its descriptor: given a name, soundfile would go by its suffix.
        with soundfile.SoundFile(mended or file.fileno(), closefd=False) as sound:
            return _samples(sound, expected)
    except soundfile.LibsndfileError as error:
        if "not recognised" not in str(error):
            raise RecordingError("damaged audio", reason(error)) from error
    if what := mistaken(beginning):
        raise RecordingError("no audio", f"expected an audio file. Received: {what}")
    samples, rate = decode(path)
    _check_length(len(samples), rate)
    return _at_16_khz(samples.astype(np.float64), rate)


def _with_size(file: BinaryIO, beginning: bytes) -> BinaryIO | None:
    """Checks the size of the samples in RIFF and AIFF files, which soundfile does not.

    A program that writes to a pipe cannot know the size of the samples, and leaves 0 or a number
    near 2³¹ or 2³²: the samples then extend to the end of the file. If any other number exceeds
    what is there, the file is truncated, unless the size of the whole is right. Otherwise,
    the size of the whole does not matter, as for players.

    Returns:
        A copy with the right size if the file states 0, which soundfile would believe; else None.
    """
    order, name = _CHUNKED.get(beginning[:4], ("big", b""))
    size = file.seek(0, os.SEEK_END)
    place = _RIFF_BYTES
    for _ in range(_MOST_CHUNKS if name else 0):
        file.seek(place)
        chunk = file.read(8)
        if len(chunk) < 8:
            return None
        stated = int.from_bytes(chunk[4:], order)
        place += 8
        if chunk[:4] == name:
            break
        place += stated + stated % 2
    else:
        return None
    there = size - place
    whole = int.from_bytes(beginning[4:8], order) + 8 == size
    if there < stated < _UNKNOWN_SIZE and not whole:
        received = f"expected {stated:,} bytes of samples. Received: {there:,}"
        raise RecordingError("truncated audio", received)
    if stated or not there or whole:
        return None
    _check_length(there // _MOST_BYTES, SAMPLE_RATE)
    file.seek(0)
    content = bytearray(file.read())
    content[place - 4 : place] = min(there, 2**32 - 1).to_bytes(4, order)
    return io.BytesIO(content)


def _samples(sound: soundfile.SoundFile, expected: int | None) -> Samples:
    """Reads an open file, if it has one channel, an acceptable length and all its samples.

    Args:
        sound: the file.
        expected: number of samples stated by a header that soundfile does not read; None if there
            is none.
    """
    if sound.channels != 1:
        received = f"expected one channel. Received: {sound.channels}"
        raise RecordingError("other audio format", received)
    rate = sound.samplerate
    frames = sound.frames if expected is None else expected
    unknown = frames == _UNKNOWN_FRAMES
    if unknown:
        frames = MOST_SAMPLES + 1
    else:
        _check_length(frames, rate)
    # After reading, soundfile would seek to its position, which libFLAC cannot do at the end of a
    # file whose header states another length.
    sound.seekable = lambda: False
    # Other sample types are scaled to ±1 as well; 16 bits come back exactly.
    audio = sound.read(frames, dtype="float64", always_2d=True)[:, 0]
    if unknown:
        _check_length(len(audio), rate)
    elif len(audio) < frames:
        received = f"expected {frames:,} samples. Received: {len(audio):,}"
        raise RecordingError("truncated audio", received)
    if not len(audio):
        raise RecordingError("no audio", "expected samples. Received: none")
    audio *= 32_768
    return _at_16_khz(audio, rate)


def _check_length(samples: int, rate: int) -> None:
    """Rejects rates that no audio has, and audio that does not fit into memory."""
    if rate not in _RATES:
        received = f"expected 4 kHz to 768 kHz. Received: {rate:,} Hz"
        raise RecordingError("other audio format", received)
    samples = max(samples, samples * SAMPLE_RATE // rate)
    if samples > MOST_SAMPLES:
        hours = MOST_SAMPLES / SAMPLE_RATE / 3600
        raise RecordingError(
            "too long",
            f"expected at most {MOST_SAMPLES:,} samples ({hours:.1f} hours at 16 kHz). "
            f"Received: {samples:,}",
        )


def _sphere_samples(header: bytes) -> int:
    """Reads the number of samples that a SPHERE header states, which soundfile does not.

    Source: NIST, "SPHERE", http://www.nist.gov/itl/iad/mig/tools (`sphere_2.6a`, doc/header.doc).
    """
    if len(header) < _SPHERE_BYTES:
        received = f"expected a header of {_SPHERE_BYTES:,} bytes. Received: {len(header)}"
        raise RecordingError("truncated audio", received)
    fields = dict(re.findall(r"^(\w+) -\S+ (.*?) *$", header.decode("latin1"), re.MULTILINE))
    coding, count = fields.get("sample_coding", "pcm"), fields.get("sample_count", "nothing")
    if coding not in ("pcm", "ulaw", "alaw"):
        raise RecordingError(
            "compressed audio",
            f"expected sample_coding pcm. Received: {coding} (sph2pipe or sox can unpack it)",
        )
    if not (count.isascii() and count.isdigit()):
        raise RecordingError("damaged header", f"expected a number sample_count. Received: {count}")
    return int(count)


def write_sphere(path: Path, samples: Samples) -> None:
    """Writes int16 `[samples]` at 16 kHz in the format of TIMIT, without the name of a database.

    For a folder that is still being written (`common.files.write_folder`).
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
    """Resamples and rounds audio in units of 16-bit samples, in place where possible."""
    if rate != SAMPLE_RATE:
        import scipy.signal

        divisor = math.gcd(rate, SAMPLE_RATE)
        audio = scipy.signal.resample_poly(audio, SAMPLE_RATE // divisor, rate // divisor)
    np.clip(np.rint(audio, out=audio), -32_768, 32_767, out=audio)
    return audio.astype(np.int16)


def _fetch(address: str) -> bytes:
    """Fetches a whole file from a remote file system.

    tensorflow-io's own reader of audio over HTTP needs a server that supports range requests, and
    ends the process if a response is empty.
    """
    try:
        import fsspec

        filesystem, path = fsspec.url_to_fs(address)
    except (ImportError, ValueError) as error:
        # fsspec is missing, or does not know this kind of URL.
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
                f"`{install('speech')}`). Received: {obstacle}; or {error}"
            )
        ) from error
    import tensorflow as tf

    try:
        content: bytes = tf.io.read_file(address).numpy()
    except tf.errors.OpError as error:
        raise RecordingError("unreadable file", f"{address}: {_unwrapped(error)}") from error
    return content


def decode(path: str) -> tuple[Samples, int]:
    """Decodes a file that soundfile does not know, with tensorflow-io.

    tensorflow-io knows WAV, FLAC, Ogg Vorbis and MP3, which soundfile reads better, and, if
    FFmpeg's libraries 2.8 to 4.2 are installed, AAC in MP4, which soundfile does not know.

    Returns:
        int16 `[samples]`, and the sample rate in Hz.

    Raises:
        RecordingError: if the file is not audio with one channel, or if tensorflow-io is not
            installed or does not run under this TensorFlow.
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
        # The name of a fetched copy would mean nothing to the user.
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
    """Imports tensorflow-io and checks that it works; if not, ImportError says why in one line.

    Its last release loads its native library only under TensorFlow 2.16 and 2.17.
    """
    start_tensorflow()
    import tensorflow as tf

    received = f"expected {_TENSORFLOW_IO}. Received: TensorFlow {tf.__version__}"
    try:
        with warnings.catch_warnings():
            # It warns at length about a library that does not load.
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
