"""Finds the utterances of TIMIT, of NLTK's sample of it, and of speech with the same layout.

Source of the validation and test speakers: Kaldi, egs/timit/s5/conf, dev_spk.list and
test_spk.list. The test speakers are TIMIT's own core test set.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from common.errors import DataError, one_line, reason
from tuner.tasks.files import text_of

SPLITS = ("train", "validation", "test")

EXPECTED = {"train": 3_696, "validation": 400, "test": 192}
"""Numbers of utterances in the paper's three splits of TIMIT."""
EXPECTED_SAMPLE = {"train": 96, "validation": 16, "test": 16}
"""Numbers of utterances in NLTK's sample, as split by `split_sample`."""

OWN_LISTS = {"validation": "dev_spk.list", "test": "test_spk.list"}
OWN_EDITION = "edition.txt"

VALIDATION = frozenset(
    """
    faks0 fdac1 fjem0 mgwt0 mjar0 mmdb1 mmdm2 mpdf0 fcmh0 fkms0 mbdg0 mbwm0 mcsh0 fadg0 fdms0 fedw0
    mgjf0 mglb0 mrtk0 mtaa0 mtdt0 mthc0 mwjg0 fnmr0 frew0 fsem0 mbns0 mmjr0 mdls0 mdlf0 mdvc0 mers0
    fmah0 fdrw0 mrcs0 mrjm4 fcal1 mmwh0 fjsj0 majc0 mjsw0 mreb0 fgjd0 fjmg0 mroa0 mteb0 mjfc0 mrjr0
    fmml0 mrws1
    """.split()
)
"""The 50 speakers in TIMIT's folder TEST that select the epoch and the hyperparameters."""

TEST = frozenset(
    """
    mdab0 mwbt0 felc0 mtas1 mwew0 fpas0 mjmp0 mlnt0 fpkt0 mlll0 mtls0 fjlm0
    mbpm0 mklt0 fnlp0 mcmj0 mjdh0 fmgd0 mgrt0 mnjm0 fdhc0 mjln0 mpam0 fmld0
    """.split()
)
"""The 24 speakers of the core test set."""

# How `split_sample` counts speakers.
_EVERY, _VALIDATION_PLACE, _TEST_PLACE = 8, 2, 5

_DIALECT = re.compile(r"dr[1-8]")
_SAMPLE_SPEAKER = re.compile(r"dr[1-8]-[fm][a-z]{3}\d")
# The two sentences SA1 and SA2, which everybody reads, are left out, as usual.
_UTTERANCE = re.compile(r"s[ix]\d+")
_NO_AUDIO = ("phn", "txt", "wrd")
_UTTERANCES_A_SPEAKER = 8
# Folders to search: the root of a copy may be a few levels below the folder that was given.
_MOST_FOLDERS = 1_000


@dataclasses.dataclass(frozen=True)
class Recording:
    """The files of an utterance.

    Attributes:
        speaker: in lower case, for example `fcjf0`.
        name: in lower case, for example `si1027`.
        audio: audio files, copies of the same thing; the first readable one is used.
        labels: `.PHN` files, of which the first one is used.
    """

    speaker: str
    name: str
    audio: tuple[Path, ...]
    labels: tuple[Path, ...]


@dataclasses.dataclass(frozen=True)
class Tree:
    """The recordings of a corpus.

    Attributes:
        name: name of the data if they are complete.
        detail: what a reader of a result should know about the data.
        splits: recordings of train, validation and test, sorted by speaker and name.
        expected: number of recordings that each split should have; None if that is unknown.
    """

    name: str
    detail: str
    splits: Mapping[str, tuple[Recording, ...]]
    expected: Mapping[str, int] | None

    @property
    def missing(self) -> str:
        """What is missing or superfluous, in a few words; empty if the tree is complete."""
        counts = {split: len(recordings) for split, recordings in self.splits.items()}
        if self.expected is None or counts == self.expected:
            return ""
        shortages = [
            f"{split} {counts[split]:,} of {count:,}"
            for split, count in self.expected.items()
            if counts[split] != count
        ]
        return f"{', '.join(shortages)} utterances{self._speakers()}"

    def _speakers(self) -> str:
        """Names listed speakers that are missing, and speakers without all their sentences."""
        per_speaker = collections.Counter(
            recording.speaker for recordings in self.splits.values() for recording in recordings
        )
        listed = VALIDATION | TEST if self.expected == EXPECTED else frozenset()
        names = [f"no {speaker}" for speaker in sorted(listed - set(per_speaker))]
        names += [
            f"{count} of {speaker}"
            for speaker, count in sorted(per_speaker.items())
            if count != _UTTERANCES_A_SPEAKER
        ]
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        return f" ({', '.join(names[:5])}{more})" if names else ""


