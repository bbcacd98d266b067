"""Which weights cells share, and that a cell of the supernet is the cell of the zoo."""

from __future__ import annotations

import numpy as np
import pytest

from tests.tuner.training import gradients
from tuner.supernet import blocks
from tuner.supernet.space import CellSpace, cell_of, gate_space
from zoo import gates
from zoo.variants import VARIANTS

INPUTS, UNITS, OUTPUTS = 3, 4, 2
CHILDREN = gate_space().children()


def made(seed: int = 1) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    shapes = blocks.shapes(INPUTS, UNITS, OUTPUTS)
    return {name: random.normal(0, 0.5, shape) for name, shape in shapes.items()}


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def hidden(edges: tuple[str, ...], held: dict[str, np.ndarray], own: bool, inputs: np.ndarray):
    """Runs a cell step by step, straight from the named blocks and the edges' operators."""
    i, f, o, g, h, p, r = edges
    mark_i = "i'" if own and f == "coupled" else "i"
    mark_z = "z'" if own and g == "identity" else "z"
    present = {"i": i == "gate", "f": f == "gate", "o": o == "gate"}
    owners = {"i": mark_i, "f": "f", "o": "o"}
    before = {gate: np.zeros(UNITS) for gate in "ifo"}
    state, cell, found = np.zeros(UNITS), np.zeros(UNITS), []
    for x in inputs:

        def net(owner: str, x: np.ndarray = x, state: np.ndarray = state) -> np.ndarray:
            return x @ held[f"W {owner}"] + state @ held[f"R {owner}"] + held[f"b {owner}"]

        def gate(name: str, seen: np.ndarray, before: dict = before, net=net) -> np.ndarray:
            if not present[name]:
                return np.ones(UNITS)
            total = net(owners[name])
            if p == "diagonal":
                total = total + held[f"p {owners[name]}"] * seen
            if r == "full":
                for other in "ifo":
                    if present[other]:
                        total = total + before[other] @ held[f"R {other}{name}"]
            return sigmoid(total)

        z = net(mark_z)
        z = np.tanh(z) if g == "tanh" else z
        now = {"i": gate("i", cell), "f": gate("f", cell)}
        if f == "coupled":
            now["f"] = 1 - now["i"]
        cell = z * now["i"] + cell * now["f"]
        now["o"] = gate("o", cell)
        state = (np.tanh(cell) if h == "tanh" else cell) * now["o"]
        before = {name: now[name] for name in "ifo"}
        found.append(state)
    return np.array(found)


@pytest.mark.parametrize("scheme", blocks.SCHEMES)
def test_a_cell_of_the_supernet_is_that_of_the_zoo(scheme: blocks.Scheme) -> None:
    held = made()
    inputs = np.random.default_rng(2).normal(size=(5, INPUTS))
    for child in CHILDREN:
        cell = cell_of(child)
        arrays = blocks.gather(cell, held, scheme)
        expected = hidden(child, held, scheme == "own", inputs)
        found = gradients.lstm(cell, arrays[:-2], inputs)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12, err_msg=cell.code)
        mark = "'" if scheme == "own" and child[4] == "identity" else ""
        assert arrays[-2] is held[f"K y{mark}"] and arrays[-1] is held[f"d y{mark}"]


@pytest.mark.parametrize("scheme", blocks.SCHEMES)
def test_what_is_written_back(scheme: blocks.Scheme) -> None:
    for child in CHILDREN:
        cell = cell_of(child)
        held, other = made(1), made(2)
        blocks.scatter(cell, blocks.gather(cell, other, scheme), held, scheme)
        used, before = blocks.names(cell, scheme), made(1)
        for name, block in held.items():
            np.testing.assert_array_equal(block, (other if name in used else before)[name])


def test_the_vector_of_a_cell() -> None:
    held = made()
    for code, variant in VARIANTS.items():
        cell = gates.CELLS[gates.code_of(variant)]
        for scheme in blocks.SCHEMES:
            size = cell.count_params(INPUTS, UNITS) + (UNITS + 1) * OUTPUTS
            assert len(blocks.vector(cell, held, scheme)) == size, code
    own = {tuple(blocks.names(cell, "own")) for cell in gates.CELLS.values()}
    assert len(own) == 148
    nine = {code: tuple(blocks.names(one, "shared")) for code, one in VARIANTS.items()}
    assert nine["V"] == nine["NIAF"] == nine["NOAF"] and nine["NFG"] == nine["CIFG"]
    assert len(set(nine.values())) == 6
    vector = blocks.vector(VARIANTS["NP"], held, "shared")
    np.testing.assert_array_equal(vector[:12], held["W i"].ravel())
    np.testing.assert_array_equal(vector[-10:-2], held["K y"].ravel())


def test_the_space_of_the_gates() -> None:
    assert {cell_of(child).code for child in CHILDREN} == set(gates.CELLS)
    assert len(CHILDREN) == 148 and len(gate_space(gates.PLAIN).children()) == 84
    vanilla = CellSpace({name: ops[:1] for name, ops in gate_space().edges.items()}, bool)
    assert [cell_of(child).code for child in vanilla.children()] == ["ifo_gh_p"]
    # Peepholes of a cell without gates would be none.
    bare = ("one", "one", "one", "tanh", "tanh")
    assert cell_of((*bare, "none", "none")) == gates.CELLS["x_gh_x"]
    assert cell_of((*bare, "diagonal", "none")) is cell_of((*bare, "none", "full")) is None
    assert cell_of(("one", "coupled", *bare[2:], "none", "none")) is None
