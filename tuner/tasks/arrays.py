"""A task out of NumPy arrays in one file: `--task=arrays --data=mine.npz`, and no line of code."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from common import files
from common.errors import InputError, one_line, reason, unusable
from tuner.tasks.heads import HEADS
from tuner.tasks.sequences import Sequences, cut
from tuner.tasks.task import Corpus, DatasetInfo, Metric, Task

SPLITS = ("train", "validation", "test")

# More is a mistake: most likely something else than classes in the place of targets.
_MOST_OUTPUTS = 2**16

_METRICS = {
    "bernoulli": Metric("NLL", "nats per frame"),
    "softmax": Metric("frame error", "% of frames"),
    "ctc": Metric("label error rate", "% of labels"),
}


class ArraysTask(Task):
    """Learns whatever sequences are in a `.npz` file.

    Keys, for each split of `train`, `validation`, `test`, all sequences one behind the other:

    - `<split>_inputs`: numbers [frames, inputs];
    - `<split>_lengths`: integers [sequences], the frames of each;
    - `<split>_targets`: for head `bernoulli` zeros and ones [frames, outputs], for `softmax`
      integers [frames], for `ctc` integers [labels];
    - `<split>_target_lengths`: for `ctc` only, integers [sequences], the labels of each.

    And for the whole: `head`, a string; optional are `bidirectional`, a truth value (by default
    true unless the head is `bernoulli`, whose targets often are the next frame), `outputs` (by
    default as many as the targets need), `labels`, strings: what the outputs are called, and
    `name`, a string.

    Inputs are used as they are: bring them to about zero mean and unit variance.

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
        arrays = _read(path)
        self.head = _text(path, arrays, "head", default="")
        if self.head not in HEADS:
            raise unusable(
                path, f"head: expected one of {', '.join(HEADS)}. Received: {self.head!r}"
            )
        self.name = _text(path, arrays, "name", default=self.name)
        self.metric = _METRICS[self.head]
        self.bidirectional = bool(arrays.get("bidirectional", self.head != "bernoulli"))
        splits = {split: _split(path, arrays, split, self.head) for split in SPLITS}
        self.inputs = int(arrays["train_inputs"].shape[1])
        self.labels = tuple(str(label) for label in arrays.get("labels", ()))
        self.outputs = self._outputs(path, arrays)
        return Corpus(
            dataset=DatasetInfo(
                name=one_line(f"arrays of {path.name}"),
                sha256=_hash(arrays),
                detail=one_line(
                    " + ".join(f"{len(split):,}" for split in splits.values())
                    + " sequences of "
                    + " + ".join(f"{split.frames:,}" for split in splits.values())
                    + f" frames (train + validation + test); read from {path}"
                ),
            ),
            train=splits["train"],
            validation=splits["validation"],
            test=splits["test"],
        )

    def _outputs(self, path: Path, arrays: Mapping[str, np.ndarray]) -> int:
        """Counts the outputs, the blank of `ctc` included."""
        targets = [arrays[f"{split}_targets"] for split in SPLITS]
        if self.head == "bernoulli":
            needed = int(targets[0].shape[1])
        else:
            needed = 1 + max((int(array.max()) for array in targets if array.size), default=0)
            needed += self.head == "ctc"
        outputs = int(arrays.get("outputs", max(needed, len(self.labels) + (self.head == "ctc"))))
        if not needed <= outputs <= _MOST_OUTPUTS:
            raise unusable(
                path, f"outputs: expected {needed} to {_MOST_OUTPUTS:,}. Received: {outputs:,}"
            )
        named = outputs - (self.head == "ctc")
        if self.labels and len(self.labels) != named:
            raise unusable(
                path, f"labels: expected {named}, one an output. Received: {len(self.labels)}"
            )
        return outputs


def save(
    path: Path,
    head: str,
    splits: Mapping[str, Sequences],
    **optional: Any,
) -> None:
    """Writes sequences as `ArraysTask` reads them; `path` never holds half a file.

    Args:
        path: where to, a name that ends in `.npz`.
        head: name of the head.
        splits: sequences of `train`, `validation` and `test`.
        **optional: `bidirectional`, `outputs`, `labels`, `name`.

    Raises:
        OSError: if it cannot be written.
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

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)

    files.write_file(path, write)


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        # Pickles would run whatever code is in them.
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise unusable(path, "expected a .npz file, not a single array")
        with archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise unusable(path, f"expected a .npz file. Received: {reason(error)}") from error


def _text(path: Path, arrays: Mapping[str, np.ndarray], key: str, default: str) -> str:
    value = arrays.get(key, np.array(default))
    if value.dtype.kind != "U" or value.ndim:
        raise unusable(path, f"{key}: expected a string. Received: {_kind(value)}")
    return one_line(str(value))


def _split(path: Path, arrays: Mapping[str, np.ndarray], split: str, head: str) -> Sequences:
    """Cuts the arrays of a split into sequences."""
    inputs = _array(path, arrays, f"{split}_inputs", "fiu", 2)
    lengths = _lengths(path, arrays, f"{split}_lengths", len(inputs))
    features = arrays["train_inputs"].shape[1:]
    if inputs.shape[1:] != features:
        raise unusable(
            path,
            f"{split}_inputs: expected [frames, {features[0]}] as in train. "
            f"Received: {list(inputs.shape)}",
        )
    key = f"{split}_targets"
    if head == "bernoulli":
        targets = _array(path, arrays, key, "fiub", 2).astype(np.float32)
        target_lengths = lengths
    else:
        targets = _array(path, arrays, key, "iu", 1).astype(np.int32)
        target_lengths = lengths
        if head == "ctc":
            target_lengths = _lengths(path, arrays, f"{split}_target_lengths", len(targets))
    if head != "ctc" and len(targets) != len(inputs):
        raise unusable(
            path,
            f"{key}: expected one a frame, {len(inputs):,}. Received: {len(targets):,}",
        )
    if len(target_lengths) != len(lengths):
        raise unusable(
            path,
            f"{split}_target_lengths: expected {len(lengths):,}, one a sequence. "
            f"Received: {len(target_lengths):,}",
        )
    return Sequences(
        inputs=tuple(cut(np.ascontiguousarray(inputs, np.float32), lengths)),
        targets=tuple(cut(targets, target_lengths)),
    )


def _lengths(
    path: Path, arrays: Mapping[str, np.ndarray], key: str, total: int
) -> np.ndarray:
    lengths = _array(path, arrays, key, "iu", 1)
    if (lengths < 0).any() or int(lengths.sum()) != total:
        raise unusable(
            path,
            f"{key}: expected lengths that add up to {total:,}. "
            f"Received: {int(lengths.sum()):,}, the shortest {lengths.min(initial=total)}",
        )
    return lengths


def _array(
    path: Path, arrays: Mapping[str, np.ndarray], key: str, kinds: str, dimensions: int
) -> np.ndarray:
    if key not in arrays:
        raise unusable(path, f"expected an array {key!r}. Received: {', '.join(arrays) or 'none'}")
    array = arrays[key]
    if array.dtype.kind not in kinds or array.ndim != dimensions:
        sort = "numbers" if "f" in kinds else "integers"
        raise unusable(
            path,
            f"{key}: expected {sort} in {dimensions} dimension{'s' * (dimensions > 1)}. "
            f"Received: {_kind(array)}",
        )
    return array


def _kind(array: np.ndarray) -> str:
    return f"{array.dtype.name} {list(array.shape)}"


def _hash(arrays: Mapping[str, np.ndarray]) -> str:
    """Hashes names, types, shapes and contents, whatever the order in the file."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
