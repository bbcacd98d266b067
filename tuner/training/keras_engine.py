"""Engine `keras`: one trial with `model.fit`; the yardstick for every other engine.

Where Keras' own pieces differ from the protocol they are replaced: its losses are means (ours is a
sum, one sequence an update), its `EarlyStopping` and `BackupAndRestore` know nothing of the
untrained network, of divergence or of the random streams (`_Trainer` does), and its `GaussianNoise`
draws on the device (ours is drawn on the host by `tuner.training.random_streams`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tuner.tasks.heads import grouped_error
from tuner.tasks.sequences import Sequences
from tuner.tasks.task import Corpus, Task
from tuner.training import placement, random_streams
from tuner.training.network import Scorer, build_network, compile_network
from tuner.training.protocol import Protocol, Score, Trial, TrialResult
from tuner.training.trial_state import Checkpoint, CheckpointTimer, Observer, TrialState

_ENGINE = "keras"


def use_one_thread() -> None:
    """Makes TensorFlow use one thread; to be called before it does anything.

    The steps of a recurrent loop on one sequence are too small to share: with more threads an epoch
    takes longer (benchmarks/results/epoch.csv).

    Raises:
        RuntimeError: if TensorFlow has started already.
    """
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


class Feed:
    """The training sequences, epoch after epoch, in the protocol's order and with its noise.

    Attributes:
        epoch: which epoch is to be fed next, from 1.
        start: how many of its sequences to leave out, because they were trained on before an
            interruption.
    """

    def __init__(self, trial: Trial, protocol: Protocol, split: Sequences) -> None:
        """Prepares the feed of a trial.

        Args:
            trial: for its seed and noise.
            protocol: for the order.
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
        """Makes the data set for `model.fit`; an iteration is the epoch that `epoch` says then."""

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
        """Names the feed.

        Args:
            feed: what the data set of the fit comes from.
        """
        super().__init__()
        self._feed = feed

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Sets the feed's epoch; Keras counts from 0."""
        self._feed.epoch = epoch + 1


class _Trainer(keras.callbacks.Callback):
    """Runs the protocol around `model.fit`: feeding, measuring, stopping, checkpoints."""

    def __init__(
        self,
        feed: Feed,
        protocol: Protocol,
        course: TrialState,
        measure: Callable[[], Score],
        train: Sequences,
        report: Callable[[TrialState], None],
        save: Callable[[TrialState, int, float], None],
        stopwatch: CheckpointTimer,
        resumed_loss: float,
    ) -> None:
        super().__init__()
        self._feed = feed
        self._protocol = protocol
        self.course = course
        self._measure = measure
        self._frames = train.frames
        self._sequences = len(train)
        self._report = report
        self._save = save
        self._stopwatch = stopwatch
        self._resumed_loss = resumed_loss
        self._visited = 0
        self._loss = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._visited = self._feed.start
        self._loss = self._resumed_loss if self._feed.start else 0.0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        # Keras would keep a mean over the epoch in float32, in variables that a strategy shares
        # out in ways of its own; so each logged loss is that of one sequence.
        self.model.reset_metrics()
        self._visited += 1
        self._loss += float(logs["loss"])
        if not np.isfinite(self._loss):
            self.course.diverged = True
            self.model.stop_training = True
        elif self._visited < self._sequences and self._stopwatch.due():
            # After the last sequence the epoch still has to be measured: no place to go on from.
            self._checkpoint(self._visited)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if not self.course.diverged:
            loss = self._loss / self._frames
            self.course.record(loss, self._measure(), tuple(self.model.get_weights()))
        self._stopwatch.tick(self.course)
        if self.course.over(self._protocol):
            self.model.stop_training = True
        elif self._stopwatch.due():
            self._checkpoint(0)
        self._report(self.course)

    def _checkpoint(self, visited: int) -> None:
        self._stopwatch.tick(self.course)
        self._save(self.course, visited, self._loss)
        self._stopwatch.saved()


