"""Engine `keras`: trains one trial with `model.fit`; the reference for all other engines.

Keras components that differ from the protocol are replaced: its losses are means (ours is a sum,
with one sequence per update), its `EarlyStopping` and `BackupAndRestore` do not cover the
untrained network, divergence or the random streams (`_Run` does), and its `GaussianNoise` draws
on the device (our noise is drawn on the host by `tuner.training.random_streams`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tuner.tasks.heads import grouped_error
from tuner.tasks.sequences import Sequences
from tuner.training import network, random_streams, replicas
from tuner.training.initialization import initial_weights
from tuner.training.protocol import Problem, Protocol, Score, Trial, TrialResult
from tuner.training.trial_state import (
    CHECKPOINT_SECONDS,
    Checkpoint,
    CheckpointPath,
    CheckpointTimer,
    OnEpochEnd,
    TrialState,
    Weights,
    no_checkpoint,
)

_ENGINE = "keras"


def use_one_thread() -> None:
    """Makes TensorFlow use one thread; must be called before TensorFlow is initialized.

    The steps of a recurrent loop on one sequence are too small to share: with more threads an epoch
    takes longer (benchmarks/results/epoch.csv).

    Raises:
        RuntimeError: if TensorFlow has already been initialized.
    """
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


class Feed:
    """The training sequences, epoch after epoch, in the protocol's order and with its noise.

    Attributes:
        epoch: the next epoch to feed, from 1.
        start: number of its sequences to skip because they were trained on before an
            interruption.
    """

    def __init__(self, trial: Trial, protocol: Protocol, split: Sequences) -> None:
        """Prepares the feed of a trial.

        Args:
            trial: provides the seed and the noise.
            protocol: provides the order.
            split: the training sequences.
        """
        self._trial = trial
        self._protocol = protocol
        self._split = split
        self.epoch = 1
        self.start = 0

    def _sequences(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        split, trial = self._split, self._trial
        order = random_streams.order(self._protocol.order_seed, self.epoch, len(split))
        shapes = [split.inputs[index].shape for index in order]
        noise = random_streams.noise(trial.seed, self.epoch, shapes, self.start)
        for index, drawn in zip(order[self.start :], noise, strict=True):
            noisy = split.inputs[index] + np.float32(trial.noise_std) * drawn
            yield noisy[np.newaxis], split.targets[index][np.newaxis]

    def dataset(self) -> tf.data.Dataset:
        """Makes the dataset for `model.fit`; each pass over it yields the epoch set in `epoch`."""

        def spec(sequence: np.ndarray) -> tf.TensorSpec:
            return tf.TensorSpec((1, None, *sequence.shape[1:]), sequence.dtype)

        dataset = tf.data.Dataset.from_generator(
            self._sequences,
            output_signature=(spec(self._split.inputs[0]), spec(self._split.targets[0])),
        )
        count = tf.data.experimental.assert_cardinality(len(self._split) - self.start)
        return dataset.apply(count).prefetch(2)


class FeedEpoch(keras.callbacks.Callback):
    """Tells a feed which epoch `model.fit` is about to begin."""

    def __init__(self, feed: Feed) -> None:
        """Sets the feed.

        Args:
            feed: source of the dataset that the model is fitted to.
        """
        super().__init__()
        self._feed = feed

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Sets the feed's epoch; Keras counts from 0."""
        self._feed.epoch = epoch + 1


class _Callback(keras.callbacks.Callback):
    """Runs the protocol around `model.fit`: measuring, stopping, checkpoints."""

    def __init__(self, run: _Run) -> None:
        super().__init__()
        self._run = run

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._run.begin_epoch()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        # Keras would keep a float32 mean over the epoch, in variables that a strategy distributes
        # in its own way; after a reset, each logged loss is that of one sequence.
        self.model.reset_metrics()
        self._run.end_sequence(float(logs["loss"]))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._run.end_epoch()


