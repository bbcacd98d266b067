"""A task so small that whole studies fit into a test."""

from __future__ import annotations

import numpy as np

from tuner.tasks.sequences import Sequences
from tuner.tasks.task import Corpus, Edition, Metric, Task


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


class TinyTask(Task):
    """Five pitches, eight training sequences; `data` names the edition."""

    name = "tiny"
    inputs = outputs = 5
    head = "bernoulli"
    bidirectional = False
    metric = Metric("NLL", "nats per frame")

    def load(self, data: str) -> Corpus:
        return Corpus(
            edition=Edition("tiny music", f"{data:0<64}", f"data {data}"),
            train=_split(1, (4, 9, 6, 3, 7, 5, 8, 6)),
            validation=_split(2, (5, 8, 6)),
            test=_split(3, (7, 4)),
        )
