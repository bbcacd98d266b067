"""An example of a custom task: predicting the next character of Python's help texts.

    python -m tuner.run --task=tuner.tasks.examples.python_help:PythonHelp --preset=quick

trains on it and writes a report; see docs/your_own_task.md.
"""

from __future__ import annotations

import hashlib
import string
import sys

import numpy as np

from common.errors import InputError
from tuner.tasks.sequences import Sequences
from tuner.tasks.task import Corpus, DatasetInfo, Metric, Task

ALPHABET = "\n " + string.ascii_letters + string.digits + string.punctuation

# Lengths of paragraphs: most shorter ones are headings, most longer ones are tables.
_SHORTEST, _LONGEST = 100, 600


class PythonHelp(Task):
    """Predicts each character of a paragraph of `help()` from those before it.

    A frame is one character, one-hot over `len(ALPHABET)` entries; the target is the next one.
    """

    name = "python_help"
    inputs = len(ALPHABET)
    outputs = len(ALPHABET)
    head = "softmax"
    bidirectional = False
    metric = Metric("next-character error", "% of characters")
    labels = tuple(ALPHABET)

    def load(self, data: str) -> Corpus:
        """Loads the texts of the module `pydoc_data.topics`.

        Args:
            data: must be `auto`.
        """
        if data != "auto":
            raise InputError(f"--data: expected auto, the only data there is. Received: {data!r}")
        from pydoc_data.topics import topics

        splits: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
        for topic, text in sorted(topics.items()):
            # By topic, so that a test paragraph has no neighbor in training.
            share = int(hashlib.sha256(topic.encode()).hexdigest(), 16) % 10
            split = {0: "validation", 1: "test"}.get(share, "train")
            splits[split] += paragraphs(text)
        everything = "\0".join(text for texts in splits.values() for text in texts)
        version = ".".join(map(str, sys.version_info[:3]))
        return Corpus(
            dataset=DatasetInfo(
                name=f"help texts of Python {version}",
                sha256=hashlib.sha256(everything.encode()).hexdigest(),
                detail=f"{len(everything):,} characters of pydoc_data.topics, split by topic",
            ),
            train=as_sequences(splits["train"]),
            validation=as_sequences(splits["validation"]),
            test=as_sequences(splits["test"]),
        )


def paragraphs(text: str) -> list[str]:
    """Splits a text at its empty lines, and keeps paragraphs of suitable length in plain ASCII."""
    candidates = (part.strip() for part in text.split("\n\n"))
    return [
        part
        for part in candidates
        if _SHORTEST <= len(part) <= _LONGEST and set(part) <= set(ALPHABET)
    ]


def as_sequences(texts: list[str]) -> Sequences:
    """Makes inputs, float32 [characters - 1, len(ALPHABET)], and targets, int32."""
    one_hot = np.eye(len(ALPHABET), dtype=np.float32)
    codes = [np.array([ALPHABET.index(character) for character in text]) for text in texts]
    return Sequences(
        inputs=tuple(one_hot[code[:-1]] for code in codes),
        targets=tuple(code[1:].astype(np.int32) for code in codes),
    )