class _Run:
    """A trial that is being trained."""

    def __init__(
        self,
        problem: Problem,
        trial: Trial,
        path: Path | None,
        timer: CheckpointTimer,
        on_epoch_end: OnEpochEnd,
    ) -> None:
        task, corpus, protocol = problem.task, problem.corpus, problem.protocol
        self._problem = problem
        self._trial = trial
        self._path = path
        self._timer = timer
        self._on_epoch_end = on_epoch_end
        self._model = model = network.make_network(task, trial)
        shapes = [tuple(weight.shape) for weight in model.weights]
        model.set_weights(initial_weights(trial, shapes, task, protocol))
        network.compile_network(model, task, trial, protocol.optimizer)
        model.optimizer.build(model.trainable_variables)
        self._scorer = network.Scorer(model, task)
        self._feed = Feed(trial, protocol, corpus.train)
        # In the current epoch: number of sequences trained on, and the sum of their losses.
        self._visited = 0
        self._loss = 0.0
        checkpoint = Checkpoint.load(path, trial, _ENGINE)
        if checkpoint is None:
            self._state = TrialState.begin(self._measure("validation"), self._weights)
        else:
            self._state = checkpoint.state
            self._feed.start = self._visited = checkpoint.visited
            *values, loss = checkpoint.engine_state
            self._loss = float(loss)
            for variable, value in zip(self._variables, values, strict=True):
                variable.assign(value)

    @property
    def _weights(self) -> Weights:
        return tuple(self._model.get_weights())

    @property
    def _variables(self) -> list[Any]:
        return [*self._model.weights, *self._model.optimizer.variables]

    def _measure(self, split: str) -> Score:
        score = self._scorer(getattr(self._problem.corpus, split))
        numbers = np.array(dataclasses.astuple(score))
        return Score(*replicas.of_chief(numbers, self._model.distribute_strategy).tolist())

    def train(self) -> TrialResult:
        """Trains to the end and measures the weights of the best epoch on the test set."""
        protocol, model, feed, state = (
            self._problem.protocol, self._model, self._feed, self._state
        )
        while not state.should_stop(protocol):
            # An interrupted epoch is finished in a separate fit, since its dataset is shorter.
            last = state.epoch + 1 if feed.start else protocol.max_epochs
            model.fit(
                replicas.replicate(feed.dataset(), model.distribute_strategy),
                initial_epoch=state.epoch,
                epochs=last,
                shuffle=False,
                callbacks=[FeedEpoch(feed), _Callback(self)],
                verbose=0,
            )
            feed.start = 0
        model.set_weights(state.best_weights)
        test = self._measure("test")
        grouped, groups = None, self._problem.task.groups
        if groups:
            split = self._problem.corpus.test
            grouped = grouped_error(split.targets, self._scorer.decide(split), groups)
        self._timer.add_elapsed(state)
        return state.result(self._trial, test, grouped, _ENGINE)

    def begin_epoch(self) -> None:
        """Resets the counters, unless the epoch was begun before an interruption."""
        if not self._feed.start:
            self._visited, self._loss = 0, 0.0

    def end_sequence(self, loss: float) -> None:
        """Adds the loss of a sequence that has been trained on."""
        self._visited += 1
        self._loss += loss
        if not np.isfinite(self._loss):
            self._state.diverged = True
            self._model.stop_training = True
        elif self._visited < len(self._problem.corpus.train) and self._timer.due():
            # After the last sequence the epoch still has to be measured: not a point to resume at.
            self._save(self._visited)

    def end_epoch(self) -> None:
        """Measures the epoch, unless it diverged, and decides whether it was the last."""
        state = self._state
        if not state.diverged:
            loss = self._loss / self._problem.corpus.train.frames
            state.end_epoch(loss, self._measure("validation"), self._weights)
        self._timer.add_elapsed(state)
        if state.should_stop(self._problem.protocol):
            self._model.stop_training = True
        elif self._timer.due():
            self._save(0)
        self._on_epoch_end(self._trial, state)

    def _save(self, visited: int) -> None:
        self._timer.add_elapsed(self._state)
        if self._path is not None:
            arrays = (*map(np.asarray, self._variables), np.array(self._loss))
            Checkpoint(self._trial, _ENGINE, self._state, visited, arrays).save(self._path)
        self._timer.reset()


class Trainer:
    """Trains trials one after the other with `model.fit`; a `tuner.training.engines.Trainer`.

    The same trial has the same curve, bit for bit on the same machine and libraries, even after
    an interruption at any moment.

    Args:
        problem: task, data and rules.
        strategy: where to train, see `tuner.parallel.distribute`; one device by default.
    """

    def __init__(self, problem: Problem, strategy: tf.distribute.Strategy | None = None) -> None:
        self._problem = problem
        self._strategy = strategy

    def train(
        self,
        trials: Iterable[Trial],
        *,
        checkpoint_path: CheckpointPath = no_checkpoint,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        on_epoch_end: OnEpochEnd = lambda trial, state: None,
    ) -> Iterator[TrialResult]:
        """Trains trials; see `tuner.training.engines.Trainer.train`."""
        for trial in trials:
            keras.utils.clear_session(free_memory=True)
            timer = CheckpointTimer(checkpoint_seconds)
            with (self._strategy or tf.distribute.get_strategy()).scope():
                path = checkpoint_path(trial)
                result = _Run(self._problem, trial, path, timer, on_epoch_end).train()
            yield result
