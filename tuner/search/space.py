"""The search space: one row per hyperparameter, with everything that is said about it.

A study varies the hyperparameters of its `Space`. Designs, ledgers, KerasTuner's container, the
trial table, the importance analysis, axes and sentences loop over the rows; no other place lists
hyperparameters. To add one, add a row to `EXTRAS`; its value reaches the engines as
`Trial.values[name]`: either as a hyperparameter of the trainer itself, or as the argument of that
name of the cells whose constructors have one (`Trial.options`).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from common import text

if TYPE_CHECKING:
    import keras_tuner

Number = int | float
"""A value of a hyperparameter."""

Scale = Literal["linear", "log", "one_minus_log", "categories"]
"""How a hyperparameter is sampled: uniformly on this scale.

`one_minus_log` is uniform in log(1 - value); categories are equally likely.
"""


@dataclasses.dataclass(frozen=True)
class Hyperparameter:
    """One dimension of a search space.

    Attributes:
        name: name in flags, ledgers, tables and `Trial.values`.
        low: smallest value; 0 for categories.
        high: largest value; for categories, their number minus 1.
        scale: scale on which it is sampled.
        integer: whether only whole numbers are drawn, both ends included.
        label: name on axes and in headings.
        noun: name in the middle of a sentence.
        plural: name of several values, in the middle of a sentence.
        short: name in a list of values.
        unit: unit of the values; empty if they have none.
        meaning: description for the reference of columns.
        minimum: the smallest value that makes sense; a range that begins there cannot be extended.
        rank: position in figures; as in the paper's Figure 4, the most important come first.
        categories: names of the categories, in their order on the axis.
    """

    name: str
    low: float
    high: float
    scale: Scale
    integer: bool = False
    label: str = ""
    noun: str = ""
    plural: str = ""
    short: str = ""
    unit: str = ""
    meaning: str = ""
    minimum: float = -math.inf
    rank: int = 9
    categories: tuple[str, ...] = ()

    @property
    def logarithmic(self) -> bool:
        """Whether the quantity is sampled on a logarithmic scale."""
        return self.scale in ("log", "one_minus_log")

    @functools.cached_property
    def sampled_range(self) -> tuple[float, float]:
        """Range of the sampled quantity: 1 - value for `one_minus_log`, otherwise the value."""
        if self.scale == "one_minus_log":
            # In decimal arithmetic: the range sampled for 0 to 0.99 begins at 0.01 exactly.
            return _one_minus(self.high), _one_minus(self.low)
        return self.low, self.high

    def sampled(self, value: Any) -> Any:
        """Converts values to the sampled quantity, or back: the conversion is its own inverse."""
        return 1.0 - value if self.scale == "one_minus_log" else value

    @property
    def sampled_name(self) -> str:
        """Name of the sampled quantity, under which KerasTuner knows it."""
        return f"one_minus_{self.name}" if self.scale == "one_minus_log" else self.name

    @functools.cached_property
    def bin_edges(self) -> np.ndarray | None:
        """Ends of the intervals in [0, 1] that the values of a discrete dimension correspond to.

        KerasTuner draws a whole number n for probabilities between those of n and n + 1.

        Returns:
            float64 `[values + 1]`, from 0 to 1; None for a continuous dimension.
        """
        if self.scale == "categories":
            return np.linspace(0.0, 1.0, len(self.categories) + 1)
        if self.integer:
            return self._fraction(np.arange(self.low, self.high + 2.0))
        return None

    def to_unit(self, values: np.ndarray) -> np.ndarray:
        """Maps values to [0, 1], where the design is uniform; discrete ones to mid-interval.

        Args:
            values: values of the hyperparameter; for categories, their indices.

        Example:
            >>> PAPER["learning_rate"].to_unit(np.array([1e-6, 1e-4, 1e-2]))
            array([0. , 0.5, 1. ])
            >>> PAPER["momentum"].to_unit(np.array([0.0, 0.9]))
            array([1. , 0.5])
        """
        if self.bin_edges is not None:
            middles: np.ndarray = (self.bin_edges[:-1] + self.bin_edges[1:]) / 2
            return middles[np.asarray(values - self.low, dtype=np.intp)]
        return self._fraction(self.sampled(values).clip(*self.sampled_range))

    def _fraction(self, quantity: np.ndarray) -> np.ndarray:
        low, high = self.sampled_range
        # Both ends of an integer range are included, so it ends with its last value's interval.
        end = high + 1 if self.integer else high
        if self.logarithmic:
            return np.divide(np.log(quantity / low), np.log(end / low))
        return np.divide(quantity - low, end - low)

    def from_unit(self, probability: float) -> Number:
        """Maps a uniform number in [0, 1) to a value, by KerasTuner's formulas.

        Example:
            >>> PAPER["units"].from_unit(0.5), PAPER["noise_std"].from_unit(0.25)
            (63, 0.25)
        """
        low, high = self.sampled_range
        end = high + 1 if self.integer else high
        if self.scale == "linear":
            quantity = probability * (end - low) + low
        else:
            quantity = low * math.pow(end / low, probability)
        return int(quantity) if self.integer else self.sampled(quantity)

    def grid(self, count: int) -> np.ndarray:
        """Returns values for a curve, even on the sampling scale; existing ones if discrete.

        Example:
            >>> PAPER["units"].grid(4)
            array([ 20.,  43.,  93., 200.])
        """
        if self.scale == "categories":
            return np.arange(float(len(self.categories)))
        if self.low == self.high:
            # Taking its logarithm and back would round it.
            return np.array([float(self.low)])
        if self.integer:
            even = np.linspace if self.scale == "linear" else np.geomspace
            return np.unique(even(self.low, self.high, count).round())
        if self.scale == "linear":
            return np.linspace(self.low, self.high, count)
        return np.asarray(self.sampled(np.geomspace(*self.sampled_range, count)))

    def declare(self, container: keras_tuner.HyperParameters) -> Number:
        """Registers the hyperparameter with KerasTuner; see `Space.declare`."""
        low, high = self.sampled_range
        sampling = "linear" if self.scale == "linear" else "log"
        if self.integer:
            return int(container.Int(self.sampled_name, int(low), int(high), sampling=sampling))
        value = container.Float(self.sampled_name, low, high, sampling=sampling)
        return float(self.sampled(float(value)))

    def write(self, value: Number, digits: int = 3) -> str:
        """Formats a value for people, a continuous one with a few significant digits.

        Example:
            >>> PAPER["units"].write(60), PAPER["learning_rate"].write(0.00125)
            ('60', '1.25e-3')
        """
        return str(value) if self.integer else text.significant(value, digits)

    def parse(self, written: str) -> Number:
        """Parses a value given by a person or a file.

        Raises:
            ValueError: if it is not a number, or not an integer where one is needed.
        """
        return int(written) if self.integer else float(written)

    def fault(self, low: Number, high: Number) -> str:
        """Describes what a range of finite numbers should be instead; empty if it can be sampled.

        Example:
            >>> PAPER["learning_rate"].fault(0, 1)
            'LOW above 0, on a logarithmic scale'
        """
        if self.integer and not (float(low).is_integer() and float(high).is_integer()):
            return "two whole numbers"
        if low > high:
            return "LOW:HIGH with LOW at most HIGH"
        if self.scale == "log" and low <= 0:
            return "LOW above 0, on a logarithmic scale"
        if self.scale == "one_minus_log" and high >= 1:
            return "HIGH below 1"
        return f"LOW of at least {self.minimum:g}" if low < self.minimum else ""


class Space(tuple[Hyperparameter, ...]):
    """The hyperparameters of a study, in the order in which they are drawn.

    Example:
        >>> [hyperparameter.name for hyperparameter in PAPER]
        ['units', 'learning_rate', 'momentum', 'noise_std']
        >>> PAPER["units"].high
        200
    """

    __slots__ = ()

    def __getitem__(self, key: Any) -> Any:
        """Returns a hyperparameter by name or index."""
        if isinstance(key, str):
            return next(row for row in self if row.name == key)
        return super().__getitem__(key)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the hyperparameters."""
        return tuple(row.name for row in self)

    @property
    def varied(self) -> tuple[Hyperparameter, ...]:
        """The hyperparameters that are not fixed to one value."""
        return tuple(row for row in self if row.low < row.high)

    def with_ranges(self, ranges: Mapping[str, tuple[Number, Number]]) -> Space:
        """Replaces ranges, given as lowest and highest value by name, and adds rows of `EXTRAS`.

        Example:
            >>> space = PAPER.with_ranges({"units": (20, 400), "forget_bias": (0, 2)})
            >>> space["units"].high, space.names[-1]
            (400, 'forget_bias')
        """
        rows = {row.name: row for row in self}
        for name, (low, high) in ranges.items():
            rows[name] = dataclasses.replace(rows.get(name) or KNOWN[name], low=low, high=high)
        return Space(rows.values())

    def to_json(self) -> dict[str, list[Number]]:
        """Returns the ranges by name, as stored in `study.json` and tables."""
        return {row.name: [row.low, row.high] for row in self}

    @classmethod
    def from_json(cls, ranges: Mapping[str, Sequence[Number]]) -> Space:
        """Reads the output of `to_json`, or of a release that stored the range of 1 - momentum.

        Raises:
            KeyError, TypeError, ValueError: if the ranges are malformed.
        """
        named: dict[str, tuple[Number, Number]] = {}
        for name, (low, high) in ranges.items():
            if name in KNOWN:
                named[name] = (low, high)
            else:
                named[_SAMPLED[name].name] = (_one_minus(high), _one_minus(low))
        for name, (low, high) in named.items():
            if expected := KNOWN[name].fault(low, high):
                raise ValueError(f"{name}: expected {expected}. Received: {low:g}:{high:g}")
        return Space(row for row in PAPER if row.name in named).with_ranges(named)

    def declare(self, container: keras_tuner.HyperParameters) -> dict[str, Number]:
        """Registers the space with KerasTuner and returns the values set there.

        Args:
            container: KerasTuner's container, as passed to a `HyperModel`.

        Example:
            >>> import keras_tuner
            >>> sorted(PAPER.declare(keras_tuner.HyperParameters()))
            ['learning_rate', 'momentum', 'noise_std', 'units']
        """
        return {row.name: row.declare(container) for row in self}

    def encode(self, values: Mapping[str, Number]) -> dict[str, Number]:
        """Returns values under the names and on the scales that KerasTuner knows."""
        return {row.sampled_name: row.sampled(values[row.name]) for row in self}

    def describe(self, values: Mapping[str, Number]) -> str:
        """Formats values in one line.

        Example:
            >>> values = {"units": 60, "learning_rate": 0.01, "momentum": 0.5, "noise_std": 0}
            >>> PAPER.describe(values)
            'units 60, learning rate 0.01, momentum 0.5, noise 0'
        """
        return ", ".join(f"{row.short} {values[row.name]:.3g}" for row in self)

    def __str__(self) -> str:
        """Returns the ranges, and the values that do not vary, in one line.

        Example:
            >>> print(PAPER.with_ranges({"units": (64, 64)}))
            units 64, learning rate 1e-06 to 0.01, momentum 0 to 0.99, noise 0 to 1
        """
        return ", ".join(
            f"{row.short} {row.low:g}" + (f" to {row.high:g}" if row.low < row.high else "")
            for row in self
        )


