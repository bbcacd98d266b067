"""A task made of NumPy arrays in one file: `--task=arrays --data=mine.npz`, without any code."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from common import machine
from common.errors import DataError, InputError, one_line
from common.files import is_name
from tuner.tasks import files, ragged_npz
from tuner.tasks.heads import HEADS
from tuner.tasks.ragged_npz import RaggedNpz
from tuner.tasks.sequences import Sequences, cut
from tuner.tasks.task import Corpus, DatasetInfo, Metric, Task

SPLITS = ("train", "validation", "test")
"""Splits for which every file has sequences."""

# More is a mistake: most likely the targets are not classes.
_MOST_OUTPUTS = 2**16

LARGEST = 2**33
"""Largest file, packed or unpacked, in bytes; half of the machine's memory if that is less."""

_METRICS = {
    "bernoulli": Metric("NLL", "nats per frame"),
    "softmax": Metric("frame error", "% of frames"),
    "ctc": Metric("label error rate", "% of labels"),
}


class ArraysTask(Task):
    """Learns the sequences in a `.npz` file.

    Keys, for each of the splits `train`, `validation`, `test`, with all its sequences concatenated:

    - `<split>_inputs`: numbers [frames, inputs];
    - `<split>_lengths`: integers [sequences], the number of frames in each;
    - `<split>_targets`: for head `bernoulli` zeros and ones [frames, outputs], for `softmax`
      integers [frames], for `ctc` integers [labels];
    - `<split>_target_lengths`: for `ctc` only, integers [sequences], the number of labels in each.

    And for the whole file: `head`, a string; optional are `bidirectional`, a Boolean (by default
    true unless the head is `bernoulli`, whose targets are often the next frame), `outputs` (by
    default as many as the targets need), `labels`, strings that name the outputs, and `name`, a
    string.

    The name is also used for folders. Inputs are used as they are: scale them to about zero mean
    and unit variance.

    Example:
        >>> import tempfile
        >>> roll = np.eye(3, dtype=np.float32)
        >>> split = Sequences(inputs=(roll,), targets=(np.array([0, 1, 1], np.int32),))
        >>> path = Path(tempfile.mkdtemp()) / "mine.npz"
        >>> save(path, "softmax", {"train": split, "validation": split, "test": split})
        >>> task = ArraysTask()
        >>> task.load(str(path)).train.frames, task.inputs, task.outputs, task.bidirectional
        (3, 3, 2, True)
    """

    name = "arrays"

    def load(self, data: str) -> Corpus:
        """Loads a file, and sets the attributes that depend on it.

        Args:
            data: path of a `.npz` file.

        Raises:
            InputError: if it cannot be used; one line names the file and the key.
        """
        if data == "auto":
            raise InputError(
                "--data: expected the .npz file that --task=arrays shall learn. Received: 'auto'"
            )
        path = Path(os.path.expanduser(data))
        content = files.read_content(path, "arrays", _largest())
        return files.parse(str(path), content, "an .npz", self._load)

    def _load(self, source: str, content: bytes) -> Corpus:
        archive = ragged_npz.read(source, content, _largest())
        # Reads all of them, since all of them are part of the hash.
        archive = RaggedNpz(source, dict(archive.arrays))
        self.head = str(_value(archive, "head", "U", "a string", ""))
        if self.head not in HEADS:
            raise DataError(
                source, f"head: expected one of {', '.join(HEADS)}. Received: {self.head!r:.40}"
            )
        self.metric = _METRICS[self.head]
        self.name = str(_value(archive, "name", "U", "a string", self.name))
        if not is_name(self.name):
            raise DataError(
                source,
                f"name: expected one that a folder can have. Received: {self.name!r:.40}",
            )
        bidirectional = _value(
            archive, "bidirectional", "biu", "true or false", self.head != "bernoulli"
        )
        if bidirectional not in (False, True):
            raise DataError(
                source, f"bidirectional: expected true or false. Received: {bidirectional}"
            )
        self.bidirectional = bool(bidirectional)
        self.labels = _labels(archive)
        splits = {split: _split(archive, split, self.head) for split in SPLITS}
        self.inputs = int(archive.arrays["train_inputs"].shape[1])
        self.outputs = self._outputs(archive)
        return Corpus(
            dataset=DatasetInfo(
                name=one_line(f"arrays of {Path(source).name}"),
                sha256=_hash(archive.arrays),
                detail=one_line(
                    " + ".join(f"{len(split):,}" for split in splits.values())
                    + " sequences of "
                    + " + ".join(f"{split.frames:,}" for split in splits.values())
                    + f" frames (train + validation + test); read from {source}"
                ),
            ),
            train=splits["train"],
            validation=splits["validation"],
            test=splits["test"],
        )

    def _outputs(self, archive: RaggedNpz) -> int:
        """Counts the outputs, including the blank of `ctc`."""
        blank = self.head == "ctc"
        targets = [archive.arrays[f"{split}_targets"] for split in SPLITS]
        if self.head == "bernoulli":
            needed = int(targets[0].shape[1])
        else:
            largest = max((int(array.max()) for array in targets if array.size), default=0)
            needed = 1 + largest + blank
        default = max(needed, len(self.labels) + blank)
        outputs = int(_value(archive, "outputs", "iu", "an integer", default))
        if not needed <= outputs <= _MOST_OUTPUTS:
            raise DataError(
                archive.source,
                f"outputs: expected {needed} to {_MOST_OUTPUTS:,}. Received: {outputs:,}",
            )
        named = outputs - blank
        if self.labels and len(self.labels) != named:
            raise DataError(
                archive.source,
                f"labels: expected {named}, one an output. Received: {len(self.labels)}",
            )
        return outputs


