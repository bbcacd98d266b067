from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from common.errors import InputError, RecordingError
from common.media import audio

SAMPLES = np.random.default_rng(0).integers(-32768, 32768, size=4321).astype(np.int16)


@pytest.fixture
def timit(tmp_path: Path) -> Path:
    """A SPHERE file as TIMIT has them, but for the database's name."""
    folder = tmp_path / "MCJF0"
    folder.mkdir()
    audio.write_sphere(folder / "SI10.WAV", SAMPLES)
    return folder / "SI10.WAV"


def _change(path: Path, old: str, new: str) -> None:
    content = path.read_bytes()
    header = content[:1024].replace(old.encode(), new.encode())
    assert header != content[:1024]
    path.write_bytes(header.rstrip(b" ").ljust(1024) + content[1024:])


def test_without_soundfile_one_line_says_what_to_install(
    timit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"run `pip install 'lstm-odyssey\[speech\]'`$"):
        audio.read(str(timit))


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "AIFF", "NIST", "W64"])
def test_16_bits_come_back_exactly(tmp_path: Path, kind: str) -> None:
    # The name says nothing.
    path = tmp_path / "audio.ogg"
    soundfile.write(path, SAMPLES, 16_000, format=kind, subtype="PCM_16")
    samples = audio.read(str(path))
    assert samples.dtype == np.int16
    np.testing.assert_array_equal(samples, SAMPLES)


@pytest.mark.parametrize("subtype", ["PCM_24", "FLOAT", "DOUBLE"])
def test_other_sample_types_are_scaled(tmp_path: Path, subtype: str) -> None:
    path = tmp_path / "audio.wav"
    soundfile.write(path, SAMPLES / 32768, 16_000, subtype=subtype)
    np.testing.assert_array_equal(audio.read(str(path)), SAMPLES)


def test_too_loud_floats_are_clipped(tmp_path: Path) -> None:
    path = tmp_path / "audio.wav"
    soundfile.write(path, np.array([1.5, -1.5, 0.25]), 16_000, subtype="FLOAT")
    assert audio.read(str(path)).tolist() == [32767, -32768, 8192]


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100])
def test_other_rates_are_resampled(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "audio.wav"
    tone = np.sin(2 * np.pi * 440 * np.arange(rate) / rate) / 2
    soundfile.write(path, tone, rate)
    samples = audio.read(str(path))
    assert len(samples) == 16_000
    expected = 16384 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    # At the ends the filter sees the silence around the tone.
    assert np.abs(samples - expected)[500:-500].max() < 60


@pytest.mark.parametrize("kind", ["WAV", "NIST"])
def test_audio_of_two_channels_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "audio.wav"
    soundfile.write(path, np.stack([SAMPLES, SAMPLES], axis=1), 16_000, format=kind)
    problem = "other audio format: expected one channel. Received: 2"
    with pytest.raises(RecordingError, match=re.escape(problem)):
        audio.read(str(path))


def test_absurd_rates_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "audio.wav"
    soundfile.write(path, SAMPLES, 3_999)
    with pytest.raises(RecordingError, match=r"other audio format: expected 4 kHz to 768 kHz"):
        audio.read(str(path))


@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_truncated_audio_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "audio.wav"
    soundfile.write(path, SAMPLES, 16_000, format=kind)
    content = path.read_bytes()
    for size in (len(content) - 2, len(content) // 2, 30):
        path.write_bytes(content[:size])
        with pytest.raises(RecordingError, match="truncated audio|damaged audio"):
            audio.read(str(path))


def test_a_riff_file_out_of_a_pipe_is_read(tmp_path: Path) -> None:
    path = tmp_path / "audio.wav"
    soundfile.write(path, SAMPLES, 16_000)
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"\xff\xff\xff\xff" + content[8:])
    np.testing.assert_array_equal(audio.read(str(path)), SAMPLES)


def test_what_soundfile_does_not_know_goes_to_tensorflow_io(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"something else that is no audio")
    monkeypatch.setattr(audio, "decode", {str(path): (SAMPLES, 8_000)}.__getitem__)
    samples = audio.read(str(path))
    assert (samples.dtype, len(samples)) == (np.int16, 2 * len(SAMPLES))


def test_what_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="unreadable file: .*absent.wav: No such file"):
        audio.read(str(tmp_path / "absent.wav"))
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(RecordingError, match="unreadable file: .*folder.wav: Is a directory"):
        audio.read(str(tmp_path / "folder.wav"))