def _one_minus(value: Number) -> float:
    return float(1 - Decimal(repr(float(value))))


PAPER = Space(
    (
        Hyperparameter(
            "units", 20, 200, "log", integer=True, minimum=1, rank=2, unit="LSTM blocks",
            label="units", noun="the number of units", plural="sizes", short="units",
            meaning="size of the hidden layer, of each direction",
        ),
        Hyperparameter(
            "learning_rate", 1e-6, 1e-2, "log", rank=1,
            label="learning rate", noun="the learning rate", plural="learning rates",
            short="learning rate", meaning="before the factor (1 - momentum)",
        ),
        Hyperparameter(
            "momentum", 0.0, 0.99, "one_minus_log", minimum=0.0, rank=4,
            label="momentum", noun="the momentum", plural="momenta", short="momentum",
            meaning="Nesterov momentum; it was drawn as 1 - momentum",
        ),
        Hyperparameter(
            "noise_std", 0.0, 1.0, "linear", minimum=0.0, rank=3,
            label="input noise", noun="the input noise", plural="input noises", short="noise",
            meaning="standard deviation of the Gaussian input noise",
        ),
    )
)
"""The paper's hyperparameters and ranges (section 4.4)."""

EXTRAS: tuple[Hyperparameter, ...] = (
    Hyperparameter(
        "forget_bias", 0.0, 2.0, "linear",
        label="forget-gate bias", noun="the forget-gate bias", plural="forget-gate biases",
        short="forget bias", meaning="added to the initial bias of the forget gate, if any",
    ),
    Hyperparameter(
        "max_depth", 1, 4, "linear", integer=True, minimum=1, unit="inner steps",
        label="maximum depth", noun="the maximum depth", plural="maximum depths",
        short="max. depth", meaning="most inner steps of a depth-adaptive cell, others have one",
    ),
    Hyperparameter(
        "ponder_price", 1e-3, 1.0, "log", unit="nats",
        label="ponder price", noun="the ponder price", plural="ponder prices",
        short="ponder price", meaning="of an inner step of a depth-adaptive cell, in the loss",
    ),
)
"""Hyperparameters that a study varies only if `--space` asks for them."""

KNOWN = {row.name: row for row in (*PAPER, *EXTRAS)}
"""All hyperparameters by name."""

_SAMPLED = {row.sampled_name: row for row in KNOWN.values()}


def is_column(name: str) -> bool:
    """Returns whether a column contains a hyperparameter; see `read`."""
    return name in KNOWN or name in _SAMPLED


def read(column: str, cell: str) -> tuple[str, Number]:
    """Reads a value from a file's column; the first release wrote 1 - momentum into designs.

    Raises:
        KeyError: if there is no such hyperparameter.
        ValueError: if the cell is not a finite value of the hyperparameter.

    Example:
        >>> read("one_minus_momentum", "0.25")
        ('momentum', 0.75)
    """
    if column in KNOWN:
        name, value = column, KNOWN[column].parse(cell)
    else:
        row = _SAMPLED[column]
        name, value = row.name, row.sampled(float(cell))
    if not math.isfinite(value):
        raise ValueError(f"{column}: expected a finite number. Received: {cell!r}")
    return name, value
