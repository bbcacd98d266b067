"""Engine `native`: trains one trial after the other in compiled code, on one core."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from tuner.tasks.heads import grouped_error
from tuner.training import random_streams
from tuner.training.initialization import initial_weights
from tuner.training.native import epoch, memory
from tuner.training.protocol import Problem, Score, Trial, TrialResult
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
from zoo.registry import switches
from zoo.variants import VARIANTS

_ENGINE = "native"
"""The engine's name in ledgers and checkpoints."""

# Multiply-adds between two checks of the clock and of signals: a few tenths of a second.
_CHUNK = 5e9


class _Network:
    """The network of one trial: weights, velocities and workspace."""

    def __init__(self, problem: Problem, trial: Trial) -> None:
        task, corpus, variant = problem.task, problem.corpus, switches(trial.variant)
        assert variant is not None, "the engine was chosen for it"
        self.shape = memory.shape_of(task, variant, trial.units)
        self.sizes = memory.keras_shapes(self.shape)
        self._trial = trial
        self._rate = np.float32(trial.learning_rate * (1.0 - trial.momentum))
        self._momentum = np.float32(trial.momentum)
        self._workspace = memory.allocate_for(
            self.shape, (corpus.train, corpus.validation, corpus.test)
        )
        self.weights = initial_weights(trial, self.sizes, task, problem.protocol)
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
        """Trains on a range of visits of an epoch; returns False if a loss was not finite."""
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
        return epoch.score(self.shape, self._parameters, self._workspace, split)

    def decide(self, split: epoch.Split) -> np.ndarray:
        """Returns the class with the largest output in every frame of a split, int32 [frames]."""
        classes = np.zeros(int(split.lengths.sum()), np.int32)
        epoch.decide(self.shape, self._parameters, self._workspace, split, classes)
        return classes


@dataclasses.dataclass
class _Run:
    """A trial that is being trained.

    Attributes:
        problem: task, data and rules.
        trial: the trial.
        network: its network.
        state: its progress.
        losses: loss of each visit of the current epoch, float64.
        visited: number of visits of that epoch that are done.
        path: path of its checkpoint, or None.
        timer: measures its time.
    """

    problem: Problem
    trial: Trial
    network: _Network
    state: TrialState
    losses: np.ndarray
    visited: int
    path: Path | None
    timer: CheckpointTimer

    def epoch(self, train: epoch.Split, validation: epoch.Split) -> None:
        """Trains to the end of the epoch and measures it, unless a loss is not finite."""
        protocol, state = self.problem.protocol, self.state
        number, count = state.epoch + 1, len(train.lengths)
        order = random_streams.order(protocol.order_seed, number, count)
        work = np.cumsum(train.lengths[order]) * self.network.size
        while self.visited < count:
            done = work[self.visited - 1] if self.visited else 0
            stop = max(int(np.searchsorted(work, done + _CHUNK)), self.visited + 1)
            stop = min(stop, count)
            visits = range(self.visited, stop)
            if not self.network.train(train, order, number, visits, self.losses):
                state.diverged = True
                break
            self.visited = stop
            # After the last sequence the epoch still has to be measured.
            if self.visited < count and self.timer.due():
                self._save()
        self.visited = 0
        if not state.diverged:
            loss = float(self.losses.sum() / train.lengths.sum())
            state.end_epoch(loss, self.network.measure(validation), self.network.weights)
        self.timer.add_elapsed(state)
        if self.timer.due() and not state.should_stop(protocol):
            self._save()

    def _save(self) -> None:
        self.timer.add_elapsed(self.state)
        if self.path is not None:
            arrays = (*self.network.state, self.losses)
            Checkpoint(self.trial, _ENGINE, self.state, self.visited, arrays).save(self.path)
        self.timer.reset()


class Trainer:
    """Trains trials one after the other in compiled code; a `tuner.training.engines.Trainer`.

    The results are those of the engine `keras`, up to rounding. It needs neither Keras nor
    TensorFlow.

    Args:
        problem: task, data and rules.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        # The layout of targets is the same for every variant and number of units.
        shape = memory.shape_of(problem.task, VARIANTS["V"], 1)
        corpus = problem.corpus
        self._train, self._validation, self._test = (
            epoch.split_of(split, shape) for split in (corpus.train, corpus.validation, corpus.test)
        )

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
            timer = CheckpointTimer(checkpoint_seconds)
            network = _Network(self._problem, trial)
            path = checkpoint_path(trial)
            checkpoint = Checkpoint.load(path, trial, _ENGINE)
            if checkpoint is None:
                state, visited = (
                    TrialState.begin(network.measure(self._validation), network.weights),
                    0,
                )
                losses = np.zeros(len(self._train.lengths))
            else:
                state, visited = checkpoint.state, checkpoint.visited
                *arrays, losses = checkpoint.engine_state
                network.state = tuple(arrays)
            run = _Run(self._problem, trial, network, state, losses, visited, path, timer)
            while not state.should_stop(self._problem.protocol):
                run.epoch(self._train, self._validation)
                on_epoch_end(trial, state)
            network.weights = state.best_weights
            score = network.measure(self._test)
            grouped, groups = None, self._problem.task.groups
            if groups:
                targets = self._problem.corpus.test.targets
                grouped = grouped_error(targets, [network.decide(self._test)], groups)
            timer.add_elapsed(state)
            yield state.result(trial, score, grouped, _ENGINE)
