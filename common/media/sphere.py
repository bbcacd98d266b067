"""NIST SPHERE, the audio files of TIMIT: 1,024 bytes of text, then the samples.

Only what speech corpora at 16 kHz hold is read: one channel, 16 bits, not compressed.
Source: NIST, "SPHERE", http://www.nist.gov/itl/iad/mig/tools (`sphere_2.6a`, doc/header.doc).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from common.errors import Unsuitable

MAGIC = b"NIST_1A"
SAMPLE_RATE = 16_000

_HEADER_BYTES = 1024
_DTYPES = {"01": "<i2", "10": ">i2"}
# What TIMIT leaves out has the value that every reader assumes.
_EXPECTED = {"sample_rate": "16000", "channel_count": "1", "sample_n_bytes": "2"}
_ASSUMED = {"channel_count": "1", "sample_n_bytes": "2", "sample_coding": "pcm"}

Samples = npt.NDArray[np.int16]


def read(path: str | Path) -> Samples:
    """Reads the samples of a SPHERE file.

    Args:
        path: a file of 16 kHz, one channel, 16 bits, byte format 01 (little-endian) or 10.

    Returns:
        int16 `[samples]`.

    Raises:
        Unsuitable: if it is no such file, its header is damaged, or samples are missing.
        OSError: if it cannot be read.
    """
    content = Path(path).read_bytes()
    header, data = content[:_HEADER_BYTES], content[_HEADER_BYTES:]
    fields = _fields(header)
    coding = fields.get("sample_coding", _ASSUMED["sample_coding"])
    if coding != "pcm":
        raise Unsuitable(
            "compressed audio",
            f"expected sample_coding pcm. Received: {coding} (sph2pipe or sox can unpack it)",
        )
    for name, value in _EXPECTED.items():
        received = fields.get(name, _ASSUMED.get(name, "nothing"))
        if received != value:
            raise Unsuitable("other audio format", f"expected {name} {value}. Received: {received}")
    order = fields.get("sample_byte_format", "nothing")
    if order not in _DTYPES:
        raise Unsuitable(
            "other audio format", f"expected sample_byte_format 01 or 10. Received: {order}"
        )
    return _samples(data, fields.get("sample_count", "nothing"), _DTYPES[order])


def _samples(data: bytes, count: str, dtype: str) -> Samples:
    if not (count.isascii() and count.isdigit()):
        raise Unsuitable("damaged header", f"expected a number sample_count. Received: {count}")
    wanted, found = int(count), len(data) // 2
    if found < wanted:
        raise Unsuitable("truncated audio", f"expected {wanted:,} samples. Received: {found:,}")
    return np.frombuffer(data, dtype, count=wanted).astype(np.int16)


def _fields(header: bytes) -> dict[str, str]:
    """The fields `name -type value` of a header.

    Raises:
        Unsuitable: if there is no whole header of 1,024 bytes.
    """
    if not header.startswith(MAGIC):
        raise Unsuitable("no audio", "expected a file that begins with NIST_1A")
    if len(header) < _HEADER_BYTES:
        raise Unsuitable(
            "truncated audio", f"expected a header of 1,024 bytes. Received: {len(header)}"
        )
    lines = header.decode("latin1").split("\n")
    if lines[1].strip() != str(_HEADER_BYTES):
        raise Unsuitable(
            "damaged header", f"expected a header of 1024 bytes. Received: {lines[1].strip()!r}"
        )
    if "end_head" not in (line.strip() for line in lines):
        raise Unsuitable("damaged header", "expected the line end_head. Received: none")
    fields = {}
    for line in lines[2:]:
        if line.strip() == "end_head":
            break
        name, _, rest = line.partition(" ")
        _, _, value = rest.partition(" ")
        fields[name] = value.strip()
    return fields


def write(path: Path, samples: Samples) -> None:
    """Writes a SPHERE file as TIMIT has them, without the name of a database.

    Args:
        path: a file in a folder that is still being built (`common.files.write_folder`).
        samples: int16 `[samples]`, 16 kHz.

    Raises:
        ValueError: if the samples are of another type or shape.
        OSError: if it cannot be written.
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
        f"NIST_1A\n{_HEADER_BYTES:7}\n"
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
    path.write_bytes(header.encode("ascii").ljust(_HEADER_BYTES) + samples.astype("<i2").tobytes())