def find(folder: Path) -> Tree:
    """Finds the utterances in a folder.

    Three layouts are supported, in any mixture of upper and lower case, with the root in the folder
    itself or in one below it (`TIMIT`, `data/TIMIT`):

    - TIMIT: `TRAIN/DR1/FCJF0/SI1027.WAV` and `.PHN`. Folder `TRAIN` is for training; in `TEST`, the
      50 speakers in `VALIDATION` are for validation and the 24 in `TEST` for testing.
    - The same with the files `dev_spk.list` and `test_spk.list` in the root, one speaker per line,
      which replace these speakers of `TEST`. A file `edition.txt` may name the data in its first
      line and describe them in its second.
    - NLTK's sample: `dr1-fvmh0/si836.wav` and `.phn`, split by `split_sample`.

    All files except `.PHN`, `.TXT` and `.WRD` are audio; an utterance with several, such as
    `SX1.WAV` and `SX1.WAV.wav`, counts once.

    Raises:
        InputError: if no layout is found, or a split is empty; the message says what is missing.
    """
    root = _find_root(folder)
    try:
        folders = _folders(root)
        is_sample = any(_SAMPLE_SPEAKER.fullmatch(name) for name, _ in folders)
        tree = _sample(folders) if is_sample else _timit(root, folders)
    except OSError as error:
        problem = f"expected a readable folder. Received: {reason(error)}"
        raise DataError(error.filename or root, problem) from error
    empty = [split for split in SPLITS if not tree.splits[split]]
    if empty:
        received = tree.missing or f"none for {' and '.join(empty)}"
        raise DataError(root, f"expected utterances for {', '.join(SPLITS)}. Received: {received}")
    return tree


def _find_root(folder: Path) -> Path:
    queue = collections.deque([folder])
    for _ in range(_MOST_FOLDERS):
        if not queue:
            break
        candidate = queue.popleft()
        try:
            folders = _folders(candidate)
        except OSError as error:
            if candidate == folder:
                raise DataError(
                    folder, f"expected a readable folder. Received: {reason(error)}"
                ) from error
            continue
        if any(_SAMPLE_SPEAKER.fullmatch(name) for name, _ in folders):
            return candidate
        if any(name in ("train", "test") and _has_dialects(path) for name, path in folders):
            return candidate
        queue.extend(path for _, path in folders)
    raise DataError(
        folder,
        "expected the folders of TIMIT (TRAIN/DR1/FCJF0 ...) or of NLTK's sample (dr1-fvmh0 ...). "
        "Received: neither",
    )


def _folders(folder: Path) -> list[tuple[str, Path]]:
    """Returns the lowercase names and the paths of the folders in a folder."""
    with os.scandir(folder) as entries:
        return sorted((entry.name.lower(), Path(entry.path)) for entry in entries if entry.is_dir())


def _has_dialects(folder: Path) -> bool:
    try:
        return any(_DIALECT.fullmatch(name) for name, _ in _folders(folder))
    except OSError:
        return False


def _timit(root: Path, folders: list[tuple[str, Path]]) -> Tree:
    own = _own_lists(root)
    lists = own or {"validation": VALIDATION, "test": TEST}
    found: dict[str, list[Recording]] = {split: [] for split in SPLITS}
    for part, part_folder in folders:
        if part not in ("train", "test"):
            continue
        for speaker, path in _speakers(part_folder):
            if part == "train":
                found["train"] += _recordings(speaker, path)
                continue
            for split, speakers in lists.items():
                if speaker in speakers:
                    found[split] += _recordings(speaker, path)
    name, detail, expected = "TIMIT (LDC93S1)", "the splits of the paper", EXPECTED
    if own:
        name, detail = _own_edition(root)
    return Tree(name, detail, _merged(found), None if own else expected)


