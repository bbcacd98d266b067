from __future__ import annotations

import importlib.util
import io
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from common.errors import InputError, RecordingError, install
from common.media import audio
from tests.damage import read_damaged

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
    with pytest.raises(InputError, match=rf"run `{re.escape(install('speech'))}`$"):
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


@pytest.mark.parametrize("kind", ["WAV", "NIST"])
@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100])
def test_other_rates_are_resampled(tmp_path: Path, rate: int, kind: str) -> None:
    path = tmp_path / "audio.wav"
    tone = np.sin(2 * np.pi * 440 * np.arange(rate) / rate) / 2
    soundfile.write(path, tone, rate, format=kind)
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


def wav(
    *, riff: int | None = None, size: int | None = None, data: bytes = SAMPLES.tobytes(),
    before: bytes = b"", after: bytes = b"", order: str = "<",
) -> bytes:  # fmt: skip
    """A WAV file whose sizes of the whole and of the samples may be other than there is."""
    form = struct.pack(f"{order}HHIIHH", 1, 1, 16_000, 32_000, 2, 16)
    chunks = [(b"fmt ", len(form), form), (b"data", len(data) if size is None else size, data)]
    body = b"WAVE" + before
    body += b"".join(name + struct.pack(f"{order}I", n) + content for name, n, content in chunks)
    body += after
    whole = struct.pack(f"{order}I", len(body) if riff is None else riff)
    return (b"RIFF" if order == "<" else b"RIFX") + whole + body


LIST = b"LIST" + struct.pack("<I", 5) + b"INFO.\0"
LENGTH = len(wav()) - 8
WHOLE = {
    "right": wav(),
    "chunks before and after": wav(before=LIST * 50, after=LIST),
    "sox": wav(riff=0x7FFFF024, size=0x7FFFF000),
    "GStreamer": wav(riff=0x7FFFFFFF, size=0x7FFFFFFF - 36),
    "FFmpeg": wav(riff=2**32 - 1, size=2**32 - 1, before=LIST),
    "2**31": wav(riff=2**31, size=2**31),
    "nothing filled in": wav(riff=0, size=0),
    "the whole unknown, no size": wav(riff=2**32 - 1, size=0),
    "big-endian, nothing filled in": wav(
        riff=0, size=0, data=SAMPLES.astype(">i2").tobytes(), order=">"
    ),
    "the whole 8 too large": wav(riff=LENGTH + 8),
    "the whole 8 too small": wav(riff=LENGTH - 8),
    "the whole unknown": wav(riff=2**32 - 1),
    "the whole 0": wav(riff=0),
    "the whole right, the samples 8 too many": wav(size=2 * len(SAMPLES) + 8),
    "half a sample at the end, nothing filled in": wav(riff=0, size=0, after=b"x"),
}


