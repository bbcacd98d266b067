"""Engine `keras`: one trial with `model.fit`; the yardstick for every other engine.

Where Keras' own pieces differ from the protocol they are replaced: its losses are means (ours is a
sum, one sequence an update), its `EarlyStopping` and `BackupAndRestore` know nothing of the
untrained network, of divergence or of the random streams (`_Trainer` does), and its `GaussianNoise`
draws on the device (ours is drawn on the host by `tuner.streams`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tuner import streams
from tuner.course import Checkpoint, Course, Observer
from tuner.network import Scorer, build_network, compile_network
from tuner.protocol import Outcome, Protocol, Score, Trial
from tuner.tasks.sequences import Sequences
from tuner.tasks.task import Corpus, Task

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
        order = streams.order(self._protocol.order_seed, self.epoch, len(split))
        shapes = [split.inputs[index].shape for index in order]
        noise = streams.noise(trial.seed, self.epoch, shapes, self.start)
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
        course: Course,
        measure: Callable[[], Score],
        train: Sequences,
        report: Callable[[Course], None],
        save: Callable[[Course, int], None],
        checkpoint_seconds: float,
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
        self._checkpoint_seconds = checkpoint_seconds
        self._visited = 0
        self._clock = self._saved = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._visited = self._feed.start

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._visited += 1
        if not np.isfinite(logs["loss"]):
            self.course.diverged = True
            self.model.stop_training = True
        elif self._visited < self._sequences and self._due():
            # After the last sequence the epoch still has to be measured: no place to go on from.
            self._checkpoint(self._visited)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if not self.course.diverged:
            # Keras keeps the mean over the epoch's sequences.
            loss = logs["loss"] * self._visited / self._frames
            self.course.record(loss, self._measure(), tuple(self.model.get_weights()))
        self._tick()
        if self.course.over(self._protocol):
            self.model.stop_training = True
        elif self._due():
            self._checkpoint(0)
        self._report(self.course)

    def _tick(self) -> None:
        now = time.monotonic()
        self.course.seconds += now - self._clock
        self._clock = now

    def _due(self) -> bool:
        return time.monotonic() - self._saved > self._checkpoint_seconds

    def _checkpoint(self, visited: int) -> None:
        self._tick()
        self._save(self.course, visited)
        self._saved = time.monotonic()


def _loss_state(model: keras.Model) -> list[Any]:
    """The variables in which Keras keeps the running mean of the loss."""
    return [
        variable
        for metric in model.metrics
        if metric.name == "loss"
        for variable in metric.variables
    ]


class _RestoredLoss(keras.callbacks.Callback):
    """Puts the running mean of an interrupted epoch's loss back after Keras has reset it."""

    def __init__(self, values: tuple[np.ndarray, ...]) -> None:
        super().__init__()
        self._values = values

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        for variable, value in zip(_loss_state(self.model), self._values, strict=True):
            variable.assign(value)


def train(
    task: Task,
    corpus: Corpus,
    trials: Iterable[Trial],
    protocol: Protocol,
    *,
    checkpoint_path: Callable[[Trial], Path] | None = None,
    checkpoint_seconds: float = 30.0,
    observe: Observer = lambda trial, course: None,
) -> Iterator[Outcome]:
    """Trains trials one after the other with `model.fit`.

    The same trial gives the same curve, bit for bit on the same machine and libraries, also after
    an interruption at any moment.

    Args:
        task: what is learnt.
        corpus: its data.
        trials: what to try.
        protocol: the rules.
        checkpoint_path: where a running trial's checkpoint is; None keeps none. A finished trial's
            checkpoint is left to the caller, who removes it when the outcome is safe.
        checkpoint_seconds: least time between two checkpoints.
        observe: called after every epoch.

    Yields:
        The outcome of each trial in the order of `trials`.
    """
    for trial in trials:
        keras.utils.clear_session(free_memory=True)
        path = checkpoint_path(trial) if checkpoint_path else None
        yield _train_one(task, corpus, trial, protocol, path, checkpoint_seconds, observe)


def _train_one(
    task: Task,
    corpus: Corpus,
    trial: Trial,
    protocol: Protocol,
    path: Path | None,
    checkpoint_seconds: float,
    observe: Observer,
) -> Outcome:
    started = time.monotonic()
    model = build_network(task, trial.variant, trial.units, protocol.weight_std)
    shapes = [tuple(weight.shape) for weight in model.weights]
    model.set_weights(streams.initial_weights(trial.seed, shapes, protocol.weight_std))
    compile_network(model, task, trial)
    model.optimizer.build(model.trainable_variables)
    measure = Scorer(model, task)

    checkpoint = Checkpoint.load(path, trial, _ENGINE) if path else None
    restored: list[keras.callbacks.Callback] = []
    feed = Feed(trial, protocol, corpus.train)
    if checkpoint is None:
        course = Course.begin(measure(corpus.validation), tuple(model.get_weights()))
    else:
        course = checkpoint.course
        feed.start = checkpoint.visited
        restored = [_RestoredLoss(_set_state(model, checkpoint.engine_state))]
    course.seconds += time.monotonic() - started

    def save(course: Course, visited: int) -> None:
        if path is not None:
            Checkpoint(trial, _ENGINE, course, visited, _get_state(model)).save(path)

    trainer = _Trainer(
        feed,
        protocol,
        course,
        measure=lambda: measure(corpus.validation),
        train=corpus.train,
        report=lambda course: observe(trial, course),
        save=save,
        checkpoint_seconds=checkpoint_seconds,
    )
    while not course.over(protocol):
        # An epoch that was interrupted is finished by itself: the data set is shorter.
        last = course.epoch + 1 if feed.start else protocol.max_epochs
        model.fit(
            feed.dataset(),
            initial_epoch=course.epoch,
            epochs=last,
            shuffle=False,
            callbacks=[FeedEpoch(feed), trainer, *(restored if feed.start else [])],
            verbose=0,
        )
        feed.start = 0

    started = time.monotonic()
    model.set_weights(course.best_weights)
    test = measure(corpus.test)
    course.seconds += time.monotonic() - started
    return course.outcome(trial, test, model.count_params(), _ENGINE)


def _get_state(model: keras.Model) -> tuple[np.ndarray, ...]:
    """Weights, optimizer variables and running loss, as `_set_state` takes them."""
    variables = [*model.weights, *model.optimizer.variables, *_loss_state(model)]
    return tuple(np.asarray(variable) for variable in variables)


def _set_state(model: keras.Model, state: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """Restores weights and optimizer; returns the running loss, which `fit` would reset."""
    variables = [*model.weights, *model.optimizer.variables]
    for variable, value in zip(variables, state, strict=False):
        variable.assign(value)
    return state[len(variables) :]
