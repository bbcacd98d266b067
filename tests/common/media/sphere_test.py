from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from common.errors import Unsuitable
from common.media import sphere

SAMPLES = np.random.default_rng(0).integers(-32768, 32768, size=1234).astype(np.int16)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "MCJF0"
    folder.mkdir()
    sphere.write(folder / "SI10.WAV", SAMPLES)
    return folder / "SI10.WAV"


def _change(path: Path, old: str, new: str) -> None:
    content = path.read_bytes()
    header = content[:1024].replace(old.encode(), new.encode())
    assert header != content[:1024]
    path.write_bytes(header.rstrip(b" ").ljust(1024) + content[1024:])


def test_what_is_written_is_read(path: Path) -> None:
    samples = sphere.read(path)
    assert samples.dtype == np.int16
    np.testing.assert_array_equal(samples, SAMPLES)


def test_the_header_is_as_in_timit(path: Path) -> None:
    content = path.read_bytes()
    assert len(content) == 1024 + 2 * 1234
    lines = content[:1024].decode().split("\n")
    assert lines[:2] == ["NIST_1A", "   1024"]
    assert "utterance_id -s9 cjf0_si10" in lines
    assert "sample_count -i 1234" in lines
    assert "sample_rate -i 16000" in lines
    assert f"sample_max -i {SAMPLES.max()}" in lines
    assert f"sample_min -i {SAMPLES.min()}" in lines
    # Only TIMIT's own files may carry its name.
    assert not any("database" in line for line in lines)


def test_soundfile_reads_the_same(path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    samples, rate = soundfile.read(path, dtype="int16")
    assert rate == 16_000
    np.testing.assert_array_equal(samples, SAMPLES)


@pytest.mark.parametrize(("endian", "dtype"), [("LITTLE", "<i2"), ("BIG", ">i2")])
def test_reads_what_soundfile_writes(tmp_path: Path, endian: str, dtype: str) -> None:
    soundfile = pytest.importorskip("soundfile")
    path = tmp_path / "a.wav"
    soundfile.write(path, SAMPLES, 16_000, format="NIST", subtype="PCM_16", endian=endian)
    assert path.read_bytes()[1024:] == SAMPLES.astype(dtype).tobytes()
    np.testing.assert_array_equal(sphere.read(path), SAMPLES)


def test_reads_the_other_byte_order(path: Path) -> None:
    _change(path, "format -s2 01", "format -s2 10")
    path.write_bytes(path.read_bytes()[:1024] + SAMPLES.astype(">i2").tobytes())
    np.testing.assert_array_equal(sphere.read(path), SAMPLES)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "sample_rate -i 16000",
            "sample_rate -i 8000",
            "other audio format: expected sample_rate 16000. Received: 8000",
        ),
        (
            "channel_count -i 1",
            "channel_count -i 2",
            "other audio format: expected channel_count 1. Received: 2",
        ),
        (
            "n_bytes -i 2",
            "n_bytes -i 1",
            "other audio format: expected sample_n_bytes 2. Received: 1",
        ),
        (
            "format -s2 01",
            "format -s1 1",
            "other audio format: expected sample_byte_format 01 or 10. Received: 1",
        ),
        (
            "sample_sig_bits -i 16",
            "sample_coding -s26 pcm,embedded-shorten-v2.00",
            "compressed audio: expected sample_coding pcm. "
            "Received: pcm,embedded-shorten-v2.00 (sph2pipe or sox can unpack it)",
        ),
        (
            "sample_sig_bits -i 16",
            "sample_coding -s4 ulaw",
            "compressed audio: expected sample_coding pcm. Received: ulaw",
        ),
        (
            "sample_count -i 1234",
            "sample_count -i 1235",
            "truncated audio: expected 1,235 samples. Received: 1,234",
        ),
        (
            "sample_count -i 1234",
            "sample_count -i -1",
            "damaged header: expected a number sample_count. Received: -1",
        ),
        ("end_head", "end_hea_", "damaged header: expected the line end_head. Received: none"),
        (
            "   1024",
            "   2048",
            "damaged header: expected a header of 1024 bytes. Received: '2048'",
        ),
        ("NIST_1A", "NIST_1B", "no audio: expected a file that begins with NIST_1A"),
    ],
)
def test_refuses_what_it_cannot_read(path: Path, old: str, new: str, problem: str) -> None:
    _change(path, old, new)
    with pytest.raises(Unsuitable, match=re.escape(problem)):
        sphere.read(path)


@pytest.mark.parametrize("size", [8, 100, 1023])
def test_refuses_half_a_header(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(Unsuitable, match=f"truncated audio: .* Received: {size}"):
        sphere.read(path)


def test_refuses_audio_cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(Unsuitable, match="truncated audio: .*1,234 samples. Received: 1,232"):
        sphere.read(path)


def test_what_follows_the_samples_does_not_count(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")
    np.testing.assert_array_equal(sphere.read(path), SAMPLES)


@pytest.mark.parametrize("samples", [SAMPLES.astype(np.int32), SAMPLES[None]])
def test_writes_nothing_else(tmp_path: Path, samples: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"Expected samples of dtype int16"):
        sphere.write(tmp_path / "a.wav", samples)


def test_random_headers_never_crash(path: Path) -> None:
    generator = np.random.default_rng(0)
    content = np.frombuffer(path.read_bytes(), np.uint8)
    for _ in range(300):
        changed = content.copy()
        places = generator.integers(8, 300, size=3)
        changed[places] = generator.integers(0, 256, size=3)
        path.write_bytes(changed.tobytes())
        try:
            assert sphere.read(path).dtype == np.int16
        except Unsuitable as unsuitable:
            assert "\n" not in str(unsuitable)
