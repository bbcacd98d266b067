"""The example learns: its error falls below that of always guessing the commonest character."""

from __future__ import annotations

import numpy as np
import pytest

from common.errors import InputError
from tuner.tasks.examples.python_help import ALPHABET, PythonHelp, as_sequences, paragraphs
from tuner.tasks.task import load_corpus
from tuner.training.native.engine import Trainer
from tuner.training.protocol import Problem, Protocol, Trial


def test_targets_are_the_next_characters() -> None:
    split = as_sequences(["Hello, x!"])
    assert "".join(ALPHABET[i] for i in split.inputs[0].argmax(axis=1)) == "Hello, x"
    assert "".join(ALPHABET[i] for i in split.targets[0]) == "ello, x!"


def test_paragraphs_are_running_text() -> None:
    long, other = "word " * 30, "naïve " * 30
    assert paragraphs(f"Heading\n\n{long}\n\n{other}\n\n{'x' * 601}") == [long.strip()]


def test_one_epoch_beats_the_commonest_character() -> None:
    task = PythonHelp()
    corpus = load_corpus(task, "auto")
    trial = Trial(0, "V", {"units": 40, "learning_rate": 0.01, "momentum": 0.5}, seed=1)
    (outcome,) = Trainer(Problem(task, corpus, Protocol(max_epochs=1))).train([trial])
    common = np.bincount(np.concatenate(corpus.train.targets)).argmax()
    guess = 100 * float(np.mean(np.concatenate(corpus.test.targets) != common))
    assert outcome.result.test.mean < 0.9 * guess


def test_there_is_no_other_data() -> None:
    with pytest.raises(InputError, match="Received: 'other'"):
        PythonHelp().load("other")
