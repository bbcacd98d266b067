"""The study's model as a hypermodel for any KerasTuner tuner.

Example:
    Hyperband instead of the paper's random search, on the same model, space and rules:

    ```python
    task = find_task("music")
    hypermodel = VariantHyperModel(task, "CIFG", corpus=task.load("auto"))
    tuner = keras_tuner.Hyperband(hypermodel, OBJECTIVE, max_epochs=30, directory="search")
    tuner.search()
    ```
"""

from __future__ import annotations

import collections
import json
from collections.abc import Sequence
from typing import Any

import keras
import keras_tuner
import numpy as np

from tuner.search.space import PAPER, Space
from tuner.tasks.task import Corpus, Task
from tuner.training import keras_engine, network, random_streams, replicas
from tuner.training.initialization import initial_weights
from tuner.training.protocol import Protocol, Trial

OBJECTIVE = keras_tuner.Objective("validation", "min")
"""What tuners minimize: the task's metric on the validation split."""


class _Validation(keras.callbacks.Callback):
    """Adds the validation metric to the logs of every epoch and stops a trial that has diverged."""

    def __init__(self, task: Task, corpus: Corpus) -> None:
        super().__init__()
        self._task = task
        self._corpus = corpus
        self._worst = np.inf

    def on_train_begin(self, logs: Any = None) -> None:
        self._measure = network.Scorer(self.model, self._task)
        self._worst = self._measure(self._corpus.validation).mean

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        score = self._measure(self._corpus.validation)
        if not (score.finite and np.isfinite(logs["loss"])):
            # KerasTuner gives up after several trials without a valid score.
            logs["validation"] = self._worst
            self.model.stop_training = True
        else:
            logs["validation"] = score.mean


class VariantHyperModel(keras_tuner.HyperModel):
    """Builds and fits the network of one variant for the hyperparameters that a tuner chooses.

    The tuner sees the metric `validation` after every epoch; training follows the protocol's loss,
    initial weights, optimizer, order and noise. A diverged trial reports the untrained network's
    score, never NaN. With the same seeds for tuner and hypermodel, trials and scores are the same;
    the executions of a trial (`executions_per_trial`) differ in weights and noise.

    Args:
        task: the task to learn.
        variant: code of the LSTM variant.
        corpus: the task's data; without it, models can be built and loaded but not fitted.
        protocol: training rules.
        space: ranges of the hyperparameters.
        seed: seed of the initial weights and the input noise of all trials.
    """

    def __init__(
        self,
        task: Task,
        variant: str,
        corpus: Corpus | None = None,
        protocol: Protocol | None = None,
        space: Space | None = None,
        seed: int = 1,
    ) -> None:
        super().__init__(name=f"{task.name}_{variant}")
        self._task = task
        self._variant = variant
        self._corpus = corpus
        self._protocol = protocol or Protocol()
        self._space = space or PAPER
        self._seed = seed
        self._executions: collections.Counter[str] = collections.Counter()

    def trial(self, hp: keras_tuner.HyperParameters) -> Trial:
        """Returns the trial that the next `fit` of the values in `hp` trains, with its seed.

        Args:
            hp: the tuner's hyperparameters, in which the search space is declared.
        """
        values = self._space.declare(hp)
        key = _key(hp)
        seed = random_streams.trial_seed(self._seed, key, self._executions[key])
        return Trial(0, self._variant, values, seed)

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Makes the compiled, untrained network for the values in `hp`."""
        trial = self.trial(hp)
        model = network.build_network(self._task, trial, self._protocol.weight_std)
        shapes = [tuple(weight.shape) for weight in model.weights]
        model.set_weights(initial_weights(trial, shapes, self._task, self._protocol))
        network.compile_network(model, self._task, trial, self._protocol.optimizer)
        return model

    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model,
        *args: Any,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Fits a network according to the protocol.

        Args:
            hp: the hyperparameters that were passed to `build`.
            model: the model returned by `build`.
            *args: passed to `model.fit`.
            callbacks: the tuner's callbacks; they find `validation` in the logs.
            **kwargs: passed to `model.fit`; `epochs` defaults to the protocol's, and a tuner that
                stops trials early (Hyperband) sets `epochs` and `initial_epoch` itself.

        Returns:
            The Keras `History` of the fit.

        Raises:
            ValueError: if the hypermodel was made without a corpus.
        """
        if self._corpus is None:
            raise ValueError(
                "`fit` needs data: make the VariantHyperModel with `corpus`. Received: None"
            )
        trial = self.trial(hp)
        self._executions[_key(hp)] += 1
        feed = keras_engine.Feed(trial, self._protocol, self._corpus.train)
        patience = keras.callbacks.EarlyStopping(
            "validation", mode="min", patience=self._protocol.patience
        )
        own = [keras_engine.FeedEpoch(feed), _Validation(self._task, self._corpus), patience]
        options = {"epochs": self._protocol.max_epochs, "shuffle": False, **kwargs}
        dataset = replicas.replicate(feed.dataset(), model.distribute_strategy)
        return model.fit(dataset, *args, callbacks=[*own, *callbacks], **options)


def _key(hp: keras_tuner.HyperParameters) -> str:
    """Returns all values as text, including a tuner's own, such as Hyperband's epochs."""
    return json.dumps(hp.values, sort_keys=True, default=str)
