from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from common.errors import InputError
from common.media import audio
from tests.tuner.tasks.speech.conftest import PATHS, spoken, write_speaker, write_timit
from tuner.tasks.features import Extraction
from tuner.tasks.speech import timit
from tuner.tasks.speech.labels import per_frame
from tuner.tasks.speech.phones import PHONES
from tuner.tasks.speech.task import SpeechTask
from tuner.tasks.task import Corpus, find_task, load_corpus


@pytest.fixture(autouse=True)
def compute_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Computes features in this process, which takes no start."""
    monkeypatch.setattr(Extraction, "run", Extraction.compute)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Corpus, Path]]:
    folder = write_timit(tmp_path_factory.mktemp("speech") / "TIMIT")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LSTM_ODYSSEY_CACHE", str(folder.parent / "cache"))
        patch.setattr(Extraction, "run", Extraction.compute)
        yield load_corpus(find_task("speech"), str(folder.parent)), folder


def _utterances(split: str) -> list[tuple[str, str]]:
    return sorted(PATHS[split])


def test_is_the_papers_task() -> None:
    task = SpeechTask()
    assert (task.inputs, task.outputs, task.head) == (39, 61, "softmax")
    assert task.bidirectional
    assert str(task.metric.unit) == "% of frames"
    assert task.labels == PHONES
    assert len(task.groups) == 61


def test_targets_are_the_phones_of_the_frames(corpus: tuple[Corpus, Path]) -> None:
    for split in PATHS:
        found = getattr(corpus[0], split).targets
        for target, (speaker, name) in zip(found, _utterances(split), strict=True):
            segments = spoken(speaker, name).segments
            assert target.dtype == np.int32
            np.testing.assert_array_equal(target, per_frame(segments, len(target)))


def test_inputs_and_targets_belong_together(corpus: tuple[Corpus, Path]) -> None:
    # Each phone has a loudness of its own: the energy of a frame gives its label away, and less
    # and less of it the further labels and frames are shifted against each other.
    def correlation(shift: int) -> float:
        pairs = []
        for split in PATHS:
            sequences = getattr(corpus[0], split)
            for inputs, targets in zip(sequences.inputs, sequences.targets, strict=True):
                energy = inputs[:, 12]
                pairs.append([energy[shift:], np.log(targets + 1.0)[: len(energy) - shift]])
        return float(np.corrcoef(np.concatenate(pairs, axis=1))[0, 1])

    found = [correlation(shift) for shift in range(4)]
    assert found[0] > 0.9
    assert found == sorted(found, reverse=True)


def test_inputs_of_train_have_mean_zero_and_variance_one(corpus: tuple[Corpus, Path]) -> None:
    frames = np.concatenate(corpus[0].train.inputs).astype(np.float64)
    np.testing.assert_allclose(frames.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(frames.var(axis=0), 1, rtol=1e-4)
    # The other splits have the statistics of train, so they come out a little different.
    assert np.abs(np.concatenate(corpus[0].test.inputs).mean(axis=0)).max() > 1e-2


def test_the_front_end_makes_the_inputs(corpus: tuple[Corpus, Path]) -> None:
    layer = keras.saving.deserialize_keras_object(corpus[0].frontend)
    for split in PATHS:
        found = getattr(corpus[0], split).inputs
        for inputs, (speaker, name) in zip(found, _utterances(split), strict=True):
            samples = spoken(speaker, name).samples
            computed, frames = layer(samples[None].astype(np.float32), np.array([len(samples)]))
            assert int(frames[0]) == len(inputs)
            np.testing.assert_allclose(
                ops.convert_to_numpy(computed)[0], inputs, rtol=0, atol=1e-3
            )


def test_an_incomplete_copy_is_used_but_not_called_timit(corpus: tuple[Corpus, Path]) -> None:
    edition, folder = corpus[0].dataset, corpus[1]
    assert edition.name == "speech in TIMIT's layout, incomplete"
    assert "are 6 + 2 + 2 utterances of " in edition.detail
    assert "; there are only train 6 of 3,696, validation 2 of 400" in edition.detail
    assert edition.detail.endswith(f"; read from {folder.parent}")
    frames = " + ".join(f"{getattr(corpus[0], split).frames:,}" for split in PATHS)
    assert f"of {frames} frames;" in edition.detail


def _problems(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What was said on standard error, but for the news that features are computed."""
    lines = capsys.readouterr().err.splitlines()
    return [line for line in lines if not line.startswith("Computing the features of ")]


