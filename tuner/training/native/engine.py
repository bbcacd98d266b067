"""Engine `native`: one trial after the other in compiled code, on one core."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from tuner.tasks.heads import grouped_error
from tuner.tasks.task import Corpus, Task
from tuner.training import random_streams
from tuner.training.native import epoch, memory
from tuner.training.protocol import Protocol, Score, Trial, TrialResult
from tuner.training.trial_state import Checkpoint, CheckpointTimer, Observer, TrialState, Weights
from zoo.variants import VARIANTS

_ENGINE = "native"
"""The engine's name in ledgers and checkpoints."""

# Multiply-adds between two looks at the clock and at signals: some tenths of a second.
_CHUNK = 5e9


class _Network:
    """The network of one trial: weights, velocities and workspace."""

    def __init__(self, task: Task, corpus: Corpus, trial: Trial, protocol: Protocol) -> None:
        self.shape = memory.shape_of(task, VARIANTS[trial.variant], trial.units)
        self.sizes = memory.keras_shapes(self.shape)
        self._trial = trial
        self._rate = np.float32(trial.learning_rate * (1.0 - trial.momentum))
        self._momentum = np.float32(trial.momentum)
        splits = (corpus.train, corpus.validation, corpus.test)
        frames = max(int(split.lengths.max()) for split in splits)
        labels = max(len(target) for split in splits for target in split.targets)
        self._workspace = memory.allocate(self.shape, frames, labels)
        weights = random_streams.initial_weights(trial.seed, self.sizes, protocol.weight_std)
        self._parameters = memory.pack(self.shape, weights)
        self._velocities = memory.empty(self.shape)

    @property
    def size(self) -> int:
        """Number of weights."""
        return sum(int(np.prod(size)) for size in self.sizes)

    @property
    def weights(self) -> Weights:
        """The weights in Keras' order."""
        return memory.unpack(self.shape, self._parameters)

    @weights.setter
    def weights(self, weights: Weights) -> None:
        self._parameters = memory.pack(self.shape, weights)

    @property
    def state(self) -> Weights:
        """Weights and velocities."""
        return (*self.weights, *memory.unpack(self.shape, self._velocities))

    @state.setter
    def state(self, state: Weights) -> None:
        count = len(self.sizes)
        self.weights = state[:count]
        self._velocities = memory.pack(self.shape, state[count:])

    def train(
        self,
        split: epoch.Split,
        order: np.ndarray,
        number: int,
        visits: range,
        losses: np.ndarray,
    ) -> bool:
        """Trains on some visits of an epoch; False if a loss was not finite."""
        low, high = random_streams.noise_key(self._trial.seed, number)
        stopped = epoch.train(
            self.shape,
            self._parameters,
            self._velocities,
            self._workspace,
            split,
            order,
            visits.start,
            visits.stop,
            (np.uint32(low), np.uint32(high)),
            np.float32(self._trial.noise_std),
            self._momentum,
            self._rate,
            losses,
        )
        return bool(stopped == visits.stop)

    def measure(self, split: epoch.Split) -> Score:
        """Measures the network on a split."""
        scores = np.zeros(len(split.lengths))
        epoch.measure(
            self.shape, self._parameters, self._workspace, split, scores
        )
        return Score.of(scores, split.targets.counts)

    def decide(self, split: epoch.Split) -> np.ndarray:
        """Finds the largest output of every frame of a split, int32 [frames]."""
        classes = np.zeros(int(split.lengths.sum()), np.int32)
        epoch.decide(
            self.shape, self._parameters, self._workspace, split, classes
        )
        return classes


