"""The domain that an adaptive sampler searches: genes, and random numbers for each proposal."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol as Interface

import numpy as np

from tuner.search.space import Hyperparameter, Space

Value = int | float | str | bool

Point = Mapping[str, Value]
"""A value of each gene by name."""

Score = float | None
"""A trial's score, lower is better; None if it failed or diverged: it counts but never wins."""

VARIANT = "variant"
"""Name of the gene for the variant, in a study of several variants."""


@dataclasses.dataclass(frozen=True)
class Gene:
    """One dimension of a search: options, or a numeric range.

    Attributes:
        name: name of the hyperparameter.
        draw: converts a uniform number in [0, 1) to a value.
        options: the values, if they can be listed; otherwise empty.
        ordered: whether neighboring options are similar.
        low: lower end of a range, as a quantity.
        high: upper end of a range, as a quantity.
        log: whether the quantity is on a log scale.
        integer: whether the quantity is an integer.
        quantity: converts a value to the quantity.
        value: converts a quantity to the value.

    Example:
        >>> from tuner.search.space import PAPER
        >>> gene = of_row(PAPER["momentum"])
        >>> (gene.low, gene.high), gene.quantity(0.75)
        ((0.01, 1.0), 0.25)
        >>> [f"{level:.3g}" for level in gene.levels]
        ['0.99', '0.968', '0.9', '0.684', '0']
    """

    name: str
    draw: Callable[[float], Value]
    options: tuple[Value, ...] = ()
    ordered: bool = False
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    integer: bool = False
    quantity: Callable[[Value], float] = float
    value: Callable[[float], Value] = float

    @property
    def fixed(self) -> bool:
        """Whether there is nothing to choose."""
        return len(self.options) == 1 or (not self.options and self.low == self.high)

    @functools.cached_property
    def levels(self) -> tuple[Value, ...]:
        """The values that a policy chooses from: the options, or levels that cover the range.

        On a log scale two levels per power of ten and one more, 5 to 9 in all; on a linear scale 5;
        at most 7 integers.
        """
        if self.options:
            return self.options
        if self.fixed:
            return (self.value(self.low),)
        space = np.geomspace if self.log else np.linspace
        if self.integer:
            count = min(7, int(self.high - self.low) + 1)
            return tuple(
                self.value(int(level))
                for level in np.unique(space(self.low, self.high, count).round())
            )
        powers = math.log10(self.high / self.low) if self.log else 2
        count = min(max(2 * round(powers) + 1, 5), 9)
        return tuple(self.value(float(level)) for level in space(self.low, self.high, count))


@dataclasses.dataclass(frozen=True)
class Domain:
    """The domain of the points that a search proposes, and the source of its random numbers.

    Attributes:
        genes: the dimensions.
        generator: returns the random generator of the proposal with an index.
        random: returns the point of the random design with an index; all searches that begin with
            random points begin with these.
        lag: a proposal sees the trials whose index is at most its own minus `lag`.
    """

    genes: tuple[Gene, ...]
    generator: Callable[[int], np.random.Generator]
    random: Callable[[int], Point]
    lag: int = 1

    @functools.cached_property
    def free(self) -> tuple[Gene, ...]:
        """The genes that are not fixed."""
        return tuple(gene for gene in self.genes if not gene.fixed)

    @functools.cached_property
    def fixed(self) -> dict[str, Value]:
        """The values of the fixed genes."""
        return {gene.name: gene.levels[0] for gene in self.genes if gene.fixed}


class Search(Interface):
    """Proposes points, as a function of the domain, the points so far and their scores.

    It may cache what it has computed from a prefix of the points and scores, as long as a new
    instance that is shown the same input proposes the same point.
    """

    def __init__(self, domain: Domain) -> None:
        """Prepares the search."""

    def propose(self, points: Sequence[Point], scores: Sequence[Score]) -> Point:
        """Proposes the next point.

        Args:
            points: all points proposed so far, by index.
            scores: scores of the first of them; those of the rest, at most `lag` - 1, are unknown.
        """


class RandomSearch:
    """Proposes the points of the random design; a `Search`."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain

    def propose(self, points: Sequence[Point], scores: Sequence[Score]) -> Point:
        """Proposes the next point of the design."""
        return self._domain.random(len(points))


def numbers(point: Point) -> dict[str, int | float]:
    """Returns the values of a point that are numbers: those of a study's hyperparameters."""
    return {name: value for name, value in point.items() if isinstance(value, int | float)}


def of_row(row: Hyperparameter) -> Gene:
    """Converts a hyperparameter of a study's space to a gene."""
    if row.scale == "categories":
        options = tuple(range(len(row.categories)))
        return Gene(row.name, row.from_unit, options)
    low, high = row.sampled_range
    return Gene(
        row.name,
        row.from_unit,
        low=low,
        high=high,
        log=row.logarithmic,
        integer=row.integer,
        quantity=row.sampled,
        value=row.sampled,
    )


def of_space(space: Space, variants: Sequence[str]) -> tuple[Gene, ...]:
    """Makes the genes of a study: the variant if there are several, then the hyperparameters.

    Example:
        >>> from tuner.search.space import PAPER
        >>> [(gene.name, len(gene.levels)) for gene in of_space(PAPER, ("V", "NFG"))]
        [('variant', 2), ('units', 7), ('learning_rate', 9), ('momentum', 5), ('noise_std', 5)]
    """
    genes = tuple(map(of_row, space))
    if len(variants) == 1:
        return genes
    options = tuple(variants)
    return (Gene(VARIANT, lambda part: options[int(part * len(options))], options), *genes)
