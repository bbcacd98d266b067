"""The report of an answer, whatever the kind of file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from serving.clients.predictor import Array


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """Something over time, to be drawn.

    Attributes:
        values: `[time, rows]`.
        quantity: what a value is: `probability`.
        time_label: what the time axis counts: `quarter note`.
        rows_label: what the rows are: `pitch`.
        row_names: names of rows, where they are known.
        time_step: how far it is from one value to the next on the time axis.
    """

    values: npt.NDArray[np.floating]
    quantity: str
    time_label: str
    rows_label: str
    row_names: Mapping[int, str]
    time_step: float = 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class Report:
    """An answer as a person wants it.

    Attributes:
        lines: to print.
        outputs: the model's outputs by name.
        picture: of them, if there is something over time.
    """

    lines: tuple[str, ...]
    outputs: Mapping[str, Any]
    picture: Picture | None


def softmax(logits: Array) -> npt.NDArray[np.float64]:
    """Probabilities of classes that exclude each other, along the last axis."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def sigmoid(logits: Array) -> npt.NDArray[np.float64]:
    """Probabilities of things that each may be or not.

    Example:
        >>> sigmoid(np.array([0.0, -1000.0]))
        array([0.5, 0. ])
    """
    return np.asarray(np.exp(-np.logaddexp(0.0, -logits.astype(np.float64))))
