"""The report of an answer, for any kind of file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from serving.clients.predictor import Array


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """Values over time, to be plotted.

    Attributes:
        values: `[time, rows]`.
        quantity: what a value is, such as `probability`.
        time_label: label of the time axis, such as `quarter note`.
        rows_label: what the rows are, such as `pitch`.
        row_names: names of rows by index, where known.
        time_step: distance between consecutive values on the time axis.
    """

    values: npt.NDArray[np.floating]
    quantity: str
    time_label: str
    rows_label: str
    row_names: Mapping[int, str]
    time_step: float = 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class Report:
    """A model's answer, prepared for people.

    Attributes:
        lines: text to print.
        outputs: the model's outputs by name.
        picture: plot of the outputs; None if there is nothing over time to plot.
    """

    lines: tuple[str, ...]
    outputs: Mapping[str, Any]
    picture: Picture | None


def softmax(logits: Array) -> npt.NDArray[np.float64]:
    """Computes the probabilities of mutually exclusive classes, along the last axis."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def sigmoid(logits: Array) -> npt.NDArray[np.float64]:
    """Computes the probabilities of independent events.

    Example:
        >>> sigmoid(np.array([0.0, -1000.0]))
        array([0.5, 0. ])
    """
    return np.asarray(np.exp(-np.logaddexp(0.0, -logits.astype(np.float64))))
