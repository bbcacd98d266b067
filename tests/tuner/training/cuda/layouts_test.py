"""The table of kernels."""

from __future__ import annotations

import numpy as np
import pytest

from tests.tuner.tiny import problem
from tuner.training.cuda import memory
from tuner.training.cuda.layouts import LANES, LAYOUTS, MAX_UNITS, Layout, choose
from zoo.variants import VARIANTS

# Of the devices with the least: registers of a multiprocessor, shared memory of a block.
REGISTERS, SHARED_BYTES = 2**16, 99 * 2**10


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_a_layout_fits_into_a_multiprocessor(layout: Layout) -> None:
    assert layout.threads <= 1024 and layout.blocks <= 8
    if not layout.streamed:
        # Weights of four gates, and something to compute with.
        assert layout.residents * layout.threads * 4 * layout.rows < 0.8 * REGISTERS
        # Warps come to registers by fours.
        warps = -(-layout.threads // 128) * 4
        assert REGISTERS // (layout.residents * warps * 32) >= min(4 * layout.rows + 30, 255)
    for units in (1, 200, min(layout.units, MAX_UNITS)):
        if units <= layout.units:
            assert layout.shared_bytes(units, layout.states == 4) < SHARED_BYTES


def test_every_network_has_a_layout() -> None:
    for capability in ((8, 0), (8, 9), (9, 0), (10, 0), (12, 0)):
        for gate_recurrence in (False, True):
            chosen = [choose(units, gate_recurrence, capability) for units in range(1, 513)]
            for units, layout in enumerate(chosen, 1):
                assert layout.units >= units and layout.padded(units) % LANES == 0
                assert layout.blocks == 1 or capability >= (9, 0)
                assert layout.streamed or (layout.states == 4) == gate_recurrence
    assert {choose(units, False, (9, 0)).streamed for units in (1, 20, 200, 256)} == {False}
    with pytest.raises(ValueError, match="at most 2048 units"):
        choose(MAX_UNITS + 1, False, (9, 0))


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=lambda variant: variant.code)
def test_weights_come_back_as_they_went(variant: object) -> None:
    for layout in (choose(19, variant.gate_recurrence, (9, 0)), LAYOUTS[-1]):
        network = memory.Network(memory.Sizes.of(problem()), variant, 19, layout)
        generator = np.random.default_rng(1)
        weights = tuple(generator.normal(size=shape) for shape in network.shapes)
        packed = network.pack(weights)
        assert np.count_nonzero(packed) == network.size == sum(part.size for part in weights)
        for found, expected in zip(network.unpack(packed), weights, strict=True):
            np.testing.assert_array_equal(found, expected.astype(np.float32), strict=True)
