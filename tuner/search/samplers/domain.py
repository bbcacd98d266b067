"""What an adaptive sampler searches: genes, and the random numbers of each proposal."""

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
"""The score of a trial, less is better; None if it failed or diverged: it counts and never wins."""

VARIANT = "variant"
"""The gene of a study of several variants."""


@dataclasses.dataclass(frozen=True)
class Gene:
    """One dimension that is searched: options, or a range of numbers.

    Attributes:
        name: of the hyperparameter.
        draw: makes a value of a uniform number of [0, 1).
        options: the values, if they can be listed; else empty.
        ordered: whether neighboring options are alike.
        low: smallest number of a range's quantity.
        high: its largest.
        log: whether the quantity is laid out by powers of ten.
        integer: whether it is a whole number.
        quantity: makes it of a value.
        value: makes a value of it.

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
        """The values that a policy chooses from: the options, or some that cover the range.

        Two for each power of ten and both ends, 5 to 9; of a linear range 5; of whole numbers 7, or
        all if they are fewer.
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
    """What a search proposes points of, and where its random numbers come from.

    Attributes:
        genes: the dimensions.
        generator: makes the generator of the proposal with an index.
        random: the random design's point with an index: searches that begin with random points
            begin with the same.
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
        """The values of the others."""
        return {gene.name: gene.levels[0] for gene in self.genes if gene.fixed}


class Search(Interface):
    """Proposes points; a function of the domain, of the points so far and of their scores.

    It may keep what it has computed from a prefix of points and scores, as long as a new one that
    is shown the same proposes the same.
    """

    def __init__(self, domain: Domain) -> None:
        """Prepares the search."""

    def propose(self, points: Sequence[Point], scores: Sequence[Score]) -> Point:
        """Proposes the next point.

        Args:
            points: all that were proposed, by index.
            scores: of the first of them; of those after, at most `lag` - 1, nothing is known.
        """


class RandomSearch:
    """Proposes the points of the random design; a `Search`."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain

    def propose(self, points: Sequence[Point], scores: Sequence[Score]) -> Point:
        """Proposes the next point of the design."""
        return self._domain.random(len(points))


def numbers(point: Point) -> dict[str, int | float]:
    """The values of a study's hyperparameters, which are numbers."""
    return {name: value for name, value in point.items() if isinstance(value, int | float)}


def of_row(row: Hyperparameter) -> Gene:
    """Makes the gene of a hyperparameter of a study's space."""
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
