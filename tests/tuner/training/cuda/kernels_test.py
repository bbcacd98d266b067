"""The kernels of the engine `cuda` on the emulation: one update, noise, the order of threads."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.tuner.tiny_task import TinyHandwriting, TinySpeech, TinyTask, turned
from tests.tuner.training import gradients
from tests.tuner.training.cuda import emulated
from tests.tuner.training.cuda.emulated import CLUSTER, ONE_BLOCK, STREAMED, Emulation
from tests.zoo import reference as equations
from tuner.tasks.sequences import Sequences
from tuner.tasks.task import Task
from tuner.training import random_streams
from tuner.training.cuda import engine, memory, structures
from tuner.training.cuda.compiler import KERNELS
from tuner.training.cuda.layouts import LAYOUTS, Layout
from tuner.training.protocol import Problem, Protocol, Trial
from zoo.variants import VARIANTS, Variant

pytestmark = emulated.needs_compiler

TASKS = (TinyTask, TinySpeech, TinyHandwriting)

# As many as the layout takes, or fewer and no multiple of 8.
UNITS = {ONE_BLOCK: 5, CLUSTER: 19, STREAMED: 11}


@dataclasses.dataclass(frozen=True)
class Updated:
    """A trial after some visits.

    Attributes:
        run: the trial in the emulation's memory.
        backend: that memory.
    """

    run: engine._Run
    backend: Emulation

    def array(self, name: str, count: int, dtype: type = np.float32) -> np.ndarray:
        return self.run._read(name, count, dtype)

    def weights(self, name: str) -> tuple[np.ndarray, ...]:
        return self.run._read_weights(name)

    @property
    def control(self) -> structures.Control:
        size = structures.DEFINITIONS["CONTROL_BYTES"]
        return structures.Control.from_buffer(self.array("control", size, np.uint8))


def train(
    layout: Layout,
    task: Task,
    variant: Variant,
    units: int,
    sequence: Sequences,
    noise: float = 0.0,
    visits: int = 1,
    std: float = 0.4,
    **options: object,
) -> Updated:
    """Trains on one sequence again and again, without momentum and with rate 1.

    After an update the velocities are then minus the gradient.
    """
    corpus = dataclasses.replace(task.load("a"), train=sequence, validation=sequence)
    problem = Problem(task, corpus, Protocol(weight_std=std))
    values = {"units": units, "learning_rate": 1.0, "momentum": 0.0, "noise_std": noise}
    trial = Trial(0, "V", values, seed=5)
    backend = Emulation(layout, **options)
    header = memory.upload_problem(problem, backend)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "switches", lambda code: variant)
        run = engine._Run(
            problem, memory.Sizes.of(problem), backend, header, trial, None, 0.0
        )  # fmt: skip
    # The untrained network is measured first.
    backend.launch(layout, run.shared_bytes, [run.address], 1 + visits, 0)
    backend.check()
    return Updated(run, backend)


def one(task: Task, length: int | None = None) -> Sequences:
    """A training sequence of the task, or its first frames."""
    split = task.load("a").train
    inputs, targets = split.inputs[1], split.targets[1]
    if length:
        inputs = inputs[:length]
        targets = targets[: 1 if task.head == "ctc" else length]
    return Sequences((inputs,), (targets,))


def check_update(
    layout: Layout, task: Task, variant: Variant, units: int, std: float = 0.4
) -> None:
    sequence = one(task)
    updated = train(layout, task, variant, units, sequence, std=std)
    found = [-velocity for velocity in updated.weights("velocities")]
    moved = updated.weights("weights")
    # That is where they began: the best weights are still the untrained network's.
    weights = updated.weights("best")
    for before, after, gradient in zip(weights, moved, found, strict=True):
        np.testing.assert_allclose(after, before - gradient, atol=3e-6, rtol=1e-6)
    (loss,) = updated.array("losses", 1, np.float64)
    gradients.check(task, variant, sequence, weights, loss, found, directions=1)
    # Padding has neither weights nor velocities.
    for name in ("weights", "velocities"):
        packed = updated.array(name, updated.run.network.floats)
        unpacked = updated.run.network.unpack(packed)
        assert np.count_nonzero(packed) <= sum(part.size for part in unpacked)


def fits(layout: Layout, code: str) -> bool:
    return layout.streamed or (layout.states == 4) == VARIANTS[code].gate_recurrence


CASES = [
    (layout, code, task, bidirectional)
    for layout in (ONE_BLOCK, CLUSTER, STREAMED)
    for code in equations.CODES
    if fits(layout, code)
    for task in TASKS
    for bidirectional in (False, True)
    # Every variant, head and direction once; a cluster knows nothing of heads.
    if layout is not CLUSTER or (code in ("V", "CIFG") and task is TinyTask)
]


@pytest.mark.parametrize(
    ("layout", "code", "task", "bidirectional"),
    CASES,
    ids=lambda value: getattr(value, "name", None),
)
def test_one_update_is_that_of_the_equations(
    layout: Layout, code: str, task: type[Task], bidirectional: bool
) -> None:
    check_update(layout, turned(task, bidirectional), VARIANTS[code], UNITS[layout])


SWITCHES = [
    Variant("a", "a", input_gate=False, peepholes=False, gate_recurrence=True),
    Variant("b", "b", forget_gate=False, coupled=True, gate_recurrence=True),
    Variant("c", "c", output_gate=False, input_activation=False, gate_recurrence=True),
    Variant("d", "d", False, False, False, False, True, True, True, True),
]


@pytest.mark.parametrize("variant", SWITCHES, ids=lambda variant: variant.code)
@pytest.mark.parametrize("layout", [ONE_BLOCK, STREAMED], ids=lambda layout: layout.name)
def test_one_update_of_other_combinations_of_switches(layout: Layout, variant: Variant) -> None:
    # Without gates and activations nothing bounds the block output.
    check_update(layout, turned(TinyTask, True), variant, UNITS[layout], std=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("fewer", [0, 3])
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_one_update_of_every_layout(layout: Layout, fewer: int) -> None:
    code = "FGR" if layout.states == 4 else "V"
    units = (40 if layout.streamed else layout.units) - fewer
    for task in TASKS:
        check_update(layout, turned(task, task is not TinySpeech), VARIANTS[code], units)


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
@pytest.mark.parametrize("layout", [ONE_BLOCK, STREAMED], ids=lambda layout: layout.name)
def test_the_shortest_sequences(layout: Layout, task: type[Task], length: int) -> None:
    chosen, variant = turned(task, True), VARIANTS["FGR"]
    sequence = one(chosen, length)
    updated = train(layout, chosen, variant, 5, sequence)
    found = [-velocity for velocity in updated.weights("velocities")]
    (loss,) = updated.array("losses", 1, np.float64)
    gradients.check(chosen, variant, sequence, updated.weights("best"), loss, found, directions=1)


def test_more_frames_than_a_chunk_of_the_gradient_has() -> None:
    generator = np.random.default_rng(1)
    sequence = Sequences(
        (generator.normal(size=(37, 5)).astype(np.float32),),
        (generator.integers(2, size=(37, 5)).astype(np.float32),),
    )
    task = turned(TinyTask, True)
    updated = train(STREAMED, task, VARIANTS["V"], 11, sequence)
    found = [-velocity for velocity in updated.weights("velocities")]
    (loss,) = updated.array("losses", 1, np.float64)
    gradients.check(task, VARIANTS["V"], sequence, updated.weights("best"), loss, found)


def test_the_noise_is_that_of_the_random_streams_bit_for_bit() -> None:
    task = TinyTask()
    sequence = one(task)
    updated = train(STREAMED, task, VARIANTS["V"], 11, sequence, noise=0.3)
    (drawn,) = random_streams.noise(5, 1, [sequence.inputs[0].shape], 0)
    frames, row = sequence.frames, updated.run._sizes.input_row
    rows = updated.array("inputs", (frames + memory.INPUT_MARGIN) * row).reshape(-1, row)
    found = rows[memory.INPUT_MARGIN :]
    np.testing.assert_array_equal(
        found[:, :5], sequence.inputs[0] + np.float32(0.3) * drawn, strict=True
    )
    np.testing.assert_array_equal(found[:, 5], np.ones(frames))
    assert not found[:, 6:].any()


def outcome(layout: Layout, order: int, sources: Path = KERNELS) -> Sequence[np.ndarray]:
    code = "FGR" if layout.states == 4 else "V"
    task = turned(TinyHandwriting, True)
    updated = train(
        layout, task, VARIANTS[code], UNITS[layout], one(task), noise=0.1, visits=3, order=order,
        sources=sources,
    )  # fmt: skip
    return (*updated.weights("weights"), *updated.weights("velocities"))


@pytest.mark.parametrize("layout", UNITS, ids=lambda layout: layout.name)
def test_the_order_of_threads_changes_nothing(layout: Layout) -> None:
    """Between barriers any thread may be ahead: upward, downward, or mixed."""
    expected = outcome(layout, order=0)
    for order in (1, 2, 3):
        for found, numbers in zip(outcome(layout, order), expected, strict=True):
            np.testing.assert_array_equal(found, numbers)


@pytest.mark.parametrize(
    ("file", "line", "layout"),
    [
        # A prototype had this one: a thread wrote deltas over gates that another had still to read.
        (
            "in_registers.cuh",
            "  sync_block();  // All have read the last step's gates before its deltas take their",
            ONE_BLOCK,
        ),
        pytest.param(
            "products.cuh",
            "        sync_block();  // All have read this chunk before another takes its place.",
            STREAMED,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_missing_barrier_is_noticed(file: str, line: str, layout: Layout, tmp_path: Path) -> None:
    sources = shutil.copytree(KERNELS, tmp_path / "kernels")
    text = (sources / file).read_text()
    assert text.count(line) == 1
    (sources / file).write_text(text.replace(line, line.replace("sync_block();", "")))
    found = [outcome(layout, order, sources) for order in (0, 1, 2, 3)]
    assert any(
        not np.array_equal(one, other)
        for others in found[1:]
        for one, other in zip(found[0], others, strict=True)
    )