def _speakers(part: Path) -> Iterator[tuple[str, Path]]:
    for dialect, dialect_folder in _folders(part):
        if _DIALECT.fullmatch(dialect):
            yield from _folders(dialect_folder)


def _own_lists(root: Path) -> dict[str, frozenset[str]] | None:
    """Reads the lists of speakers in the root; returns None if there are none."""
    paths = {split: root / name for split, name in OWN_LISTS.items()}
    if not any(path.exists() for path in paths.values()):
        return None
    lists = {}
    for split, path in paths.items():
        try:
            lists[split] = frozenset(text_of(path.read_bytes()).lower().split())
        except OSError as error:
            problem = f"expected a list of speakers. Received: {reason(error)}"
            raise DataError(path, problem) from error
    both = sorted(lists["validation"] & lists["test"])
    if both:
        names = " and ".join(OWN_LISTS.values())
        raise DataError(root, f"expected no speaker in both {names}. Received: {both[0]}")
    return lists


def _own_edition(root: Path) -> tuple[str, str]:
    """Returns the name and detail of data with their own lists."""
    try:
        lines = text_of((root / OWN_EDITION).read_bytes(), "utf-8").splitlines()
    except OSError:
        lines = []
    name, detail, *_ = (*map(one_line, lines), "", "")
    resolved = root.resolve()
    return name or one_line(f"speech of {resolved.name or resolved}"), detail or "its own splits"


def _sample(folders: list[tuple[str, Path]]) -> Tree:
    paths = [(name, path) for name, path in folders if _SAMPLE_SPEAKER.fullmatch(name)]
    split_of = split_sample({name for name, _ in paths})
    found: dict[str, list[Recording]] = {split: [] for split in SPLITS}
    for name, path in paths:
        found[split_of[name]] += _recordings(name.rpartition("-")[2], path)
    detail = "16 speakers of TIMIT, a woman and a man of each dialect, split by speaker"
    return Tree("TIMIT, NLTK sample", detail, _merged(found), EXPECTED_SAMPLE)


def split_sample(speakers: Iterable[str]) -> dict[str, str]:
    """Splits the speakers (folder names such as `dr1-fvmh0`) of a sample without splits.

    The women and the men, each in the order of their folders' names, are counted in rounds of
    eight: the third of a round is for validation, the sixth for testing, all others for training.

    Example:
        >>> split_sample(f"dr1-fab{letter}0" for letter in "cdefgh")["dr1-fabe0"]
        'validation'
    """
    splits = {}
    counts = {"f": 0, "m": 0}
    for speaker in sorted(speakers):
        sex = speaker.rpartition("-")[2][0]
        place = counts[sex] % _EVERY
        counts[sex] += 1
        splits[speaker] = {_VALIDATION_PLACE: "validation", _TEST_PLACE: "test"}.get(place, "train")
    return splits


def _recordings(speaker: str, folder: Path) -> Iterator[Recording]:
    files: dict[str, list[tuple[str, Path]]] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            name, _, suffix = entry.name.lower().partition(".")
            if _UTTERANCE.fullmatch(name):
                files.setdefault(name, []).append((suffix, Path(entry.path)))
    for name, found in sorted(files.items()):
        # The shortest name is the original; others such as SX1.WAV.wav were made from it.
        found.sort(key=lambda file: (len(file[0]), file))
        yield Recording(
            speaker,
            name,
            audio=tuple(path for suffix, path in found if suffix not in _NO_AUDIO),
            labels=tuple(path for suffix, path in found if suffix == "phn"),
        )


def _merged(found: Mapping[str, list[Recording]]) -> dict[str, tuple[Recording, ...]]:
    """Sorts the recordings, and merges those of the same utterance."""
    merged = {}
    for split, recordings in found.items():
        unique: dict[tuple[str, str], Recording] = {}
        for recording in recordings:
            key = recording.speaker, recording.name
            other = unique.get(key, recording)
            if other is not recording:
                recording = dataclasses.replace(
                    other,
                    audio=other.audio + recording.audio,
                    labels=other.labels + recording.labels,
                )
            unique[key] = recording
        merged[split] = tuple(unique[key] for key in sorted(unique))
    return merged
