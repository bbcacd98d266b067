from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.errors import InputError, RecordingError
from common.media import audio
from tests.tuner.tasks.speech.conftest import PATHS, spoken, write_timit
from tuner.tasks.speech import labels
from tuner.tasks.speech.labels import Segment
from tuner.tasks.speech.timit import Recording, find
from tuner.tasks.speech.utterances import Speech, read, read_all


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    utterance = spoken("fcjf0", "si10")
    paths = tmp_path / "SI10.WAV", tmp_path / "SI10.PHN"
    audio.write_sphere(paths[0], utterance.samples)
    labels.write(paths[1], utterance.segments)
    return Recording("fcjf0", "si10", (paths[0],), (paths[1],))


def test_reads_audio_and_labels(recording: Recording) -> None:
    utterance = read(recording)
    expected = spoken("fcjf0", "si10")
    assert (utterance.speaker, utterance.name) == ("fcjf0", "si10")
    np.testing.assert_array_equal(utterance.samples, expected.samples)
    assert utterance.segments == expected.segments
    assert utterance.frames == (len(expected.samples) - 400) // 160 + 1


@pytest.mark.parametrize("beyond", [1, 1_600])
def test_labels_and_audio_are_cut_to_the_shorter(recording: Recording, beyond: int) -> None:
    expected = spoken("fcjf0", "si10")
    audio.write_sphere(recording.audio[0], np.pad(expected.samples, (0, beyond)))
    np.testing.assert_array_equal(read(recording).samples, expected.samples)
    audio.write_sphere(recording.audio[0], expected.samples)
    end = len(expected.samples)
    more = (Segment(end, end + beyond, "h#"),)
    labels.write(recording.labels[0], expected.segments + more)
    assert read(recording).segments == expected.segments
    longer = Segment(expected.segments[-1].start, end + beyond, expected.segments[-1].phone)
    labels.write(recording.labels[0], (*expected.segments[:-1], longer))
    assert read(recording).segments == expected.segments


def test_labels_far_beyond_the_audio_are_refused(recording: Recording) -> None:
    expected = spoken("fcjf0", "si10")
    end = len(expected.samples)
    labels.write(recording.labels[0], (*expected.segments, Segment(end, end + 1_601, "h#")))
    with pytest.raises(RecordingError) as caught:
        read(recording)
    assert str(caught.value) == (
        f"labels past the end: expected an end at {end:,}, where the audio ends. "
        f"Received: {end + 1601:,}"
    )


def test_less_than_a_frame_is_refused(recording: Recording) -> None:
    labels.write(recording.labels[0], [Segment(0, 399, "aa")])
    with pytest.raises(RecordingError, match="too short: expected 400 samples. Received: 399"):
        read(recording)
    labels.write(recording.labels[0], [Segment(0, 400, "aa")])
    assert read(recording).frames == 1