@pytest.mark.parametrize("case", WHOLE)
def test_the_size_of_the_samples_decides_and_an_unknown_one_goes_to_the_end(
    tmp_path: Path, case: str
) -> None:
    (tmp_path / "audio.wav").write_bytes(WHOLE[case])
    np.testing.assert_array_equal(audio.read(str(tmp_path / "audio.wav")), SAMPLES)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (wav(size=2 * len(SAMPLES) + 2, riff=0), "truncated audio: expected 8,644 bytes of sampl"),
        (wav(riff=LENGTH + 8, size=0x7FFEFFFF), "truncated audio: expected 2,147,418,111 bytes"),
        (wav()[: LENGTH // 2], "truncated audio: expected 8,642 bytes of samples. Received: 4,"),
        (wav(data=b""), "no audio: expected samples. Received: none"),
        (wav(size=0), "no audio: expected samples. Received: none"),
        (wav(data=b"", riff=0), "no audio: expected samples. Received: none"),
        (wav(data=b"", riff=0, size=2**32 - 1), "no audio: expected samples. Received: none"),
        (wav(data=b"x", riff=0, size=0), "no audio: expected samples. Received: none"),
        (wav()[:44], "truncated audio: expected 8,642 bytes of samples. Received: 0"),
    ],
)
def test_samples_that_are_not_there_are_missed(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    (tmp_path / "audio.wav").write_bytes(content)
    with pytest.raises(RecordingError, match=f"^{re.escape(problem)}"):
        audio.read(str(tmp_path / "audio.wav"))


def test_truncated_aiff_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "audio.aiff"
    soundfile.write(path, SAMPLES, 16_000)
    content = path.read_bytes()
    path.write_bytes(content[:-2])
    with pytest.raises(RecordingError, match="truncated audio: expected 8,650 bytes of samples"):
        audio.read(str(path))


def flac(count: int, samples: np.ndarray = SAMPLES) -> bytes:
    """A FLAC file whose header counts other samples than there are."""
    content = io.BytesIO()
    soundfile.write(content, samples, 16_000, format="FLAC")
    header = bytearray(content.getvalue())
    header[21:26] = (header[21] >> 4 << 36 | count).to_bytes(5, "big")
    return bytes(header)


def test_flac_out_of_a_pipe_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_bytes(flac(0))
    np.testing.assert_array_equal(audio.read(str(tmp_path / "a.flac")), SAMPLES)


def test_length_is_bounded_before_and_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "audio"

    def refused(content: bytes) -> str:
        path.write_bytes(content)
        with pytest.raises(RecordingError) as caught:
            audio.read(str(path))
        assert caught.value.kind == "too long"
        return str(caught.value).rpartition(" ")[2]

    assert refused(flac(2**36 - 1)) == "68,719,476,735"
    monkeypatch.setattr(audio, "MOST_SAMPLES", len(SAMPLES))
    for content in (wav(), wav(riff=0, size=0), flac(0), flac(len(SAMPLES))):
        path.write_bytes(content)
        assert len(audio.read(str(path))) == len(SAMPLES)
    monkeypatch.setattr(audio, "MOST_SAMPLES", len(SAMPLES) - 1)
    for content in (wav(), wav(riff=0, size=0), flac(0), flac(len(SAMPLES))):
        assert refused(content) == "4,321"
    # A file of zeros whose sizes were never filled in is not even copied.
    assert refused(wav(riff=0, size=0, data=bytes(10**5))) == "12,500"
    soundfile.write(path, SAMPLES[::2], 8_000, format="WAV")
    assert refused(path.read_bytes()) == "4,322"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "an empty file"),
        (bytes(5000), "zeros"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "a pointer of Git LFS"),
        (b"\n<!DOCTYPE HTML>\n<html>Sign in</html>", "a web page"),
        (b"<html>\r\n<head>", "a web page"),
        (b'{"error": "no such object"}', "a text"),
        ("Übrigens".encode("latin-1"), "a text"),
    ],
)
def test_what_lies_in_the_place_of_audio_is_named(
    tmp_path: Path, content: bytes, what: str
) -> None:
    path = tmp_path / "audio.wav"
    path.write_bytes(content)
    with pytest.raises(RecordingError) as caught:
        audio.read(str(path))
    assert str(caught.value).startswith(f"no audio: expected an audio file. Received: {what}")


@pytest.mark.parametrize("name", ["a.raw", "a.RAW", "a.flac.au", "a"])
def test_the_name_says_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(wav())
    np.testing.assert_array_equal(audio.read(str(tmp_path / name)), SAMPLES)


def test_what_soundfile_does_not_know_goes_to_tensorflow_io(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"\0something else that is no audio")
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


@pytest.mark.parametrize("coding", ["ULAW", "ALAW"])
def test_sphere_of_a_telephone_is_read(tmp_path: Path, coding: str) -> None:
    path = tmp_path / "a.sph"
    tone = np.sin(np.arange(8_000) / 5) / 2
    soundfile.write(path, tone, 8_000, format="NIST", subtype=coding)
    soundfile.write(tmp_path / "a.wav", tone, 8_000, subtype=coding)
    samples = audio.read(str(path))
    assert len(samples) == 16_000 and np.abs(samples).max() > 16_000
    np.testing.assert_array_equal(samples, audio.read(str(tmp_path / "a.wav")))


def _written(kind: str) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, SAMPLES[:600], 16_000, format=kind)
    return content.getvalue()


@pytest.mark.parametrize(
    "files", [40, pytest.param(2_000, marks=pytest.mark.slow)], ids=["some", "many"]
)
@pytest.mark.parametrize("kind", ["WAV", "NIST", "FLAC", "AIFF", "AU", "OGG", "MP3", "RF64", "W64"])
def test_damaged_files_are_samples_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, files: int
) -> None:
    def refuse(path: str) -> tuple[np.ndarray, int]:
        raise RecordingError("no audio", path)

    monkeypatch.setattr(audio, "decode", refuse)
    path = tmp_path / "damaged.wav"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        samples = audio.read(str(path))
        assert samples.dtype == np.int16 and len(samples) > 0

    assert read_damaged(read, _written(kind), files=files)["refused"] > files / 10