def train(
    task: Task,
    corpus: Corpus,
    trials: Iterable[Trial],
    protocol: Protocol,
    *,
    checkpoint_path: Callable[[Trial], Path] | None = None,
    checkpoint_seconds: float = 30.0,
    observe: Observer = lambda trial, course: None,
    strategy: tf.distribute.Strategy | None = None,
) -> Iterator[TrialResult]:
    """Trains trials one after the other with `model.fit`.

    The same trial gives the same curve, bit for bit on the same machine and libraries, also after
    an interruption at any moment.

    Args:
        task: what is learned.
        corpus: its data.
        trials: what to try.
        protocol: the rules.
        checkpoint_path: where a running trial's checkpoint is; None keeps none. A finished trial's
            checkpoint is left to the caller, who removes it when the outcome is safe.
        checkpoint_seconds: least time between two checkpoints.
        observe: called after every epoch.
        strategy: where to train, see `tuner.training.placement`; by default on one device.

    Yields:
        The outcome of each trial in the order of `trials`.
    """
    for trial in trials:
        keras.utils.clear_session(free_memory=True)
        path = checkpoint_path(trial) if checkpoint_path else None
        with (strategy or tf.distribute.get_strategy()).scope():
            outcome = _train_one(task, corpus, trial, protocol, path, checkpoint_seconds, observe)
        yield outcome


def _train_one(
    task: Task,
    corpus: Corpus,
    trial: Trial,
    protocol: Protocol,
    path: Path | None,
    checkpoint_seconds: float,
    observe: Observer,
) -> TrialResult:
    stopwatch = CheckpointTimer(checkpoint_seconds)
    model = build_network(task, trial.variant, trial.units, protocol.weight_std)
    shapes = [tuple(weight.shape) for weight in model.weights]
    model.set_weights(random_streams.initial_weights(trial.seed, shapes, protocol.weight_std))
    compile_network(model, task, trial)
    model.optimizer.build(model.trainable_variables)
    strategy, scorer = model.distribute_strategy, Scorer(model, task)

    def measure(split: Sequences) -> Score:
        score = scorer(split)
        return Score(*placement.of_chief(np.array(dataclasses.astuple(score)), strategy).tolist())

    checkpoint = Checkpoint.load(path, trial, _ENGINE) if path else None
    resumed_loss = 0.0
    feed = Feed(trial, protocol, corpus.train)
    if checkpoint is None:
        course = TrialState.begin(measure(corpus.validation), tuple(model.get_weights()))
    else:
        course = checkpoint.course
        feed.start = checkpoint.visited
        resumed_loss = _set_state(model, checkpoint.engine_state)

    def save(course: TrialState, visited: int, loss: float) -> None:
        if path is not None:
            Checkpoint(trial, _ENGINE, course, visited, _get_state(model, loss)).save(path)

    trainer = _Trainer(
        feed,
        protocol,
        course,
        measure=lambda: measure(corpus.validation),
        train=corpus.train,
        report=lambda course: observe(trial, course),
        save=save,
        stopwatch=stopwatch,
        resumed_loss=resumed_loss,
    )
    while not course.over(protocol):
        # An epoch that was interrupted is finished by itself: the data set is shorter.
        last = course.epoch + 1 if feed.start else protocol.max_epochs
        model.fit(
            placement.replicate(feed.dataset(), strategy),
            initial_epoch=course.epoch,
            epochs=last,
            shuffle=False,
            callbacks=[FeedEpoch(feed), trainer],
            verbose=0,
        )
        feed.start = 0

    model.set_weights(course.best_weights)
    test = measure(corpus.test)
    grouped = None
    if task.groups:
        decided = scorer.decide(corpus.test)
        grouped = grouped_error(corpus.test.targets, decided, task.groups)
    stopwatch.tick(course)
    return course.outcome(trial, test, grouped, model.count_params(), _ENGINE)


def _get_state(model: keras.Model, loss: float) -> tuple[np.ndarray, ...]:
    """Weights, optimizer variables and the loss of the epoch so far, as `_set_state` takes them."""
    variables = [*model.weights, *model.optimizer.variables]
    return (*(np.asarray(variable) for variable in variables), np.array(loss))


def _set_state(model: keras.Model, state: tuple[np.ndarray, ...]) -> float:
    """Restores weights and optimizer; returns the loss of the epoch so far."""
    *values, loss = state
    variables = [*model.weights, *model.optimizer.variables]
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return float(loss)