def test_a_damaged_original_has_a_copy(recording: Recording, tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(recording.audio[0].read_bytes()[:2000])
    both = (tmp_path / "bad.wav", recording.audio[0])
    copied = Recording("fcjf0", "si10", both, recording.labels)
    np.testing.assert_array_equal(read(copied).samples, spoken("fcjf0", "si10").samples)
    # Of copies that are all damaged the original says why.
    absent = Recording("fcjf0", "si10", (both[0], tmp_path / "absent"), recording.labels)
    with pytest.raises(RecordingError, match="truncated audio"):
        read(absent)


CODING = b"coding -s3 abc"

# What is made of a file's content; None removes the file.
BAD: dict[str, tuple[str, Callable[[bytes], bytes] | None]] = {
    "truncated audio": (".WAV", lambda content: content[:-2]),
    "compressed audio": (".WAV", lambda content: content.replace(b"sig_bits -i 16", CODING)),
    "no audio": (".WAV", None),
    "no labels": (".PHN", lambda content: b""),
    "labels past the end": (".PHN", lambda content: content + b"900000 900001 h#\n"),
    "unknown phone": (".PHN", lambda content: content.rsplit(b" ", 1)[0] + b" xx\n"),
    "overlapping labels": (".PHN", lambda content: content + b"5 9999 h#\n"),
    "too short": (".PHN", lambda content: b"0 100 h#\n"),
    "damaged labels": (".PHN", lambda content: b"what?"),
}


def _read(folder: Path) -> Speech:
    return read_all(find(folder))


@pytest.mark.parametrize("kind", BAD)
def test_bad_utterances_are_left_out_and_counted(timit_folder: Path, kind: str) -> None:
    suffix, spoil = BAD[kind]
    for path in timit_folder.glob(f"TRAIN/*/MDAC0/S[IX]*{suffix}"):
        path.unlink() if spoil is None else path.write_bytes(spoil(path.read_bytes()))
    speech = _read(timit_folder)
    found = {split: {(one.speaker, one.name) for one in speech.splits[split]} for split in PATHS}
    left = {(speaker, name) for speaker, name in PATHS["train"] if speaker != "mdac0"}
    assert found == {**PATHS, "train": left}
    assert speech.skipped == {kind: 2}
    assert speech.examples[kind].startswith(f"mdac0 si10: {kind}: ")


def test_labels_that_are_mended_cost_no_utterance(timit_folder: Path) -> None:
    right = _read(timit_folder)
    assert right.mended == {}
    for path in timit_folder.glob("TRAIN/*/MDAC0/S[IX]*.PHN"):
        start, *_ = (lines := path.read_text().splitlines())[1].split()
        lines.insert(1, f"{start} {start} q")
        lines[2] = lines[2].replace(start, str(int(start) - 1), 1)
        path.write_text("\n".join(lines))
    mended = _read(timit_folder)
    assert mended.mended == {"labels of no length": 2, "overlapping labels": 2}
    assert (mended.sha256(), mended.skipped) == (right.sha256(), {})


def test_random_changes_never_crash(timit_folder: Path) -> None:
    generator = np.random.default_rng(0)
    for path in [*timit_folder.rglob("S[IX]*.PHN"), *timit_folder.rglob("S[IX]*.WAV")]:
        content = bytearray(path.read_bytes())
        for place in generator.integers(0, min(len(content), 400), size=4):
            content[place] = generator.integers(0, 256)
        path.write_bytes(bytes(content))
    speech = _read(timit_folder)
    assert len(speech.utterances) + sum(speech.skipped.values()) == 10
    assert speech.skipped


def test_without_the_package_that_reads_audio_nothing_is_skipped(
    timit_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    next(timit_folder.glob("TRAIN/*/FCJF0/SI10.WAV")).write_bytes(b"fLaC")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match="expected the package soundfile"):
        _read(timit_folder)


class TestHash:
    def test_does_not_depend_on_the_files(self, timit_folder: Path, tmp_path: Path) -> None:
        other = write_timit(tmp_path / "b" / "timit", str.lower)
        soundfile = pytest.importorskip("soundfile")
        for path in other.rglob("*.wav"):
            samples = audio.read(str(path))
            soundfile.write(path, samples, 16_000, format="FLAC", subtype="PCM_16")
        assert _read(other).sha256() == _read(timit_folder).sha256()

    @pytest.mark.parametrize(
        "change",
        [
            lambda folder: _change_a_sample(folder),
            lambda folder: _change_a_label(folder),
            lambda folder: shutil.rmtree(folder / "TRAIN" / "DR8"),
            lambda folder: (folder / "TRAIN/DR1/MDAC0").rename(folder / "TRAIN/DR1/MDAC1"),
        ],
        ids=["sample", "label", "speaker", "name"],
    )
    def test_depends_on_what_is_in_them(
        self, timit_folder: Path, change: Callable[[Path], object]
    ) -> None:
        before = _read(timit_folder).sha256()
        change(timit_folder)
        assert _read(timit_folder).sha256() != before


def _change_a_sample(folder: Path) -> None:
    path = folder / "TRAIN" / "DR1" / "MDAC0" / "SI10.WAV"
    samples = audio.read(str(path))
    samples[100] += 1
    audio.write_sphere(path, samples)


def _change_a_label(folder: Path) -> None:
    path = folder / "TRAIN" / "DR1" / "MDAC0" / "SI10.PHN"
    first, *rest = labels.read(path).segments
    labels.write(path, [Segment(first.start + 1, first.end, first.phone), *rest])