@dataclasses.dataclass
class _Run:
    """A trial underway.

    Attributes:
        trial: what is tried.
        protocol: the rules.
        network: what is trained.
        course: where it stands.
        losses: loss of each visit of the epoch underway, float64.
        visited: visits of that epoch that are done.
        path: where the checkpoint is; None keeps none.
        stopwatch: counts its seconds.
    """

    trial: Trial
    protocol: Protocol
    network: _Network
    course: TrialState
    losses: np.ndarray
    visited: int
    path: Path | None
    stopwatch: CheckpointTimer

    def epoch(self, train: epoch.Split, validation: epoch.Split) -> None:
        """Trains to the end of the epoch and measures, unless a loss is not finite."""
        epoch, count = self.course.epoch + 1, len(train.lengths)
        order = random_streams.order(self.protocol.order_seed, epoch, count)
        work = np.cumsum(train.lengths[order]) * self.network.size
        while self.visited < count:
            done = work[self.visited - 1] if self.visited else 0
            stop = max(int(np.searchsorted(work, done + _CHUNK)), self.visited + 1)
            stop = min(stop, count)
            visits = range(self.visited, stop)
            if not self.network.train(train, order, epoch, visits, self.losses):
                self.course.diverged = True
                break
            self.visited = stop
            # After the last sequence the epoch still has to be measured.
            if self.visited < count and self.stopwatch.due():
                self._checkpoint()
        self.visited = 0
        if not self.course.diverged:
            loss = float(self.losses.sum() / train.lengths.sum())
            self.course.record(loss, self.network.measure(validation), self.network.weights)
        self.stopwatch.tick(self.course)
        if self.stopwatch.due() and not self.course.over(self.protocol):
            self._checkpoint()

    def _checkpoint(self) -> None:
        self.stopwatch.tick(self.course)
        if self.path is not None:
            state = (*self.network.state, self.losses)
            Checkpoint(self.trial, _ENGINE, self.course, self.visited, state).save(self.path)
        self.stopwatch.saved()


def train(
    task: Task,
    corpus: Corpus,
    trials: Iterable[Trial],
    protocol: Protocol,
    *,
    checkpoint_path: Callable[[Trial], Path] | None = None,
    checkpoint_seconds: float = 30.0,
    observe: Observer = lambda trial, course: None,
) -> Iterator[TrialResult]:
    """Trains trials one after the other in compiled code.

    Arguments, results and promises are those of `tuner.training.keras_engine.train`; the numbers
    are the same up to rounding. Nothing of it needs Keras or TensorFlow.

    Args:
        task: what is learned.
        corpus: its data.
        trials: what to try.
        protocol: the rules.
        checkpoint_path: where a running trial's checkpoint is; None keeps none.
        checkpoint_seconds: least time between two checkpoints.
        observe: called after every epoch.

    Yields:
        The outcome of each trial in the order of `trials`.
    """
    # Targets are laid out alike for every variant and number of units.
    shape = memory.shape_of(task, VARIANTS["V"], 1)
    train_split, validation, test = (
        epoch.split_of(split, shape) for split in (corpus.train, corpus.validation, corpus.test)
    )
    for trial in trials:
        stopwatch = CheckpointTimer(checkpoint_seconds)
        network = _Network(task, corpus, trial, protocol)
        path = checkpoint_path(trial) if checkpoint_path else None
        checkpoint = Checkpoint.load(path, trial, _ENGINE) if path else None
        if checkpoint is None:
            course, visited = TrialState.begin(network.measure(validation), network.weights), 0
            losses = np.zeros(len(corpus.train))
        else:
            course, visited = checkpoint.course, checkpoint.visited
            *state, losses = checkpoint.engine_state
            network.state = tuple(state)
        run = _Run(trial, protocol, network, course, losses, visited, path, stopwatch)
        while not course.over(protocol):
            run.epoch(train_split, validation)
            observe(trial, course)
        network.weights = course.best_weights
        score = network.measure(test)
        grouped = None
        if task.groups:
            decided = [network.decide(test)]
            grouped = grouped_error(corpus.test.targets, decided, task.groups)
        stopwatch.tick(course)
        yield course.outcome(trial, score, grouped, network.size, _ENGINE)
