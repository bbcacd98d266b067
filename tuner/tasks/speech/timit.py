"""Finds the utterances of TIMIT, of NLTK's sample of it, and of speech that is laid out like it."""

from __future__ import annotations

import collections
import dataclasses
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from common.errors import one_line, reason, unusable
from tuner.tasks.speech import splits

SPLITS = ("train", "validation", "test")

EXPECTED = {"train": 3_696, "validation": 400, "test": 192}
"""Utterances of the paper's three splits of TIMIT."""
EXPECTED_SAMPLE = {"train": 96, "validation": 16, "test": 16}
"""Utterances of NLTK's sample, split by `splits.of_sample`."""

OWN_LISTS = {"validation": "dev_spk.list", "test": "test_spk.list"}
OWN_EDITION = "edition.txt"

_DIALECT = re.compile(r"dr[1-8]")
_SAMPLE_SPEAKER = re.compile(r"dr[1-8]-[fm][a-z]{3}\d")
# The two sentences SA1 and SA2, which everybody reads, are left out, as always.
_UTTERANCE = re.compile(r"s[ix]\d+")
_NO_AUDIO = ("phn", "txt", "wrd")
_UTTERANCES_A_SPEAKER = 8
# The root of a copy lies in the folder that people name or a few folders below.
_MOST_FOLDERS = 1_000


@dataclasses.dataclass(frozen=True)
class Recording:
    """The files of an utterance.

    Attributes:
        speaker: lower case, for example `fcjf0`.
        name: lower case, for example `si1027`.
        audio: its audio, copies of the same thing; the first that can be read counts.
        labels: its `.PHN` file.
    """

    speaker: str
    name: str
    audio: tuple[Path, ...]
    labels: tuple[Path, ...]


