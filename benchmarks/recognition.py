"""What the recognition tasks come to: a trial of the vanilla LSTM each, and a linear baseline.

    python -m benchmarks.recognition

The vanilla LSTM, 100 units, trained by the paper's rules on the free data of `--data=auto`; test
scores are of speakers and writers that training has not heard or seen. The baseline of speech is a
linear discriminant analysis of single frames.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags

from benchmarks import table
from common import command_line

if TYPE_CHECKING:
    from tuner.tasks.task import Corpus, Task

_TASKS = flags.DEFINE_list("tasks", ["speech", "handwriting"], "Tasks to train.")
_EPOCHS = flags.DEFINE_integer("epochs", 30, "Most epochs.", lower_bound=1)
_UNITS = flags.DEFINE_integer("units", 100, "LSTM blocks.", lower_bound=1)

# Learning rate, momentum and noise, chosen by validation from a handful of settings.
_HYPERPARAMETERS = {"speech": (1e-3, 0.9, 0.6), "handwriting": (3e-3, 0.9, 0.0)}

Row = dict[str, Any]


def _row(task: Task, corpus: Corpus, model: str) -> Row:
    return {
        "task": task.name,
        "data": corpus.dataset.name,
        "model": model,
        "metric": f"{task.metric.name}, {task.metric.unit}",
    }


def _trial(task: Task, corpus: Corpus) -> Row:
    """Trains the LSTM with the native engine."""
    from tuner.training.native.engine import Trainer
    from tuner.training.protocol import Problem, Protocol, Trial

    learning_rate, momentum, noise_std = _HYPERPARAMETERS[task.name]
    values = {
        "units": _UNITS.value,
        "learning_rate": learning_rate,
        "momentum": momentum,
        "noise_std": noise_std,
    }
    trainer = Trainer(Problem(task, corpus, Protocol(max_epochs=_EPOCHS.value)))
    (outcome,) = trainer.train([Trial(0, "V", values, seed=1)])
    result = outcome.result
    grouped = result.test_grouped
    return {
        **_row(task, corpus, f"V, {_UNITS.value} units"),
        "learning_rate": learning_rate,
        "momentum": momentum,
        "noise_std": noise_std,
        "epochs": result.curve[-1].epoch,
        "best_epoch": result.best_epoch,
        "validation": round(result.validation.mean, 2),
        "test": round(result.test.mean, 2),
        "test_per_sequence": round(result.test.sequence_mean, 2),
        "test_grouped": "" if grouped is None else round(grouped, 2),
        "seconds": round(result.seconds, 1),
    }


def _linear(task: Task, corpus: Corpus) -> Row:
    """Fits a linear discriminant analysis to frames."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    from tuner.tasks.heads import grouped_error

    started = time.perf_counter()
    model = LinearDiscriminantAnalysis()
    model.fit(np.concatenate(corpus.train.inputs), np.concatenate(corpus.train.targets))
    decided = {
        name: [model.predict(inputs) for inputs in split.inputs]
        for name, split in (("validation", corpus.validation), ("test", corpus.test))
    }

    def wrong(name: str) -> list[np.ndarray]:
        targets = getattr(corpus, name).targets
        return [one != other for one, other in zip(decided[name], targets, strict=True)]

    test = wrong("test")
    return {
        **_row(task, corpus, "linear discriminant analysis of a frame"),
        "learning_rate": "",
        "momentum": "",
        "noise_std": "",
        "epochs": "",
        "best_epoch": "",
        "validation": round(100 * float(np.concatenate(wrong("validation")).mean()), 2),
        "test": round(100 * float(np.concatenate(test).mean()), 2),
        "test_per_sequence": round(100 * float(np.mean([one.mean() for one in test])), 2),
        "test_grouped": round(grouped_error(corpus.test.targets, decided["test"], task.groups), 2),
        "seconds": round(time.perf_counter() - started, 1),
    }


def main() -> int:
    """Runs the command."""
    from tuner.tasks.task import find_task, load_corpus

    rows: list[Row] = []
    for name in _TASKS.value:
        task = find_task(name)
        corpus = load_corpus(task, "auto")
        print(f"data: {corpus.dataset}", flush=True)
        if task.head == "softmax":
            rows.append(_linear(task, corpus))
        rows.append(_trial(task, corpus))
        table.show(rows[-1:])
    print(f"results: {table.save('recognition', rows)}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
