"""The engine `cuda` on the emulation, against the native engine and against itself."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from tests.tuner import numpy_protocol, tiny
from tests.tuner.tiny import TRIAL, changed, train_one
from tests.tuner.tiny_task import TinyHandwriting, TinySpeech, TinyTask, turned
from tests.tuner.training.cuda import emulated
from tests.tuner.training.cuda.emulated import CLUSTER, ONE_BLOCK, STREAMED, Emulation
from tests.zoo import reference as equations
from tuner.tasks.sequences import Sequences
from tuner.tasks.task import Corpus, Task
from tuner.training import keras_engine
from tuner.training.cuda import engine, memory
from tuner.training.cuda.backend import OutOfMemory
from tuner.training.cuda.layouts import Layout
from tuner.training.native import engine as native
from tuner.training.protocol import Problem, Protocol, Trial
from tuner.training.trial_state import Checkpoint
from zoo.variants import VARIANTS

pytestmark = emulated.needs_compiler

TASKS = (TinyTask, TinySpeech, TinyHandwriting)

cuda_one = functools.partial(train_one, trainer=emulated.trainer(STREAMED))
"""Trains one trial on the emulation."""


CASES = [
    pytest.param(
        layout,
        variant,
        task,
        bidirectional,
        # Every variant, head and direction; their combinations make one update in kernels_test.
        marks=[]
        if (row % 3, row % 2 == 0) == (column, bidirectional)
        or (variant, layout) == ("V", STREAMED)
        else [pytest.mark.slow],
    )
    for row, variant in enumerate(equations.CODES)
    for column, task in enumerate(TASKS)
    for bidirectional in (False, True)
    for layout in (ONE_BLOCK if variant == "FGR" else CLUSTER, STREAMED)
]


@pytest.mark.parametrize(
    ("layout", "variant", "task", "bidirectional"),
    CASES,
    ids=lambda value: getattr(value, "name", None),
)
def test_two_epochs_are_those_of_the_native_engine(
    layout: Layout, variant: str, task: type[Task], bidirectional: bool
) -> None:
    chosen = turned(task, bidirectional)
    units = {ONE_BLOCK: 5, CLUSTER: 19, STREAMED: 11}[layout]
    trial = dataclasses.replace(changed(units=units, learning_rate=0.1), variant=variant)
    protocol = Protocol(max_epochs=2, patience=5, order_seed=5)
    ours = train_one(trial, protocol, chosen, emulated.trainer(layout))
    tiny.check_equal(ours, train_one(trial, protocol, chosen, native.Trainer))
    assert ours.result.engine == "cuda"
    # It has learned something that could have been different.
    assert ours.result.curve[2].loss < 0.99 * ours.result.curve[1].loss
    assert (ours.result.test_grouped is None) == (task is not TinySpeech)


def test_it_stops_when_the_native_engine_stops() -> None:
    """So high a rate that validation gets worse again: the best epoch is neither first nor last."""
    trial = changed(learning_rate=0.6, momentum=0.9, units=8)
    protocol = Protocol(max_epochs=40, patience=3, order_seed=5)
    ours = cuda_one(trial, protocol)
    result = ours.result
    # Rounding grows, but slowly enough to stop at the same epoch.
    tiny.check_equal(ours, train_one(trial, protocol, trainer=native.Trainer), 1e-3)
    assert 0 < result.best_epoch == len(result.curve) - 1 - 3 < 37

    task = TinyTask()
    point = numpy_protocol.named(task, "V", 8, ours.weights)
    corpus = task.load("a")
    for score, split in ((result.test, corpus.test), (result.validation, corpus.validation)):
        mean, sequence_mean = numpy_protocol.score(task, "V", point, split)
        assert score.mean == pytest.approx(mean, rel=1e-6)
        assert score.sequence_mean == pytest.approx(sequence_mean, rel=1e-6)


@pytest.mark.parametrize("task", TASKS)
def test_a_diverging_trial_ends_with_finite_scores(task: type[Task]) -> None:
    tiny.check_divergence(cuda_one, task())


@pytest.mark.filterwarnings("ignore:overflow")
def test_an_untrained_network_may_not_be_finite() -> None:
    trial = dataclasses.replace(changed(units=8), variant="NIAF")
    huge = Protocol(max_epochs=2, weight_std=3e38)
    ours, theirs = (
        train_one(trial, huge, trainer=trainer)
        for trainer in (emulated.trainer(STREAMED), native.Trainer)
    )
    assert ours.result.diverged and len(ours.result.curve) == 1
    assert ours.result.not_finite and theirs.result.not_finite


class Edges(TinyTask):
    """Sequences of one frame, and of odd lengths."""

    def load(self, data: str) -> Corpus:
        corpus = super().load(data)
        lengths = (1, 3, 1, 9, 7)

        def cut(split: Sequences) -> Sequences:
            pairs = zip(split.inputs, split.targets, lengths, strict=False)
            inputs, targets = zip(*((x[:n], y[:n]) for x, y, n in pairs), strict=True)
            return Sequences(inputs, targets)

        splits = (corpus.train, corpus.validation, corpus.test)
        return Corpus(corpus.dataset, *map(cut, splits))


@pytest.mark.parametrize("layout", [CLUSTER, STREAMED], ids=lambda layout: layout.name)
def test_sequences_of_one_frame(layout: Layout) -> None:
    ours, theirs = (
        train_one(changed(units=6), task=Edges(), trainer=trainer)
        for trainer in (emulated.trainer(layout), native.Trainer)
    )
    tiny.check_equal(ours, theirs)


def trials(count: int) -> list[Trial]:
    return [
        dataclasses.replace(changed(units=3 + index), index=index, seed=index)
        for index in range(count)
    ]


def test_neighbors_and_launches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """More trials than the device takes, all at once, in launches of a few sequences."""
    alone = {trial: cuda_one(trial) for trial in trials(5)}
    monkeypatch.setattr(engine, "_VISITS", 4)
    backend = Emulation(STREAMED)
    taken: list[int] = []
    epochs: list[tuple[int, int]] = []

    def source() -> Iterator[Trial]:
        for trial in trials(5):
            taken.append(trial.index)
            yield trial

    ended = 0
    for result in engine.Trainer(tiny.problem(), backend).train(
        source(), on_epoch_end=lambda trial, state: epochs.append((trial.index, state.epoch))
    ):
        # No more than the device takes before there is a result.
        assert len(taken) <= backend.capacity + ended
        ended += 1
        whole = alone[result.trial]
        assert dataclasses.replace(result.result, seconds=0) == dataclasses.replace(
            whole.result, seconds=0
        )
        for one, other in zip(result.weights, whole.weights, strict=True):
            np.testing.assert_array_equal(one, other)
    assert ended == 5 and backend.launches > 20
    # Each epoch of each trial is reported, those of several trials in turns.
    assert sorted(epochs) == [(index, epoch) for index in range(5) for epoch in (1, 2, 3)]
    assert epochs != sorted(epochs)
    backend.check()


def test_an_interrupted_trial_goes_on_bit_for_bit(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dies right after a checkpoint: in epoch 1, while it is measured, in epoch 2."""
    whole = cuda_one()
    monkeypatch.setattr(engine, "_VISITS", 1)
    tiny.check_going_on(cuda_one, whole, tmp_path / "checkpoint.npz", [4, 10, 17])


