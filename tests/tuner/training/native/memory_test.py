"""Weights in the engine's memory and in Keras' order."""

from __future__ import annotations

import numpy as np
import pytest

from tests.tuner import numpy_protocol
from tests.tuner.tiny_task import TinyHandwriting, TinySpeech, TinyTask
from tests.zoo import reference as equations
from tuner.tasks.task import Task
from tuner.training.native import memory
from tuner.training.native.simd.vectors import LANES
from zoo.variants import VARIANTS


@pytest.mark.parametrize("variant", equations.CODES)
@pytest.mark.parametrize(
    ("units", "task"), [(3, TinyTask()), (LANES, TinySpeech()), (20, TinySpeech())]
)
def test_weights_come_back_from_the_engines_memory(variant: str, units: int, task: Task) -> None:
    shape = memory.shape_of(task, VARIANTS[variant], units)
    sizes = memory.keras_shapes(shape)
    assert sizes == list(numpy_protocol.weight_shapes(task, variant, units).values())
    # All numbers differ, and none is zero.
    starts = np.cumsum([0, *(int(np.prod(size)) for size in sizes)])
    weights = [
        np.arange(start + 1, start + 1 + np.prod(size), dtype=np.float32).reshape(size)
        for start, size in zip(starts[:-1], sizes, strict=True)
    ]
    parameters = memory.pack(shape, weights)
    for found, expected in zip(memory.unpack(shape, parameters), weights, strict=True):
        np.testing.assert_array_equal(found, expected)
    before = memory.unpack(shape, parameters)
    for part in parameters:
        part *= 2
    for found, expected in zip(before, weights, strict=True):
        np.testing.assert_array_equal(found, expected)
    # What is not a weight is zero.
    assert sum(int(np.count_nonzero(part)) for part in parameters) == starts[-1]
    for part in parameters:
        assert part.size == 0 or part.ctypes.data % 64 == 0


def test_rows_do_not_share_places_of_the_cache() -> None:
    for units in range(1, 260):
        shape = memory.shape_of(TinyTask(), VARIANTS["V"], units)
        assert shape.row >= 4 * shape.width and shape.row % 32 == 16


def _bytes(value: object) -> int:
    """Counts the bytes of the arrays in nested tuples."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    return sum(map(_bytes, value)) if isinstance(value, tuple) else 0


@pytest.mark.parametrize("task", [TinyTask(), TinySpeech(), TinyHandwriting()])
@pytest.mark.parametrize("variant", ["V", "FGR"])
def test_memory_grows_in_proportion_to_the_frames(task: Task, variant: str) -> None:
    shape = memory.shape_of(task, VARIANTS[variant], units=20)
    once, twice = (_bytes(memory.allocate(shape, frames, 30)) for frames in (750, 1500))
    assert 1.8 * once < twice <= 2 * once
