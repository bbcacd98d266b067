"""Engine `cuda`: trains as many trials at once as the device has room for, the largest first."""

from __future__ import annotations

import ctypes
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tuner.tasks.heads import grouped_error
from tuner.training import random_streams
from tuner.training.cuda import memory, structures
from tuner.training.cuda.backend import Backend, OutOfMemory
from tuner.training.initialization import initial_weights
from tuner.training.protocol import Problem, Score, Trial, TrialResult
from tuner.training.trial_state import (
    CHECKPOINT_SECONDS,
    Checkpoint,
    CheckpointPath,
    CheckpointTimer,
    OnEpochEnd,
    TrialState,
    no_checkpoint,
)
from zoo.registry import switches

_ENGINE = "cuda"
"""The engine's name in ledgers and checkpoints."""

# A launch ends after this many sequences per trial or after this time; then the host catches up.
_VISITS = 2**31 - 1
_NANOSECONDS = 250_000_000

# Maximum number of launches at a time: the host has no more connections to a device.
_LAUNCHES = 32
_POLL_SECONDS = 0.005

# Shares of the device do not add up exactly.
_ROUNDING = 1e-9


class _Run:
    """A trial on the device, from its first launch to its result."""

    def __init__(
        self,
        problem: Problem,
        sizes: memory.Sizes,
        backend: Backend,
        problem_address: int,
        trial: Trial,
        path: Path | None,
        checkpoint_seconds: float,
    ) -> None:
        """Copies a trial to the device, from its checkpoint if it has one.

        Raises:
            OutOfMemory: if the device has no room for it now.
        """
        variant = switches(trial.variant)
        assert variant is not None, "the engine was chosen for it"
        self.trial, self._checkpoint_seconds = trial, checkpoint_seconds
        self._timer: CheckpointTimer | None = None
        self.layout = backend.layout(trial.units, variant.gate_recurrence)
        self.network = memory.Network(sizes, variant, trial.units, self.layout)
        self.shared_bytes = structures.SHARED_HEADER + self.layout.shared_bytes(
            trial.units, variant.gate_recurrence
        )
        self.state: TrialState | None = None
        self.cycles: list[int] = []
        self._problem, self._sizes, self._backend, self._path = problem, sizes, backend, path
        self._problem_address = problem_address
        self._places, size = memory.places_of(self.network.arrays())
        self.address = backend.allocate(size)
        self._write_header()
        self._begin(Checkpoint.load(path, trial, _ENGINE))

    def _write_header(self) -> None:
        trial, network = self.trial, self.network
        header = structures.TrialHeader()
        for name, place in self._places.items():
            if name != "header":
                setattr(header, name, self.address + place)
        header.problem = self._problem_address
        header.inputs += 4 * memory.INPUT_MARGIN * self._sizes.input_row
        if not self._sizes.test_frames:
            header.classes = 0
        header.rate = trial.learning_rate * (1.0 - trial.momentum)
        header.momentum, header.noise = trial.momentum, trial.noise_std
        header.units, header.padded = network.units, network.padded
        header.switches, header.max_frames = network.switches, self._sizes.max_frames
        self._write("header", structures.bytes_of(header))
        epochs = range(1, self._sizes.max_epochs + 1)
        keys = [random_streams.noise_key(trial.seed, epoch) for epoch in epochs]
        self._write("keys", np.array(keys, np.uint32))

    def _begin(self, checkpoint: Checkpoint | None) -> None:
        network, control = self.network, structures.Control(phase=structures.VALIDATE)
        if checkpoint is None:
            drawn = initial_weights(
                self.trial, network.shapes, self._problem.task, self._problem.protocol
            )
            weights, velocities = network.pack(drawn), np.zeros(network.floats, np.float32)
        else:
            self.state = state = checkpoint.state
            *arrays, losses = checkpoint.engine_state
            count = len(network.shapes)
            weights = network.pack(tuple(arrays[:count]))
            velocities = network.pack(tuple(arrays[count:]))
            self._write("losses", losses)
            self._write("best", network.pack(state.best_weights))
            control.best, control.best_epoch = state.best_score.mean, state.best_epoch
            control.finished, control.epoch = len(state.curve), state.epoch + 1
            if checkpoint.visited < self._sizes.train:
                control.phase, control.position = structures.TRAIN, checkpoint.visited
        self._write("weights", weights)
        self._write("velocities", velocities)
        self._write("output_transposed", network.output_transposed(weights))
        self._write("control", structures.bytes_of(control))

    def _write(self, name: str, array: np.ndarray) -> None:
        self._backend.write(self.address + self._places[name], np.ascontiguousarray(array))

    def _read(self, name: str, count: int, dtype: type[np.generic] = np.float32) -> np.ndarray:
        array = np.zeros(count, dtype)
        self._backend.read(self.address + self._places[name], array)
        return array

    def _read_weights(self, name: str) -> tuple[np.ndarray, ...]:
        return self.network.unpack(self._read(name, self.network.floats))

    @property
    def timer(self) -> CheckpointTimer:
        """The timer of the trial, which starts with its first launch."""
        if self._timer is None:
            self._timer = CheckpointTimer(self._checkpoint_seconds)
        return self._timer

    def launched(self) -> int:
        """Starts the timer if the trial is launched for the first time; returns its address."""
        _ = self.timer
        return self.address

    def follow(self, on_epoch_end: OnEpochEnd) -> bool:
        """Reads the results of the last launch; returns True if the trial is done."""
        control = structures.Control.from_buffer_copy(
            self._read("control", ctypes.sizeof(structures.Control), np.uint8).tobytes()
        )
        self.cycles = list(control.cycles)
        known = len(self.state.curve) if self.state else 0
        records = self._read("epochs", 3 * control.finished, np.float64).reshape(-1, 3)
        for loss, *means in records[known:].tolist():
            if self.state is None:
                self.state = TrialState.begin(Score(*means), ())
            else:
                self.state.end_epoch(loss, Score(*means), ())
                self._report(on_epoch_end)
        if self.state is None:
            return False
        # An untrained network whose scores are not finite is not reported as an epoch.
        if control.diverged and not self.state.diverged:
            self.state.diverged = True
            self._report(on_epoch_end)
        if control.phase in (structures.TRAIN, structures.VALIDATE) and self.timer.due():
            self._save(control)
        return bool(control.phase == structures.DONE)

    def _report(self, on_epoch_end: OnEpochEnd) -> None:
        assert self.state is not None
        self.timer.add_elapsed(self.state)
        on_epoch_end(self.trial, self.state)

    def _save(self, control: structures.Control) -> None:
        assert self.state is not None
        self.timer.add_elapsed(self.state)
        if self._path is not None:
            self.state.best_weights = self._read_weights("best")
            arrays = (
                *self._read_weights("weights"),
                *self._read_weights("velocities"),
                self._read("losses", self._sizes.train, np.float64),
            )
            trained = control.phase == structures.VALIDATE
            visited = self._sizes.train if trained else control.position
            Checkpoint(self.trial, _ENGINE, self.state, visited, arrays).save(self._path)
        self.timer.reset()

    def result(self) -> TrialResult:
        """Makes the result of a trial that is done."""
        assert self.state is not None
        task, split = self._problem.task, self._problem.corpus.test
        self.state.best_weights = self._read_weights("best")
        scores = self._read("scores", len(split), np.float64)
        counts = np.array([len(target) for target in split.targets])
        grouped = None
        if task.groups:
            classes = self._read("classes", split.frames, np.int32)
            grouped = grouped_error(split.targets, [classes], task.groups)
        self.timer.add_elapsed(self.state)
        return self.state.result(self.trial, Score.of(scores, counts), grouped, _ENGINE)

    def leave(self) -> None:
        """Frees the trial's memory."""
        self._backend.free(self.address)