def save(
    path: Path,
    head: str,
    splits: Mapping[str, Sequences],
    **optional: Any,
) -> None:
    """Writes sequences in the format that `ArraysTask` reads; `path` never holds half a file.

    Args:
        path: file to write, whose name ends in `.npz`.
        head: name of the head.
        splits: sequences of `train`, `validation` and `test`.
        **optional: `bidirectional`, `outputs`, `labels`, `name`.

    Raises:
        OSError: if the file cannot be written.
    """
    arrays: dict[str, Any] = {"head": np.array(head)}
    arrays |= {name: np.array(value) for name, value in optional.items()}
    for name in SPLITS:
        split = splits[name]
        arrays[f"{name}_inputs"] = np.concatenate(split.inputs)
        arrays[f"{name}_lengths"] = split.lengths
        arrays[f"{name}_targets"] = np.concatenate(split.targets)
        if head == "ctc":
            arrays[f"{name}_target_lengths"] = np.array([len(target) for target in split.targets])
    ragged_npz.write(path, arrays)


def _largest() -> int:
    """Returns the largest size that a file may have, packed or unpacked, in bytes."""
    return min(LARGEST, machine.memory() // 2 or LARGEST)


def _labels(archive: RaggedNpz) -> tuple[str, ...]:
    if "labels" not in archive.arrays:
        return ()
    labels = archive.array("labels", "Uiu", "strings [labels]")
    if len(labels) > _MOST_OUTPUTS:
        raise DataError(
            archive.source,
            f"labels: expected at most {_MOST_OUTPUTS:,}. Received: {len(labels):,}",
        )
    return tuple(map(str, labels.tolist()))


def _value(archive: RaggedNpz, name: str, kinds: str, expected: str, default: Any) -> Any:
    return archive.array(name, kinds, expected).item() if name in archive.arrays else default


def _split(archive: RaggedNpz, split: str, head: str) -> Sequences:
    """Cuts the arrays of a split into sequences."""
    name, lengths = f"{split}_targets", f"{split}_lengths"
    inputs = archive.sequences(f"{split}_inputs", "fiu", "numbers [frames, inputs]", lengths)
    shape = archive.arrays[f"{split}_inputs"].shape
    features = archive.arrays["train_inputs"].shape[1]
    if shape[1] != features:
        raise DataError(
            archive.source,
            f"{split}_inputs: expected [frames, {features}] as in train. Received: {list(shape)}",
        )
    if head == "bernoulli":
        targets = archive.array(name, "fiub", "numbers [frames, outputs]")
        # Checked before conversion to 32 bits, which could turn close values into zeros and ones.
        wrong = np.argwhere((targets != 0) & (targets != 1))
        if len(wrong):
            frame, output = wrong[0].tolist()
            raise DataError(
                archive.source,
                f"{name}: expected 0 or 1. Received: {targets[frame, output]:.6g} as output "
                f"{output} of frame {frame:,}",
            )
    else:
        targets = archive.array(name, "iu", "integers [targets]")
        # Checked before conversion to 32 bits, which could turn invalid values into classes.
        if targets.size and not 0 <= int(targets.min()) <= int(targets.max()) < _MOST_OUTPUTS:
            raise DataError(
                archive.source,
                f"{name}: expected 0 to {_MOST_OUTPUTS - 1:,}. "
                f"Received: {int(targets.min()):,} to {int(targets.max()):,}",
            )
    if head == "ctc":
        labels = archive.sequences(name, "iu", "integers [labels]", f"{split}_target_lengths")
        if len(labels) != len(inputs):
            raise DataError(
                archive.source,
                f"{split}_target_lengths: expected {len(inputs):,}, one a sequence. "
                f"Received: {len(labels):,}",
            )
    elif len(targets) != shape[0]:
        raise DataError(
            archive.source,
            f"{name}: expected one a frame, {shape[0]:,}. Received: {len(targets):,}",
        )
    else:
        labels = cut(targets, map(len, inputs))
    dtype = np.float32 if head == "bernoulli" else np.int32
    return Sequences(
        inputs=tuple(np.ascontiguousarray(one, np.float32) for one in inputs),
        targets=tuple(one.astype(dtype) for one in labels),
    )


def _hash(arrays: Mapping[str, np.ndarray]) -> str:
    """Hashes names, types, shapes and contents of arrays, whatever their order in the file."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
