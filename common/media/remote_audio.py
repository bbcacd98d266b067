"""What tensorflow-io adds to reading audio: remote file systems, and a last resort for formats.

The last tensorflow-io, 0.37.1, loads its native library under TensorFlow 2.16 and 2.17 only. It is
therefore imported when a file needs it, in an environment of its own: the one that
`requirements_io_lock.txt` describes.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from common import errors
from common.command_line import start_tensorflow
from common.errors import InputError, Unsuitable
from common.media.sphere import Samples

_NEEDED = (
    "expected tensorflow-io 0.37.1 under TensorFlow 2.16 or 2.17 to read it (an environment of "
    "requirements_io_lock.txt)"
)
# What TensorFlow writes around what went wrong, and the page that a web server answers with.
_WRAPPING = re.compile(r"^\{\{.*?\}\} |\s*\[Op:.*$| with body .*$", re.DOTALL)


def is_remote(path: str) -> bool:
    """Says whether a path is an address: `https://`, `s3://`, `gs://` and so on.

    Example:
        >>> is_remote("s3://corpus/TRAIN/DR1/FCJF0/SA1.WAV"), is_remote("corpus/SA1.WAV")
        (True, False)
    """
    return "://" in path


@contextmanager
def fetched(address: str) -> Iterator[str]:
    """Fetches a file from a remote file system for as long as the context lasts.

    It is fetched as a whole and decoded here: tensorflow-io's own way to read audio over HTTP needs
    a server that answers ranges, and ends the process where the answer is empty.

    Args:
        address: a file on a file system that TensorFlow or tensorflow-io knows (`http://`,
            `https://`, `s3://`, `gs://`, ...).

    Yields:
        The path of a copy.

    Raises:
        InputError: if tensorflow-io is not installed or does not run under this TensorFlow.
        Unsuitable: if the file cannot be fetched.
    """
    try:
        _tensorflow_io()
    except ImportError as error:
        raise InputError(errors.one_line(f"{address}: {error}")) from error
    import tensorflow as tf

    try:
        content = tf.io.read_file(address).numpy()
    except tf.errors.OpError as error:
        raise Unsuitable("unreadable file", f"{address}: {_reason(error)}") from error
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        yield file.name


def decode(path: str) -> tuple[Samples, int]:
    """Decodes a file that soundfile does not know.

    Args:
        path: audio with one channel in a format that tensorflow-io knows by its first bytes: WAV,
            FLAC, Ogg Vorbis and MP3, which soundfile reads better; and, where FFmpeg's libraries
            2.8 to 4.2 are installed, AAC in MP4, which it does not.

    Returns:
        int16 `[samples]`, and the sample rate, Hz.

    Raises:
        Unsuitable: if it is no audio of one channel, or if tensorflow-io, which could tell, is not
            installed or does not run under this TensorFlow.
    """
    try:
        tensorflow_io = _tensorflow_io()
    except ImportError as error:
        raise Unsuitable("unknown audio format", str(error)) from error
    import tensorflow as tf

    try:
        audio = tensorflow_io.audio.AudioIOTensor(path)
        samples, rate = audio.to_tensor().numpy(), int(audio.rate)
    except tf.errors.OpError as error:
        # The name of a fetched copy would say nothing.
        raise Unsuitable("no audio", _reason(error).replace(f": {path}", "")) from error
    channels = samples.shape[1]
    if channels != 1:
        raise Unsuitable("other audio format", f"expected one channel. Received: {channels}")
    return _as_int16(samples[:, 0]), rate


def _tensorflow_io() -> Any:
    """Imports tensorflow-io and makes sure that it works.

    Raises:
        ImportError: if it does not; its text is one line for people.
    """
    start_tensorflow()
    import tensorflow as tf

    received = f"Received: TensorFlow {tf.__version__}"
    try:
        with warnings.catch_warnings():
            # Of a library that does not load it warns at length.
            warnings.simplefilter("ignore")
            import tensorflow_io
        # Its native library is loaded by the first operation.
        tensorflow_io.audio.encode_wav(tf.zeros([1, 1], tf.int16), rate=16_000)
    except ImportError as error:
        raise ImportError(f"{_NEEDED}. {received} without it ({errors.reason(error)})") from error
    except NotImplementedError as error:
        raise ImportError(f"{_NEEDED}. {received}, where its library does not load") from error
    return tensorflow_io


def _as_int16(samples: np.ndarray) -> Samples:
    """Scales samples from -1 to 1 to 16 bits, if they do not have those already.

    Example:
        >>> _as_int16(np.array([0.5, -1.0, 1.0], np.float32)).tolist()
        [16384, -32768, 32767]
    """
    if samples.dtype == np.int16:
        return samples
    if not np.issubdtype(samples.dtype, np.floating):
        expected = "expected samples of 16 bits or floating-point"
        raise Unsuitable("other audio format", f"{expected}. Received: {samples.dtype}")
    return np.clip(np.rint(samples * 32_768.0), -32_768, 32_767).astype(np.int16)


def _reason(error: Exception) -> str:
    return errors.reason(ValueError(_WRAPPING.sub("", str(error))))
