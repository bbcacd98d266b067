"""Measures models outside of the study, perhaps changed ones: `serving.convert.quantization`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from common.errors import InputError
from tuner.tasks.heads import HEADS
from tuner.tasks.task import Corpus, Task, find_task, load_corpus


@dataclasses.dataclass(frozen=True)
class Measurement:
    """Data of a task, and its metric.

    Attributes:
        task: the task.
        corpus: its data.
    """

    task: Task
    corpus: Corpus

    @classmethod
    def of(cls, task: str, data: str) -> Measurement:
        """Loads the data of a task.

        Args:
            task: see `find_task`.
            data: see `Task.load`.

        Raises:
            InputError: if there is no such task, or the data cannot be used.
        """
        found = find_task(task)
        return cls(found, load_corpus(found, data))

    @property
    def dataset(self) -> Mapping[str, str]:
        """Identity of the data: `name` and `sha256`."""
        return {"name": self.corpus.dataset.name, "sha256": self.corpus.dataset.sha256}

    @property
    def examples(self) -> Sequence[np.ndarray]:
        """The training inputs, float32 `[time, features]` each."""
        return self.corpus.train.inputs

    @property
    def test(self) -> Sequence[np.ndarray]:
        """The test inputs, float32 `[time, features]` each."""
        return self.corpus.test.inputs

    def score(self, logits: Sequence[np.ndarray]) -> float:
        """Computes the metric on the test split, as trials do: a mean over the whole split.

        Args:
            logits: logits of each test sequence, `[time, outputs]`.

        Raises:
            InputError: if the model and the task have different numbers of outputs.
        """
        if logits[0].shape[-1] != self.task.outputs:
            raise InputError(
                f"--data: expected data of {logits[0].shape[-1]} outputs, as the model has. "
                f"Received: {self.task.outputs}, task {self.task.name}"
            )
        head, targets = HEADS[self.task.head], self.corpus.test.targets
        total = sum(head.score(t, a) for t, a in zip(targets, logits, strict=True))
        return total / sum(map(head.size, targets))
