"""Engine `jax`: trains any Keras cell, compiled by XLA; many trials at once on accelerators."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from common import cache
from common.errors import InputError
from tuner.tasks.heads import HEADS, grouped_error
from tuner.training import engines, random_streams
from tuner.training.initialization import initial_weights
from tuner.training.jax.padding import fit, padded_units, stays_zero
from tuner.training.jax.program import Program, Settings, Split, build
from tuner.training.jax.step import Arrays
from tuner.training.jax.updates import UPDATES
from tuner.training.protocol import Options, Problem, Score, Trial, TrialResult
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

_ENGINE = "jax"

_CHUNK_SECONDS = 2.0
"""Approximate time that compiled code runs between two checks of the clock."""

_PROGRAMS = 16
"""Number of compiled programs kept in memory; others come from the cache on disk."""


@dataclasses.dataclass
class _Run:
    """A trial that is being trained, possibly side by side with others."""

    trial: Trial
    path: Path | None
    timer: CheckpointTimer
    state: TrialState
    visited: int
    losses: np.ndarray


@jax.jit
def _read(arrays: Arrays, place: Any) -> Arrays:
    """Returns the part of each array that belongs to one trial."""
    return [array[place] for array in arrays]


@functools.partial(jax.jit, donate_argnums=0)
def _write(arrays: Arrays, own: Arrays, place: Any) -> Arrays:
    """Replaces the part of each array that belongs to one trial."""
    return [array.at[place].set(one) for array, one in zip(arrays, own, strict=True)]


class _Group:
    """Trials that one program trains side by side, and their weights on the device."""

    def __init__(
        self, problem: Problem, variant: str, units: int, options: Options, size: int
    ) -> None:
        self._units = units
        network, self._shapes = build(problem.task, variant, units, options)
        # Shows how the shapes grow with the units, without making cells of all sizes.
        self._larger = build(problem.task, variant, 2 * units, options)[1]
        self._update = UPDATES[problem.protocol.optimizer]
        self.program = Program(network, self._update, size)
        devices = np.array(jax.devices())
        shared = size > 1 and size % len(devices) == 0
        mesh = jax.sharding.Mesh(devices if shared else devices[:1], ("trials",))
        axes: Any = PartitionSpec
        self._sharding = NamedSharding(mesh, axes("trials"))
        shapes = self._all_shapes(self._shapes)
        arrays = self._place([np.zeros((size, *shape), np.float32) for shape in shapes])
        self.weights: Arrays = arrays[: len(self._shapes)]
        self.slots: Arrays = arrays[len(self._shapes) :]
        self.exists: Arrays = []
        if not stays_zero(variant):
            self.exists = self._place([np.zeros_like(weight) for weight in self.weights])

    def _place(self, arrays: Arrays) -> Arrays:
        return [jax.device_put(array, self._sharding) for array in arrays]

    def shapes_of(self, trial: Trial) -> list[tuple[int, ...]]:
        """Returns the shapes of a trial's own weights, without padding."""
        return [
            tuple(
                size - (larger - size) // self._units * (self._units - trial.units)
                for size, larger in zip(own, grown, strict=True)
            )
            for own, grown in zip(self._shapes, self._larger, strict=True)
        ]

    def put(self, place: int, trial: Trial, state: Weights) -> None:
        """Copies a trial's weights, followed by its optimizer slots, to a place."""
        count = len(self._shapes)
        arrays = self._put([*self.weights, *self.slots], place, trial, state)
        self.weights, self.slots = arrays[:count], arrays[count:]
        if self.exists:
            ones = [np.ones_like(weight) for weight in state[:count]]
            self.exists = self._put(self.exists, place, trial, ones)

    def _put(
        self, arrays: Arrays, place: int, trial: Trial, state: Sequence[np.ndarray]
    ) -> Arrays:
        shapes = self._all_shapes(self._shapes)[: len(arrays)]
        padded = [
            fit(own, shape, trial.units, self._units)
            for own, shape in zip(state, shapes, strict=True)
        ]
        return self._place(_write(arrays, padded, place))

    def get(self, place: int, trial: Trial, *, slots: bool) -> Weights:
        """Copies a trial's weights back, followed by its optimizer slots if requested."""
        arrays = [*self.weights, *self.slots] if slots else self.weights
        shapes = self._all_shapes(self.shapes_of(trial))[: len(arrays)]
        return tuple(
            fit(own, shape, self._units, trial.units)
            for own, shape in zip(_read(arrays, place), shapes, strict=True)
        )

    def _all_shapes(self, shapes: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
        return [*shapes, *(shape for shape in shapes for _ in range(self._update.slots))]

    def set_weights(self, place: int, trial: Trial, weights: Weights) -> None:
        """Replaces a trial's weights and keeps its optimizer slots."""
        self.put(place, trial, (*weights, *self.get(place, trial, slots=True)[len(weights) :]))


class Trainer:
    """Trains trials with compiled code; a `tuner.training.engines.Trainer`.

    The results are those of the engine `keras`, up to rounding: any Keras cell whose step JAX can
    trace is trained by the same rules, order and noise. Trials are trained one after the other on
    CPUs and side by side on accelerators; their number affects only rounding.

    Args:
        problem: task, data and rules.
        size: number of trials trained side by side; by default as many as suit the devices.
    """

    def __init__(self, problem: Problem, size: int | None = None) -> None:
        self._problem = problem
        self._size = size or engines.ENGINES[_ENGINE].capacity()
        settings: dict[str, Any] = {
            "jax_compilation_cache_dir": str(cache.folder() / "jax"),
            "jax_persistent_cache_min_compile_time_secs": 0.1,
            "jax_enable_x64": False,
            # Accelerators would otherwise multiply at lower precision.
            "jax_default_matmul_precision": "highest",
        }
        update: Any = jax.config.update
        for name, value in settings.items():
            update(name, value)
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
        corpus = problem.corpus
        self._train, self._validation, self._test = map(
            Split.of, (corpus.train, corpus.validation, corpus.test)
        )
        self._make = functools.lru_cache(_PROGRAMS)(self._make_group)

    def _make_group(self, variant: str, units: int, options: Options) -> _Group:
        try:
            return _Group(self._problem, variant, units, options, self._size)
        except (ValueError, TypeError, jax.errors.JAXTypeError) as error:
            raise InputError(
                f"--engine={_ENGINE}: {variant} cannot be traced by JAX ({error}); "
                "use --engine=keras"
            ) from error

    def train(
        self,
        trials: Iterable[Trial],
        *,
        checkpoint_path: CheckpointPath = no_checkpoint,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        on_epoch_end: OnEpochEnd = lambda trial, state: None,
    ) -> Iterator[TrialResult]:
        """Trains trials; see `tuner.training.engines.Trainer.train`.

        All trials trained side by side must belong to one group, see `tuner.training.engines`.
        """
        queue = iter(trials)
        runs: dict[int, _Run] = {}
        more = True
        while True:
            while more and len(runs) < self._size:
                trial = next(queue, None)
                if trial is None:
                    more = False
                    break
                if not runs:
                    units = padded_units(trial.variant, trial.units)
                    group = self._make(trial.variant, units, trial.options)
                place = next(free for free in range(self._size) if free not in runs)
                timer = CheckpointTimer(checkpoint_seconds)
                runs[place] = self._begin(group, place, trial, checkpoint_path(trial), timer)
            if not runs:
                return
            protocol = self._problem.protocol
            going = {
                place: run for place, run in runs.items() if not run.state.should_stop(protocol)
            }
            if going:
                self._epoch(group, going)
            for run in going.values():
                on_epoch_end(run.trial, run.state)
            for place, run in list(runs.items()):
                if run.state.should_stop(protocol):
                    del runs[place]
                    yield self._end(group, place, run)

    def _begin(
        self, group: _Group, place: int, trial: Trial, path: Path | None, timer: CheckpointTimer
    ) -> _Run:
        losses = np.zeros(len(self._train.lengths))
        checkpoint = Checkpoint.load(path, trial, _ENGINE)
        if checkpoint is not None:
            *arrays, losses = checkpoint.engine_state
            group.put(place, trial, tuple(arrays))
            return _Run(trial, path, timer, checkpoint.state, checkpoint.visited, losses)
        task, protocol = self._problem.task, self._problem.protocol
        weights = initial_weights(trial, group.shapes_of(trial), task, protocol)
        slots = UPDATES[protocol.optimizer].slots
        nothing = [np.zeros_like(weight) for weight in weights for _ in range(slots)]
        group.put(place, trial, (*weights, *nothing))
        score = self._measure(group, self._validation, [place])[place]
        return _Run(trial, path, timer, TrialState.begin(score, weights), 0, losses)

    def _epoch(self, group: _Group, runs: dict[int, _Run]) -> None:
        """Trains an epoch of all trials, or the part of it that an interruption has left."""
        count = len(self._train.lengths)
        settings = self._settings(runs, group.exists)
        first = min(run.visited for run in runs.values())
        chunk = 1
        while first < count:
            last = min(count, first + chunk)
            start = time.monotonic()
            group.weights, group.slots, losses = group.program.epoch(
                group.weights, group.slots, settings, self._train, first, last
            )
            for place, run in runs.items():
                begin = max(first, run.visited)
                own = losses[place][begin - first :]
                run.losses[begin:last] = own
                run.state.diverged |= not np.isfinite(own).all()
            # Grows slowly, since the first call may include compilation.
            fitting = (last - first) * _CHUNK_SECONDS / max(time.monotonic() - start, 1e-3)
            chunk = max(1, min(8 * chunk, int(fitting)))
            first = last
            if all(run.state.diverged for run in runs.values()):
                break
            for place, run in runs.items():
                # After the last visit the epoch still has to be measured.
                saves = run.visited < first < count and not run.state.diverged
                if saves and run.timer.due():
                    self._save(group, place, run, first)
        alive = [place for place, run in runs.items() if not run.state.diverged]
        scores = self._measure(group, self._validation, alive)
        for place, run in runs.items():
            run.visited = 0
            if not run.state.diverged:
                loss = float(run.losses.sum() / self._problem.corpus.train.frames)
                weights = group.get(place, run.trial, slots=False)
                run.state.end_epoch(loss, scores[place], weights)
            run.timer.add_elapsed(run.state)
            if run.timer.due() and not run.state.should_stop(self._problem.protocol):
                self._save(group, place, run, 0)

    def _settings(self, runs: dict[int, _Run], exists: Arrays) -> Settings:
        """Collects the settings of the trials; places without a trial train on arbitrary values."""
        count, size = len(self._train.lengths), self._size
        update = UPDATES[self._problem.protocol.optimizer]
        rates = np.zeros((4, size), np.float32)
        keys, orders = np.zeros((size, 2), np.uint32), np.zeros((size, count), np.int32)
        updates, visited = np.zeros((2, size), np.int32)
        for place, run in runs.items():
            trial, epoch = run.trial, run.state.epoch + 1
            rates[:, place] = (
                update.rate(trial), trial.momentum, trial.noise_std, trial.ponder_price
            )
            keys[place] = random_streams.noise_key(trial.seed, epoch)
            orders[place] = random_streams.order(self._problem.protocol.order_seed, epoch, count)
            updates[place] = run.state.epoch * count
            visited[place] = run.visited
        rate, momentum, noise, price = rates
        # One program, whether or not the trials are equally far: two might round differently.
        begun = visited if size > 1 else None
        return Settings(rate, momentum, noise, price, keys, orders, updates, begun, exists)

    def _measure(self, group: _Group, split: Split, places: Iterable[int]) -> dict[int, Score]:
        """Measures trials on the validation or test sequences."""
        head = HEADS[self._problem.task.head]
        corpus = self._problem.corpus
        targets = (corpus.validation if split is self._validation else corpus.test).targets
        totals = {place: np.zeros(len(targets)) for place in places}
        if totals:
            for index, logits in group.program.logits(group.weights, split):
                for place, total in totals.items():
                    total[index] = head.score(targets[index], logits[place])
        sizes = np.array([head.size(target) for target in targets])
        return {place: Score.of(total, sizes) for place, total in totals.items()}

    def _end(self, group: _Group, place: int, run: _Run) -> TrialResult:
        """Measures the best weights of a trial on the test set."""
        group.set_weights(place, run.trial, run.state.best_weights)
        score = self._measure(group, self._test, [place])[place]
        grouped, groups = None, self._problem.task.groups
        if groups:
            decided = {
                index: np.argmax(logits[place], axis=-1)
                for index, logits in group.program.logits(group.weights, self._test)
            }
            targets = self._problem.corpus.test.targets
            ordered = [decided[index] for index in range(len(targets))]
            grouped = grouped_error(targets, ordered, groups)
        run.timer.add_elapsed(run.state)
        return run.state.result(run.trial, score, grouped, _ENGINE)

    def _save(self, group: _Group, place: int, run: _Run, visited: int) -> None:
        run.timer.add_elapsed(run.state)
        if run.path is not None:
            arrays = (*group.get(place, run.trial, slots=True), run.losses)
            Checkpoint(run.trial, _ENGINE, run.state, visited, arrays).save(run.path)
        run.timer.reset()