def test_the_best_epoch_may_be_before_an_interruption(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = changed(learning_rate=0.6, momentum=0.9, units=8)
    train = functools.partial(cuda_one, trial, Protocol(max_epochs=40, patience=2, order_seed=5))
    whole = train()
    assert 0 < whole.result.best_epoch < 38
    monkeypatch.setattr(engine, "_VISITS", 11)  # An epoch: 8 sequences, and 3 that are measured.
    tiny.check_going_on(train, whole, tmp_path / "best.npz", [whole.result.best_epoch + 2])


def test_a_checkpoint_of_another_layout_is_gone_on_from(tmp_path: pathlib.Path) -> None:
    """Checkpoints know nothing of padding: a study may move to another device."""
    path = tmp_path / "checkpoint.npz"
    options = {"checkpoint_path": lambda trial: path, "checkpoint_seconds": 0.0}
    with pytest.MonkeyPatch.context() as patch, tiny.killed_after(12):
        patch.setattr(engine, "_VISITS", 1)
        cuda_one(**options)
    assert Checkpoint.load(path, TRIAL, "cuda").state.epoch == 1
    assert Checkpoint.load(path, TRIAL, "native") is None
    moved = train_one(trainer=emulated.trainer(CLUSTER), **options)
    tiny.check_equal(moved, cuda_one())


def sizes_of_one() -> tuple[int, int]:
    """Bytes that the problem takes, and a trial."""
    backend = Emulation(STREAMED)
    free = backend.free_bytes
    trainer = engine.Trainer(tiny.problem(), backend)
    network = memory.Network(trainer._sizes, VARIANTS["V"], TRIAL.units, STREAMED)
    return free - backend.free_bytes, memory.places_of(network.arrays())[1]


def test_a_trial_waits_until_there_is_memory() -> None:
    shared, each = sizes_of_one()
    seeds = [dataclasses.replace(TRIAL, index=index, seed=index) for index in range(3)]
    expected = {trial: cuda_one(trial).result.curve for trial in seeds}
    backend = Emulation(STREAMED, size=shared + 2 * each)
    found = {r.trial: r.result.curve for r in engine.Trainer(tiny.problem(), backend).train(seeds)}
    assert found == expected


def test_a_trial_without_any_place_is_an_error() -> None:
    shared, each = sizes_of_one()
    backend = Emulation(STREAMED, size=shared + each - 1)
    with pytest.raises(OutOfMemory):
        list(engine.Trainer(tiny.problem(), backend).train([TRIAL]))


@pytest.mark.slow
@pytest.mark.parametrize("trainer", [keras_engine.Trainer, native.Trainer])
def test_ten_epochs_of_a_cluster_are_those_of_the_other_engines(
    trainer: Callable[[Problem], object],
) -> None:
    trial = dataclasses.replace(changed(units=21), variant="CIFG")
    protocol = Protocol(max_epochs=10, patience=10, order_seed=5)
    ours = train_one(trial, protocol, trainer=emulated.trainer(CLUSTER))
    tiny.check_equal(ours, train_one(trial, protocol, trainer=trainer), 1e-5)