def test_says_what_is_missing(timit_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    SpeechTask().load(str(timit_folder))
    (line,) = _problems(capsys)
    start = f"{timit_folder}: expected all of TIMIT (LDC93S1). Received: train 6 of 3,696, "
    assert line.startswith(start)


def test_a_complete_copy_is_called_timit(
    timit_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(timit, "EXPECTED", {"train": 6, "validation": 2, "test": 2})
    assert SpeechTask().load(str(timit_folder)).dataset.name == "TIMIT (LDC93S1)"
    assert _problems(capsys) == []
    # One bad file, and it is no longer what others call TIMIT.
    (timit_folder / "TRAIN/DR1/MDAC0/SI10.PHN").write_text("0 400 xyz")
    edition = SpeechTask().load(str(timit_folder)).dataset
    assert edition.name == "speech in TIMIT's layout, incomplete"
    assert "; left out: unknown phone (1); " in edition.detail
    assert _problems(capsys) == [
        f"{timit_folder}: 1 left out; the first: mdac0 si10: unknown phone: line 1: "
        "expected one of the 61 phones of TIMIT. Received: 'xyz'"
    ]


def test_nltks_sample_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index, letter in enumerate("abcdef", start=1):
        write_speaker(tmp_path, f"dr{index}-fab{letter}0", case=str.lower)
    monkeypatch.setattr(timit, "EXPECTED_SAMPLE", {"train": 8, "validation": 2, "test": 2})
    corpus = load_corpus(SpeechTask(), str(tmp_path))
    assert corpus.dataset.name == "TIMIT, NLTK sample"
    assert [len(split) for split in (corpus.train, corpus.validation, corpus.test)] == [8, 2, 2]


def test_own_speech_has_its_own_name(
    timit_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("dev", "test"):
        speaker = min(PATHS["validation" if name == "dev" else "test"])[0]
        (timit_folder / f"{name}_spk.list").write_text(speaker)
    (timit_folder / "edition.txt").write_text("own speech\nread by me")
    first = timit_folder / "TRAIN/DR1/MDAC0/SI10.PHN"
    first.write_bytes(b"\xef\xbb\xbf0 0 h#\n" + first.read_bytes())
    edition = SpeechTask().load(str(timit_folder)).dataset
    assert edition.name == "own speech"
    assert edition.detail.startswith("read by me; train + validation + test are 6 + 2 + 2 ")
    assert "; mended: 1 labels of no length; read from " in edition.detail
    assert _problems(capsys) == [f"{timit_folder}: mended: 1 labels of no length"]


def test_a_split_of_bad_files_alone_is_refused(timit_folder: Path) -> None:
    for path in timit_folder.glob(f"TEST/DR1/{_utterances('test')[0][0].upper()}/S[IX]*.PHN"):
        path.write_text("")
    with pytest.raises(InputError) as caught:
        SpeechTask().load(str(timit_folder))
    assert str(caught.value) == (
        f"--data: {timit_folder}: expected usable utterances for train, validation, test. "
        "Received: {'train': 6, 'validation': 2, 'test': 0}; left out: no labels (2)"
    )


@pytest.mark.parametrize("data", ["", "absent", "a\0b", "~nobody/timit", __file__])
def test_other_data_is_refused(data: str) -> None:
    with pytest.raises(InputError, match="expected auto, synthetic or "):
        SpeechTask().load(data)


@pytest.mark.parametrize("data", ["auto", "synthetic"])
def test_auto_is_the_synthetic_corpus(
    timit_folder: Path, monkeypatch: pytest.MonkeyPatch, data: str
) -> None:
    from tuner.tasks.speech.synthesis import corpus

    monkeypatch.setattr(corpus, "corpus_folder", lambda: timit_folder)
    shutil.copytree(timit_folder, timit_folder.parent / "copy")
    copy = SpeechTask().load(str(timit_folder.parent / "copy"))
    assert SpeechTask().load(data).dataset.sha256 == copy.dataset.sha256


def test_silence_alone_has_finite_inputs(timit_folder: Path) -> None:
    for path in timit_folder.rglob("*.WAV"):
        audio.write_sphere(path, 0 * audio.read(str(path)))
    corpus = load_corpus(SpeechTask(), str(timit_folder))
    assert np.abs(np.concatenate(corpus.train.inputs)).max() < 1e-3