def test_a_sphere_file_is_as_in_timit(timit: Path) -> None:
    content = timit.read_bytes()
    assert content[1024:] == SAMPLES.astype("<i2").tobytes()
    lines = content[:1024].decode().split("\n")
    assert lines[:2] == ["NIST_1A", "   1024"]
    assert {
        "utterance_id -s9 cjf0_si10",
        "sample_count -i 4321",
        "sample_rate -i 16000",
        f"sample_max -i {SAMPLES.max()}",
        f"sample_min -i {SAMPLES.min()}",
    } <= set(lines)
    # Only TIMIT's own files may carry its name.
    assert not any("database" in line for line in lines)
    np.testing.assert_array_equal(audio.read(str(timit)), SAMPLES)


def test_sphere_in_the_other_byte_order_is_read(timit: Path) -> None:
    _change(timit, "format -s2 01", "format -s2 10")
    timit.write_bytes(timit.read_bytes()[:1024] + SAMPLES.astype(">i2").tobytes())
    np.testing.assert_array_equal(audio.read(str(timit)), SAMPLES)


def test_what_follows_the_samples_of_sphere_does_not_count(timit: Path) -> None:
    timit.write_bytes(timit.read_bytes() + b"more")
    np.testing.assert_array_equal(audio.read(str(timit)), SAMPLES)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "sample_sig_bits -i 16",
            "sample_coding -s26 pcm,embedded-shorten-v2.00",
            "compressed audio: expected sample_coding pcm. "
            "Received: pcm,embedded-shorten-v2.00 (sph2pipe or sox can unpack it)",
        ),
        (
            "sample_count -i 4321",
            "sample_count -i 4322",
            "truncated audio: expected 4,322 samples. Received: 4,321",
        ),
        ("   1024", "   2048", "truncated audio: expected 4,321 samples. Received: 3,809"),
        (
            "sample_count -i 4321",
            "sample_count -i -1",
            "damaged header: expected a number sample_count. Received: -1",
        ),
        (
            "sample_count -i 4321\n",
            "",
            "damaged header: expected a number sample_count. Received: nothing",
        ),
        ("n_bytes -i 2", "n_bytes -i 1", "damaged audio: "),
        ("NIST_1A", "NIST_1B", "damaged audio: "),
    ],
)
def test_sphere_with_another_header_is_refused(
    timit: Path, old: str, new: str, problem: str
) -> None:
    _change(timit, old, new)
    with pytest.raises(RecordingError, match=re.escape(problem)):
        audio.read(str(timit))


def test_sphere_cut_short_is_refused(timit: Path) -> None:
    content = timit.read_bytes()
    for size, received in [(8, "8$"), (1023, "1023$"), (1024, "0$"), (len(content) - 3, "4,319$")]:
        timit.write_bytes(content[:size])
        with pytest.raises(RecordingError, match=f"^truncated audio: .* Received: {received}"):
            audio.read(str(timit))


@pytest.mark.parametrize("samples", [SAMPLES.astype(np.int32), SAMPLES[None]])
def test_writes_nothing_else(tmp_path: Path, samples: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"Expected samples of dtype int16"):
        audio.write_sphere(tmp_path / "a.wav", samples)


@pytest.mark.parametrize(("kind", "header"), [("WAV", 60), ("NIST", 300)])
def test_random_changes_never_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, header: int
) -> None:
    def refuse(path: str) -> tuple[np.ndarray, int]:
        raise RecordingError("no audio", path)

    monkeypatch.setattr(audio, "decode", refuse)
    generator = np.random.default_rng(0)
    path = tmp_path / "changed.wav"
    soundfile.write(path, SAMPLES, 16_000, format=kind)
    original = path.read_bytes()
    for _ in range(200):
        content = bytearray(original)
        for place in generator.integers(0, header, size=2):
            content[place] = generator.integers(0, 256)
        path.write_bytes(bytes(content))
        try:
            assert audio.read(str(path)).dtype == np.int16
        except RecordingError as error:
            assert "\n" not in str(error)
