from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from common.errors import InputError
from tests.tuner.tasks.speech.conftest import PATHS, write_speaker, write_timit
from tuner.tasks.speech import timit
from tuner.tasks.speech.timit import TEST, VALIDATION, Tree, find, split_sample


def _found(tree: Tree) -> dict[str, set[tuple[str, str]]]:
    found = {
        split: [(recording.speaker, recording.name) for recording in recordings]
        for split, recordings in tree.splits.items()
    }
    for names in found.values():
        assert names == sorted(set(names))
    return {split: set(names) for split, names in found.items()}


@pytest.mark.parametrize("case", [str.upper, str.lower, str.title], ids=lambda case: case.__name__)
@pytest.mark.parametrize("root", ["", "TIMIT", "timit/data", "data/lisa/data/timit/raw/TIMIT"])
def test_finds_timit_wherever_its_root_is(
    tmp_path: Path, case: Callable[[str], str], root: str
) -> None:
    folder = tmp_path / "corpus"
    write_timit(folder / root, case)
    (folder / root / case("doc")).mkdir()
    assert _found(find(folder)) == PATHS


def test_each_recording_has_its_own_files(timit_folder: Path) -> None:
    for recordings in find(timit_folder).splits.values():
        for recording in recordings:
            (audio,), (labels,) = recording.audio, recording.labels
            assert audio.parent.name == labels.parent.name == recording.speaker.upper()
            assert audio.name == f"{recording.name.upper()}.WAV"
            assert labels.name == f"{recording.name.upper()}.PHN"


def test_a_copy_of_the_audio_counts_once(timit_folder: Path) -> None:
    for path in list(timit_folder.rglob("*.WAV")):
        shutil.copy(path, f"{path}.wav")
        (path.parent / f"._{path.name}").write_bytes(b"what a Mac leaves behind")
    tree = find(timit_folder)
    assert _found(tree) == PATHS
    for recordings in tree.splits.values():
        for recording in recordings:
            name = recording.name.upper()
            assert [path.name for path in recording.audio] == [f"{name}.WAV", f"{name}.WAV.wav"]


def test_folders_in_upper_and_lower_case_are_one_corpus(tmp_path: Path) -> None:
    root = write_timit(write_timit(tmp_path / "corpus"), str.lower)
    tree = find(root)
    assert _found(tree) == PATHS
    assert all(len(one.audio) == 2 for recordings in tree.splits.values() for one in recordings)


def test_says_what_is_missing(timit_folder: Path) -> None:
    tree = find(timit_folder)
    assert tree.name == "TIMIT (LDC93S1)"
    start = "train 6 of 3,696, validation 2 of 400, test 2 of 192 utterances (no "
    assert tree.missing.startswith(start)
    absent = sorted((TEST | VALIDATION) - {min(TEST), min(VALIDATION)})
    # 72 of the lists, and 5 speakers with 2 of their 8 sentences; 5 are named.
    assert tree.missing == f"{start}{', no '.join(absent[:5])} and 72 more)"


def test_nothing_is_missing_from_a_whole_copy(tmp_path: Path) -> None:
    sentences = [f"s{kind}{number}" for number in range(5) for kind in "ix"][:8]
    places = [("TRAIN", f"m{index:03}0") for index in range(462)]
    places += [("TEST", speaker) for speaker in sorted(TEST | VALIDATION)] + [("TEST", "fxxx0")]
    for index, (part, speaker) in enumerate(places):
        folder = tmp_path / part / f"DR{index % 8 + 1}" / speaker
        folder.mkdir(parents=True)
        for sentence in ("sa1", *sentences):
            (folder / f"{sentence}.WAV").touch()
            (folder / f"{sentence}.PHN").touch()
    tree = find(tmp_path)
    counts = {split: len(recordings) for split, recordings in tree.splits.items()}
    assert counts == {"train": 3_696, "validation": 400, "test": 192}
    assert tree.missing == ""
    removed = min(VALIDATION)
    for path in tmp_path.rglob(f"{removed}/s[ix]1.*"):
        path.unlink()
    assert find(tmp_path).missing == f"validation 398 of 400 utterances (6 of {removed})"


def test_an_empty_split_is_refused(timit_folder: Path) -> None:
    shutil.rmtree(timit_folder / "TEST" / "DR1" / min(VALIDATION).upper())
    with pytest.raises(InputError) as caught:
        find(timit_folder)
    assert str(caught.value).startswith(
        f"--data: {timit_folder}: expected utterances for train, validation, test. "
        "Received: train 6 of 3,696, validation 0 of 400, test 2 of 192 utterances (no "
    )


def test_other_folders_are_refused(tmp_path: Path) -> None:
    for name in ("music", "train/a", "test"):
        (tmp_path / "mine" / name).mkdir(parents=True)
    problem = (
        "expected the folders of TIMIT (TRAIN/DR1/FCJF0 ...) or of NLTK's sample (dr1-fvmh0 ...). "
        "Received: neither"
    )
    with pytest.raises(InputError, match=re.escape(problem)):
        find(tmp_path / "mine")


def test_a_folder_with_more_folders_than_a_corpus_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abcd":
        (tmp_path / name).mkdir()
    write_timit(tmp_path / "d" / "corpus")
    assert find(tmp_path)
    monkeypatch.setattr(timit, "_MOST_FOLDERS", 4)
    with pytest.raises(InputError, match="Received: neither"):
        find(tmp_path)