@dataclasses.dataclass(frozen=True)
class Tree:
    """What there is to read.

    Attributes:
        name: what the data may be called if it is complete.
        detail: what a reader of a result should know about it.
        splits: the recordings of train, validation and test, by speaker and name.
        expected: how many there should be; None if nobody can know.
    """

    name: str
    detail: str
    splits: Mapping[str, tuple[Recording, ...]]
    expected: Mapping[str, int] | None

    @property
    def missing(self) -> str:
        """Says what is missing or too much, in a few words; empty if the tree is complete."""
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
        """Names speakers of the lists that are not there, and those without all sentences."""
        per_speaker = collections.Counter(
            recording.speaker for recordings in self.splits.values() for recording in recordings
        )
        listed = splits.VALIDATION | splits.TEST if self.expected == EXPECTED else frozenset()
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

    Three layouts are known, in any mixture of upper and lower case, the root in the folder itself
    or in one below it (`TIMIT`, `data/TIMIT`):

    - TIMIT: `TRAIN/DR1/FCJF0/SI1027.WAV` and `.PHN`. Folder `TRAIN` is for training, of `TEST` 50
      speakers are for validation and 24 for the test (`splits`); its others are not used.
    - The same with the files `dev_spk.list` and `test_spk.list` in the root, one speaker a line:
      these speakers of `TEST` instead. A file `edition.txt` may name the data in its first line and
      describe it in its second.
    - NLTK's sample: `dr1-fvmh0/si836.wav` and `.phn`, split by `splits.of_sample`.

    Any file but `.PHN`, `.TXT` and `.WRD` is audio; an utterance with several, such as `SX1.WAV`
    and `SX1.WAV.wav`, counts once.

    Raises:
        InputError: if there is no such layout, or a split is empty; the line says what is missing.
    """
    root = _find_root(folder)
    try:
        folders = _folders(root)
        is_sample = any(_SAMPLE_SPEAKER.fullmatch(name) for name, _ in folders)
        tree = _sample(folders) if is_sample else _timit(root, folders)
    except OSError as error:
        problem = f"expected a readable folder. Received: {reason(error)}"
        raise unusable(error.filename or root, problem) from error
    empty = [split for split in SPLITS if not tree.splits[split]]
    if empty:
        received = tree.missing or f"none for {' and '.join(empty)}"
        raise unusable(root, f"expected utterances for {', '.join(SPLITS)}. Received: {received}")
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
                raise unusable(
                    folder, f"expected a readable folder. Received: {reason(error)}"
                ) from error
            continue
        if any(_SAMPLE_SPEAKER.fullmatch(name) for name, _ in folders):
            return candidate
        if any(name in ("train", "test") and _has_dialects(path) for name, path in folders):
            return candidate
        queue.extend(path for _, path in folders)
    raise unusable(
        folder,
        "expected the folders of TIMIT (TRAIN/DR1/FCJF0 ...) or of NLTK's sample (dr1-fvmh0 ...). "
        "Received: neither",
    )


def _folders(folder: Path) -> list[tuple[str, Path]]:
    """Names in lower case and paths of the folders in a folder."""
    with os.scandir(folder) as entries:
        return sorted((entry.name.lower(), Path(entry.path)) for entry in entries if entry.is_dir())


def _has_dialects(folder: Path) -> bool:
    try:
        return any(_DIALECT.fullmatch(name) for name, _ in _folders(folder))
    except OSError:
        return False


def _timit(root: Path, folders: list[tuple[str, Path]]) -> Tree:
    own = _own_lists(root)
    lists = own or {"validation": splits.VALIDATION, "test": splits.TEST}
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
    """Reads the lists of speakers in the root.

    Returns:
        None if there are none.

    Raises:
        InputError: if one is missing, cannot be read, or both have a speaker.
    """
    paths = {split: root / name for split, name in OWN_LISTS.items()}
    if not any(path.exists() for path in paths.values()):
        return None
    lists = {}
    for split, path in paths.items():
        try:
            lists[split] = frozenset(path.read_text("latin1").lower().split())
        except OSError as error:
            problem = f"expected a list of speakers. Received: {reason(error)}"
            raise unusable(path, problem) from error
    both = sorted(lists["validation"] & lists["test"])
    if both:
        names = " and ".join(OWN_LISTS.values())
        raise unusable(root, f"expected no speaker in both {names}. Received: {both[0]}")
    return lists


def _own_edition(root: Path) -> tuple[str, str]:
    """Name and detail of data with lists of its own."""
    try:
        lines = (root / OWN_EDITION).read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    name, detail, *_ = (*map(one_line, lines), "", "")
    resolved = root.resolve()
    return name or one_line(f"speech of {resolved.name or resolved}"), detail or "its own splits"


def _sample(folders: list[tuple[str, Path]]) -> Tree:
    paths = [(name, path) for name, path in folders if _SAMPLE_SPEAKER.fullmatch(name)]
    split_of = splits.of_sample({name for name, _ in paths})
    found: dict[str, list[Recording]] = {split: [] for split in SPLITS}
    for name, path in paths:
        found[split_of[name]] += _recordings(name.rpartition("-")[2], path)
    detail = "16 speakers of TIMIT, a woman and a man of each dialect, split by speaker"
    return Tree("TIMIT, NLTK sample", detail, _merged(found), EXPECTED_SAMPLE)


def _recordings(speaker: str, folder: Path) -> Iterator[Recording]:
    """The utterances in the folder of a speaker."""
    files: dict[str, list[tuple[str, Path]]] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            name, _, suffix = entry.name.lower().partition(".")
            if _UTTERANCE.fullmatch(name):
                files.setdefault(name, []).append((suffix, Path(entry.path)))
    for name, found in sorted(files.items()):
        # The shortest name is the original, others such as SX1.WAV.wav were made of it.
        found.sort(key=lambda file: (len(file[0]), file))
        yield Recording(
            speaker,
            name,
            audio=tuple(path for suffix, path in found if suffix not in _NO_AUDIO),
            labels=tuple(path for suffix, path in found if suffix == "phn"),
        )


def _merged(found: Mapping[str, list[Recording]]) -> dict[str, tuple[Recording, ...]]:
    """Sorts the recordings, and makes one of two that are the same utterance."""
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