class Trainer:
    """Trains many trials at a time on a GPU; a `tuner.training.engines.Trainer`.

    The results are those of the engine `native`, up to rounding; they depend neither on the trials
    that are trained at the same time nor on interruptions.

    Attributes:
        cycles: device cycles of all trials that have ended, by part of the work.

    Args:
        problem: task, data and rules.
        backend: the device; by default the first NVIDIA GPU that no other worker has taken.
    """

    def __init__(self, problem: Problem, backend: Backend | None = None) -> None:
        if backend is None:
            from tuner.training.cuda.device_backend import take_device

            backend = take_device()
        self._problem, self._backend = problem, backend
        self._sizes = memory.Sizes.of(problem)
        self._header = memory.upload_problem(problem, backend)
        self.cycles = dict.fromkeys(structures.PARTS, 0)

    def train(
        self,
        trials: Iterable[Trial],
        *,
        checkpoint_path: CheckpointPath = no_checkpoint,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        on_epoch_end: OnEpochEnd = lambda trial, state: None,
    ) -> Iterator[TrialResult]:
        """Trains trials; see `tuner.training.engines.Trainer.train`."""
        source = iter(trials)
        idle: list[_Run] = []
        underway: list[tuple[Any, list[_Run], float]] = []
        # Taken from `trials`, but not yet placed on the device.
        waiting: Trial | None = None
        more = True
        while True:
            while (more or waiting) and self._count(idle, underway) < self._backend.capacity:
                waiting = waiting or next(source, None)
                if waiting is None:
                    more = False
                    break
                try:
                    path = checkpoint_path(waiting)
                    run = _Run(
                        self._problem, self._sizes, self._backend, self._header, waiting, path,
                        checkpoint_seconds,
                    )  # fmt: skip
                except OutOfMemory:
                    if not idle and not underway:
                        raise OutOfMemory(
                            f"the GPU has no memory for a trial of {waiting.units} units"
                        ) from None
                    break
                waiting = None
                idle.append(run)
            if not idle and not underway:
                return
            if len(underway) < _LAUNCHES:
                underway += self._launch(idle, 1.0 - sum(share for *_, share in underway))
            ended = [launch for launch in underway if self._backend.finished(launch[0])]
            if not ended:
                time.sleep(_POLL_SECONDS)
            for launch in ended:
                underway.remove(launch)
                for run in launch[1]:
                    if run.follow(on_epoch_end):
                        result = run.result()
                        run.leave()
                        for part, cycles in zip(structures.PARTS, run.cycles, strict=True):
                            self.cycles[part] += cycles
                        yield result
                    else:
                        idle.append(run)

    @staticmethod
    def _count(idle: list[_Run], underway: list[tuple[Any, list[_Run], float]]) -> int:
        return len(idle) + sum(len(runs) for _, runs, _ in underway)

    def _launch(self, idle: list[_Run], free: float) -> Iterator[tuple[Any, list[_Run], float]]:
        """Launches as many idle trials as the device has room for, the largest first."""
        chosen: dict[tuple[Any, int], list[_Run]] = defaultdict(list)
        shares: dict[tuple[Any, int], float] = defaultdict(float)
        for run in sorted(idle, key=lambda run: -run.network.size):
            if not self._backend.ready(run.layout):
                continue
            share = self._backend.share(run.layout, run.shared_bytes)
            # The device accepts at least one trial, however large.
            if share <= free + _ROUNDING or free == 1.0:
                free -= share
                kernel = (run.layout, run.shared_bytes)
                chosen[kernel].append(run)
                shares[kernel] += share
        for (layout, shared_bytes), runs in chosen.items():
            for run in runs:
                idle.remove(run)
            launch = self._backend.launch(
                layout,
                shared_bytes,
                [run.launched() for run in runs],
                _VISITS,
                _NANOSECONDS,
            )
            yield launch, runs, shares[layout, shared_bytes]
