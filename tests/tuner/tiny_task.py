"""Tasks so small that whole studies fit into a test, one for each head."""

from __future__ import annotations

import numpy as np

from tuner.tasks.sequences import Sequences
from tuner.tasks.task import Corpus, DatasetInfo, Metric, Task


def _split(seed: int, lengths: tuple[int, ...]) -> Sequences:
    """Two voices that move over five pitches, and a bit of chance."""
    generator = np.random.default_rng(seed)
    inputs, targets = [], []
    for length in lengths:
        time_steps = np.arange(length + 1)
        roll = np.zeros((length + 1, 5), np.float32)
        roll[time_steps, (time_steps + generator.integers(5)) % 5] = 1
        roll[time_steps, generator.integers(5, size=length + 1)] = 1
        inputs.append(roll[:-1])
        targets.append(roll[1:])
    return Sequences(tuple(inputs), tuple(targets))


def turned(task: type[Task], bidirectional: bool) -> Task:
    """A task with a network of one or two directions."""
    return type(task.__name__, (task,), {"bidirectional": bidirectional})()


class TinyTask(Task):
    """Five pitches, eight training sequences; `data` names the edition."""

    name = "tiny"
    inputs = outputs = 5
    head = "bernoulli"
    bidirectional = False
    metric = Metric("NLL", "nats per frame")

    def load(self, data: str) -> Corpus:
        return Corpus(
            dataset=DatasetInfo("tiny music", f"{data:0<64}", f"data {data}"),
            train=_split(1, (4, 9, 6, 3, 7, 5, 8, 6)),
            validation=_split(2, (5, 8, 6)),
            test=_split(3, (7, 4)),
        )


def _speech(seed: int, lengths: tuple[int, ...]) -> Sequences:
    """Four classes; a frame shows its own class and, more clearly, that of the next frame."""
    generator = np.random.default_rng(seed)
    inputs, targets = [], []
    for length in lengths:
        classes = np.sort(generator.integers(4, size=length))
        shown = np.eye(4, 3)[classes] + 2 * np.eye(4, 3)[np.append(classes[1:], 0)]
        inputs.append((shown + 0.3 * generator.normal(size=(length, 3))).astype(np.float32))
        targets.append(classes.astype(np.int32))
    return Sequences(tuple(inputs), tuple(targets))


class TinySpeech(Task):
    """Every frame has one of four classes, the first two of which are much alike."""

    name = "tiny speech"
    inputs = 3
    outputs = 4
    head = "softmax"
    bidirectional = True
    metric = Metric("frame error", "%")
    labels = ("a", "e", "s", "q")
    groups = (0, 0, 1, -1)

    def load(self, data: str) -> Corpus:
        return Corpus(
            dataset=DatasetInfo("tiny speech", f"{data:0<64}", f"data {data}"),
            train=_speech(4, (5, 8, 3, 6, 7, 4)),
            validation=_speech(5, (4, 7, 6)),
            test=_speech(6, (8, 5)),
        )


def _handwriting(seed: int, counts: tuple[int, ...]) -> Sequences:
    """Three characters; each shows for one to three frames and is followed by a pause."""
    generator = np.random.default_rng(seed)
    inputs, targets = [], []
    for count in counts:
        labels = generator.integers(3, size=count)
        shown: list[np.ndarray] = []
        for label in labels:
            shown += [3 * np.eye(3, 5)[label]] * generator.integers(1, 4)
            shown.append(3 * np.eye(5)[3])
        frames = np.array(shown) + 0.2 * generator.normal(size=(len(shown), 5))
        inputs.append(frames.astype(np.float32))
        targets.append(labels.astype(np.int32))
    return Sequences(tuple(inputs), tuple(targets))


class TinyHandwriting(Task):
    """Lines of three characters, to be transcribed; the fourth output is the blank."""

    name = "tiny handwriting"
    inputs = 5
    outputs = 4
    head = "ctc"
    bidirectional = True
    metric = Metric("CER", "%")
    labels = ("x", "y", "é")

    def load(self, data: str) -> Corpus:
        return Corpus(
            dataset=DatasetInfo("tiny handwriting", f"{data:0<64}", f"data {data}"),
            train=_handwriting(7, (2, 4, 1, 3, 5)),
            validation=_handwriting(8, (3, 2, 4)),
            test=_handwriting(9, (2, 3)),
        )
