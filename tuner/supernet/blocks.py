"""Which weights of the supernet a cell uses, and where they are in a network's arrays.

The supernet has a block for each operator with weights. Under the scheme `own`, every operator has
its own block; under `shared`, operators that need arrays of the same shape share them, so that
cells that differ only in their activations have the same weights:

    own       W R b of each gate and p of it, a second set for a coupled input gate; W R b of the
              block input with and without g; the output layer with and without h; R_ab of each pair
              of gates
    shared    one set for the input gate, the block input and the output layer
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from zoo.variants import Variant

Scheme = Literal["own", "shared"]
SCHEMES: tuple[Scheme, ...] = ("own", "shared")

Blocks = Mapping[str, np.ndarray]
"""The supernet's weights by name."""


def _owner(cell: Variant, gate: str, scheme: Scheme) -> str:
    """Returns the set of weights used by a gate, the block input (z) or the output layer (y)."""
    others = {"i": cell.coupled, "z": not cell.input_activation, "y": not cell.output_activation}
    return f"{gate}'" if scheme == "own" and others.get(gate) else gate


def names(cell: Variant, scheme: Scheme) -> list[str]:
    """Lists a cell's blocks: gates, block input, output layer, peepholes, gate recurrence.

    Example:
        >>> from zoo.variants import VARIANTS
        >>> names(VARIANTS["CIFG"], "own")[:3]
        ["W i'", "R i'", "b i'"]
    """
    head = _owner(cell, "y", scheme)
    found = [
        f"{kind} {_owner(cell, gate, scheme)}"
        for gate in sorted(cell.gates, key="ifoz".index)
        for kind in "WRb"
    ]
    found += [f"{kind} {head}" for kind in "Kd"]
    found += [f"p {_owner(cell, gate, scheme)}" for gate in cell.peephole_gates]
    found += [f"R {a}{b}" for a, b in itertools.product(cell.recurrent_gates, repeat=2)]
    return found


def shapes(inputs: int, units: int, outputs: int) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of all blocks of either scheme."""
    found: dict[str, tuple[int, ...]] = {}
    for owner in ("i", "i'", "f", "o", "z", "z'"):
        found[f"W {owner}"] = (inputs, units)
        found[f"R {owner}"] = (units, units)
        found[f"b {owner}"] = (units,)
        if not owner.startswith("z"):
            found[f"p {owner}"] = (units,)
    for owner in ("y", "y'"):
        found |= {f"K {owner}": (units, outputs), f"d {owner}": (outputs,)}
    found |= {f"R {a}{b}": (units, units) for a, b in itertools.product("ifo", repeat=2)}
    return found


def vector(cell: Variant, blocks: Blocks, scheme: Scheme) -> np.ndarray:
    """Returns the weights of a cell as one float64 vector, each block once, in order of `names`."""
    return np.concatenate([blocks[name].ravel() for name in names(cell, scheme)]).astype(float)


def gather(cell: Variant, blocks: Blocks, scheme: Scheme) -> list[np.ndarray]:
    """Returns the arrays of a cell's network, in the order of `keras.Model.get_weights()`."""
    owners = [_owner(cell, gate, scheme) for gate in cell.gates]
    found = [
        np.concatenate([blocks[f"{kind} {owner}"] for owner in owners], axis=-1) for kind in "WRb"
    ]
    if cell.peephole_gates:
        found.append(
            np.concatenate(
                [blocks[f"p {_owner(cell, gate, scheme)}"] for gate in cell.peephole_gates]
            )
        )
    if gates := cell.recurrent_gates:
        found.append(np.block([[blocks[f"R {a}{b}"] for b in gates] for a in gates]))
    head = _owner(cell, "y", scheme)
    return [*found, blocks[f"K {head}"], blocks[f"d {head}"]]


def scatter(
    cell: Variant, arrays: Sequence[np.ndarray], blocks: Blocks, scheme: Scheme
) -> None:
    """Writes the arrays of a cell's network back into the blocks that it uses, and no others."""
    kernel, recurrent, bias, *rest = arrays
    units = len(bias) // len(cell.gates)
    for place, gate in enumerate(cell.gates):
        columns = slice(place * units, (place + 1) * units)
        owner = _owner(cell, gate, scheme)
        for kind, array in zip("WRb", (kernel, recurrent, bias), strict=True):
            blocks[f"{kind} {owner}"][...] = array[..., columns]
    if cell.peephole_gates:
        peephole = rest.pop(0).reshape(-1, units)
        for gate, row in zip(cell.peephole_gates, peephole, strict=True):
            blocks[f"p {_owner(cell, gate, scheme)}"][...] = row
    if gates := cell.recurrent_gates:
        between = rest.pop(0).reshape(len(gates), units, len(gates), units)
        for (source, a), (target, b) in itertools.product(enumerate(gates), repeat=2):
            blocks[f"R {a}{b}"][...] = between[source, :, target]
    head = _owner(cell, "y", scheme)
    blocks[f"K {head}"][...], blocks[f"d {head}"][...] = rest
