"""Padding with extra units, so that trials of about the same size share a compiled program.

All weights of the extra units are zero and stay zero; no other unit sees them, and the results are
those of the trial up to rounding. This holds for cells whose units interact only in products.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from zoo.registry import cell_class, switches

_STEP = 8
"""Compiled sizes are multiples of this number."""

_STOCK = (keras.layers.GRUCell, keras.layers.LSTMCell, keras.layers.SimpleRNNCell)


def padded_units(variant: str, units: int) -> int:
    """Chooses the number of units that a trial is trained with.

    Args:
        variant: code of the cell.
        units: number of units of the trial.

    Example:
        >>> padded_units("V", 37), padded_units("V", 40)
        (40, 40)
    """
    known = switches(variant) is not None or cell_class(variant) in _STOCK
    return -(-units // _STEP) * _STEP if known else units


def stays_zero(variant: str) -> bool:
    """Returns whether the gradients of extra weights are zero.

    They are if all states of the extra units are zero; recurrent gates are not, since σ(0) = ½.

    Args:
        variant: code of the cell.
    """
    known = switches(variant)
    return known is None or not known.gate_recurrence


def fit(array: Any, shape: Sequence[int], units: int, wanted: int) -> np.ndarray:
    """Pads a weight to more units, or cuts it to fewer.

    Args:
        array: a weight of a network with `units`.
        shape: shape of the same weight with `wanted` units. An axis whose size differs holds a
            block of units for every gate or direction.
        units: current number of units.
        wanted: new number of units; additional units are zeros.

    Returns:
        A new array.

    Example:
        >>> fit([1.0, 2.0, 3.0, 4.0], (6,), units=2, wanted=3)
        array([1., 2., 0., 3., 4., 0.])
    """
    fitted: np.ndarray = np.asarray(array)
    for axis, size in enumerate(shape):
        if fitted.shape[axis] != size:
            before, after = fitted.shape[:axis], fitted.shape[axis + 1 :]
            blocks = fitted.reshape(*before, -1, units, *after)
            common = [slice(None)] * (axis + 1) + [slice(min(units, wanted))]
            fitted = np.zeros((*before, blocks.shape[axis], wanted, *after), blocks.dtype)
            fitted[tuple(common)] = blocks[tuple(common)]
            fitted = fitted.reshape(*before, size, *after)
    return fitted
