"""Single trials by the paper's rules whose scores say whether the whole path is right.

    python -m docs.studies.known_trials --data=PATH/JSB_Chorales.mat

`yardstick`: vanilla LSTM on music, 60 units, learning rate 0.01, momentum 0.5, noise 0.1. On the
canonical JSB Chorales an implementation in NumPy alone gets a test NLL of 8.45 to 8.56 nats per
frame. Both engines train the same trials; their curves part slowly, as rounding grows.

`recognition`: vanilla LSTM, 100 units, on the free data of speech and handwriting; test scores are
of speakers and writers that training has not heard or seen. Beside speech stands a linear
discriminant analysis of single frames.
"""

from __future__ import annotations

import time

import numpy as np
from absl import flags

from benchmarks import table
from benchmarks.table import Row
from common import command_line
from tuner.tasks.heads import grouped_error
from tuner.tasks.task import Corpus, Task, find_task, load_corpus
from tuner.training import keras_engine
from tuner.training.engines import ENGINES
from tuner.training.protocol import Problem, Protocol, Trial, TrialResult

_DATA = flags.DEFINE_string("data", "auto", "Data of the music task.")
_TASKS = flags.DEFINE_list("tasks", ["music", "speech", "handwriting"], "Which.")
_SEEDS = flags.DEFINE_list("seeds", ["1", "2", "3"], "Of weights and noise, music.")
_ENGINES = flags.DEFINE_list("engines", ["native", "keras"], "Engines to train with, music.")
_EPOCHS = flags.DEFINE_integer("epochs", 30, "Most epochs, speech and handwriting.", lower_bound=1)

_NAMES = ("units", "learning_rate", "momentum", "noise_std")
_VALUES = {
    "music": (60, 0.01, 0.5, 0.1),
    # Chosen by validation from a handful of settings.
    "speech": (100, 1e-3, 0.9, 0.6),
    "handwriting": (100, 3e-3, 0.9, 0.0),
}


def _train(task: Task, corpus: Corpus, protocol: Protocol, engine: str, seed: int) -> TrialResult:
    trial = Trial(0, "V", dict(zip(_NAMES, _VALUES[task.name], strict=True)), seed=seed)
    trainer = ENGINES[engine].trainer(Problem(task, corpus, protocol))
    (outcome,) = trainer.train([trial])
    return outcome


def _known(corpus: Corpus, engine: str, seed: int) -> Row:
    result = _train(find_task("music"), corpus, Protocol(), engine, seed).result
    return {
        "data": corpus.dataset.name,
        "seed": seed,
        "best_epoch": result.best_epoch,
        "epochs": result.curve[-1].epoch,
        "validation": round(result.validation.mean, 4),
        "test": round(result.test.mean, 4),
        "test_per_sequence": round(result.test.sequence_mean, 4),
        "seconds": round(result.seconds, 1),
        "engine": result.engine,
    }


def _recognized(task: Task, corpus: Corpus) -> Row:
    result = _train(task, corpus, Protocol(max_epochs=_EPOCHS.value), "native", seed=1).result
    units, *others = _VALUES[task.name]
    grouped = result.test_grouped
    return {
        "task": task.name,
        "data": corpus.dataset.name,
        "model": f"V, {units} units",
        "metric": f"{task.metric.name}, {task.metric.unit}",
        **dict(zip(_NAMES[1:], others, strict=True)),
        "epochs": result.curve[-1].epoch,
        "best_epoch": result.best_epoch,
        "validation": round(result.validation.mean, 2),
        "test": round(result.test.mean, 2),
        "test_per_sequence": round(result.test.sequence_mean, 2),
        "test_grouped": "" if grouped is None else round(grouped, 2),
        "seconds": round(result.seconds, 1),
    }


def _linear(task: Task, corpus: Corpus, like: Row) -> Row:
    """Fits a linear discriminant analysis to frames."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    started = time.perf_counter()
    model = LinearDiscriminantAnalysis()
    model.fit(np.concatenate(corpus.train.inputs), np.concatenate(corpus.train.targets))
    decided = [model.predict(inputs) for inputs in corpus.test.inputs]
    test = [one != other for one, other in zip(decided, corpus.test.targets, strict=True)]
    validation = np.concatenate(corpus.validation.inputs)
    wrong = model.predict(validation) != np.concatenate(corpus.validation.targets)
    return {
        **dict.fromkeys(like, ""),
        **{name: like[name] for name in ("task", "data", "metric")},
        "model": "linear discriminant analysis of a frame",
        "validation": round(100 * float(wrong.mean()), 2),
        "test": round(100 * float(np.concatenate(test).mean()), 2),
        "test_per_sequence": round(100 * float(np.mean([one.mean() for one in test])), 2),
        "test_grouped": round(grouped_error(corpus.test.targets, decided, task.groups), 2),
        "seconds": round(time.perf_counter() - started, 1),
    }


def main() -> int:
    """Runs the command."""
    command_line.start_tensorflow()
    keras_engine.use_one_thread()
    found: dict[str, list[Row]] = {}
    for name in _TASKS.value:
        task = find_task(name)
        corpus = load_corpus(task, _DATA.value if name == "music" else "auto")
        print(f"data: {corpus.dataset}", flush=True)
        if name == "music":
            pairs = [(engine, int(seed)) for engine in _ENGINES.value for seed in _SEEDS.value]
            found["yardstick"] = [_known(corpus, *pair) for pair in pairs]
            continue
        row = _recognized(task, corpus)
        linear = [_linear(task, corpus, row)] if task.head == "softmax" else []
        found.setdefault("recognition", []).extend([*linear, row])
    for name, rows in found.items():
        table.show(rows)
        table.save(name, rows, folder=table.STUDIES)
    return 0


if __name__ == "__main__":
    command_line.run(main)
