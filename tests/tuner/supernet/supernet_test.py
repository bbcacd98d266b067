"""Training a supernet: what it moves, what it leaves, and that it is the engine's training."""

from __future__ import annotations

import numpy as np
import pytest

from tests.tuner import tiny
from tuner.supernet import blocks, supernet
from tuner.supernet.space import CellSpace, cell_of, gate_space
from tuner.training.native.engine import Trainer
from tuner.training.protocol import Protocol, Trial
from zoo import gates
from zoo.registry import find_variant, unregister

VALUES = {"units": 5, "learning_rate": 0.02, "momentum": 0.6, "noise_std": 0.3}
PROTOCOL = Protocol(max_epochs=3, patience=3, order_seed=5)
CHILDREN = {cell_of(child).code: child for child in gate_space().children()}


def only(code: str) -> CellSpace:
    """The space of one cell."""
    space, child = gate_space(), CHILDREN[code]
    return CellSpace({name: (one,) for name, one in zip(space.edges, child, strict=True)}, bool)


@pytest.mark.parametrize("code", ["ifo_gh_pr", "ico_h_p", "io_g_r"])
def test_for_one_cell_it_trains_as_the_engine_does(code: str) -> None:
    net = supernet.GateSupernet(tiny.problem(PROTOCOL), VALUES, seed=11)
    trial = Trial(0, find_variant(f"zoo.gates:{code}"), VALUES, seed=11)
    (result,) = Trainer(tiny.problem(PROTOCOL)).train([trial])
    (first,) = Trainer(tiny.problem(Protocol(max_epochs=0, order_seed=5))).train([trial])
    unregister(code)
    blocks.scatter(gates.CELLS[code], first.weights, net.blocks, "own")
    assert result.result.best_epoch == 3
    net.train(only(code), 1)
    net.train(only(code), 2)
    assert net.epochs == 3
    found = blocks.gather(gates.CELLS[code], net.blocks, "own")
    for one, other in zip(found, result.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert net.measure(CHILDREN[code]) == result.result.curve[3].validation


def test_an_update_moves_nothing_else() -> None:
    net = supernet.GateSupernet(tiny.problem(PROTOCOL), VALUES, seed=1)
    net.train(gate_space(), 1)
    used = blocks.names(gates.CELLS["io_gh_p"], "own")
    for name, block in net.blocks.items():
        if name not in used:
            block.reshape(-1)[:] = np.inf
    weights = {name: block.copy() for name, block in net.blocks.items()}
    velocities = {name: block.copy() for name, block in net._velocities.items()}
    net.train(only("io_gh_p"), 1)
    for name in net.blocks:
        moved = not np.array_equal(net.blocks[name], weights[name])
        assert moved == (name in used), name
        assert (not np.array_equal(net._velocities[name], velocities[name])) == moved, name
        assert np.isfinite(net.blocks[name]).all() == (name in used)


def test_a_loss_that_is_not_finite_changes_nothing() -> None:
    net = supernet.GateSupernet(tiny.problem(PROTOCOL), VALUES, seed=1)
    net.blocks["W f"][:] = np.inf
    before = {name: block.copy() for name, block in net.blocks.items()}
    net.train(only("f_h_x"), 1)
    for name, block in net.blocks.items():
        np.testing.assert_array_equal(block, before[name])


def test_all_cells_are_drawn_and_each_seed_draws_its_own() -> None:
    drawn: list[str] = []

    class Noting(supernet.GateSupernet):
        def _update(self, child, *rest):
            drawn.append(cell_of(child).code)

    codes = ("ifo_gh_p", "io_gh_p", "x_gh_x")
    for seed in (1, 2, 1):
        Noting(tiny.problem(PROTOCOL), VALUES, seed=seed).train(gate_space(codes), 100)
    one, two, again = np.array(drawn).reshape(3, -1)
    assert np.array_equal(one, again) and not np.array_equal(one, two)
    counts = [np.sum(one == code) for code in codes]
    # Of 800 draws a third each; ten times in a thousand million it would be off by more.
    assert sum(counts) == 800 and max(abs(count - 800 / 3) for count in counts) < 85


def test_the_vectors_are_the_first_weights_and_those_of_now() -> None:
    net = supernet.GateSupernet(tiny.problem(PROTOCOL), VALUES, seed=1, scheme="shared")
    first, now = net.vectors(CHILDREN["ifo_gh_p"])
    np.testing.assert_array_equal(first, now)
    assert abs(np.std(first) - 0.1) < 0.02 and abs(np.mean(first)) < 0.02
    net.train(only("ifo_g_p"), 1)
    first, now = net.vectors(CHILDREN["ifo_gh_p"])
    # Shared, the cells of other activations have been trained, too.
    assert np.all(first != now)