class TestOwnLists:
    @pytest.fixture
    def root(self, timit_folder: Path) -> Path:
        (timit_folder / "dev_spk.list").write_text("FXXX0\nnobody\n")
        (timit_folder / "test_spk.list").write_text(f"{min(VALIDATION)}\n{min(TEST)}\n")
        return timit_folder

    def test_say_who_is_for_what(self, root: Path) -> None:
        tree = find(root)
        assert (tree.name, tree.expected, tree.missing) == ("speech of corpus", None, "")
        found = _found(tree)
        assert found["train"] == PATHS["train"]
        assert found["validation"] == {("fxxx0", "si10"), ("fxxx0", "sx20")}
        assert found["test"] == PATHS["test"] | PATHS["validation"]

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
    def test_byte_order_marks_are_no_speakers(self, root: Path, encoding: str) -> None:
        before = find(root)
        for name in ("dev_spk.list", "test_spk.list"):
            text = (root / name).read_text()
            (root / name).write_bytes(text.replace("\n", "\r\n").encode(encoding))
        (root / "edition.txt").write_bytes("own speech".encode(encoding))
        after = find(root)
        assert (after.name, after.splits) == ("own speech", before.splits)

    def test_may_have_a_name(self, root: Path) -> None:
        (root / "edition.txt").write_text("own speech\x07\nread by me\nthird line\n")
        tree = find(root)
        assert (tree.name, tree.detail) == ("own speech ", "read by me")

    def test_must_be_two(self, root: Path) -> None:
        (root / "test_spk.list").unlink()
        with pytest.raises(InputError, match=r"test_spk.list: expected a list of speakers"):
            find(root)

    def test_must_not_share_a_speaker(self, root: Path) -> None:
        (root / "test_spk.list").write_text("fxxx0\n")
        problem = "expected no speaker in both dev_spk.list and test_spk.list. Received: fxxx0"
        with pytest.raises(InputError, match=re.escape(problem)):
            find(root)

    def test_without_anybody_are_refused(self, root: Path) -> None:
        (root / "dev_spk.list").write_text("")
        with pytest.raises(InputError, match=r"Received: none for validation$"):
            find(root)


class TestNltkSample:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        sentences = "sa1 sa2 si0 si1 si2 sx0 sx1 sx2 sx3 sx4".split()
        for dialect, letter in enumerate("abcdefgh", start=1):
            for sex in "fm":
                place = tmp_path / "corpora" / "timit" / f"dr{dialect}-{sex}ab{letter}0"
                place.mkdir(parents=True)
                for sentence in sentences:
                    for suffix in ("wav", "phn", "txt", "wrd"):
                        (place / f"{sentence}.{suffix}").touch()
        (tmp_path / "corpora" / "timit" / "README").touch()
        return tmp_path / "corpora"

    def test_is_split_by_speaker(self, folder: Path) -> None:
        tree = find(folder)
        found = _found(tree)
        speakers = {split: {speaker for speaker, _ in names} for split, names in found.items()}
        assert speakers["validation"] == {"fabc0", "mabc0"}
        assert speakers["test"] == {"fabf0", "mabf0"}
        assert len(speakers["train"]) == 12
        assert all(len(names) == 8 * len(speakers[split]) for split, names in found.items())
        assert (tree.name, tree.missing) == ("TIMIT, NLTK sample", "")

    def test_says_what_is_missing(self, folder: Path) -> None:
        for path in (folder / "timit" / "dr3-fabc0").glob("sx0.*"):
            path.unlink()
        assert find(folder).missing == "validation 15 of 16 utterances (7 of fabc0)"


def test_an_unreadable_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a readable folder. Received: No such file"):
        find(tmp_path / "absent")


def test_an_utterance_without_labels_is_found_to_be_counted(tmp_path: Path) -> None:
    write_timit(tmp_path)
    write_speaker(tmp_path / "TRAIN" / "DR2", "fabc0", ["si1"])
    (tmp_path / "TRAIN" / "DR2" / "FABC0" / "SI1.PHN").unlink()
    (recording,) = (one for one in find(tmp_path).splits["train"] if one.speaker == "fabc0")
    assert (len(recording.audio), recording.labels) == (1, ())


def test_the_lists_have_the_papers_sizes_and_a_woman_and_two_men_of_each_dialect() -> None:
    # Eight sentences each: 400 and 192 utterances.
    assert (len(VALIDATION), len(TEST)) == (50, 24)
    assert not VALIDATION & TEST
    assert sum(speaker[0] == "f" for speaker in TEST) == 8
    assert sum(speaker[0] == "m" for speaker in TEST) == 16


def test_a_sample_is_split_by_speaker_and_sex() -> None:
    women = [f"dr{index + 1}-f{letter}" for index, letter in enumerate("hgfedcba")]
    men = [f"dr{index + 1}-m{letter}" for index, letter in enumerate("abcdefgh")]
    found = split_sample(men + women[::-1])
    held_out = {speaker: split for speaker, split in found.items() if split != "train"}
    assert held_out == {
        "dr3-ff": "validation",
        "dr3-mc": "validation",
        "dr6-fc": "test",
        "dr6-mf": "test",
    }
    assert len(found) == 16
