"""Spaces of cells: edges, the operators possible on each, and which ones go together."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from zoo.gates import CELLS, code_of
from zoo.variants import Variant

Child = tuple[str, ...]
"""One operator per edge, in the order of the edges."""


@dataclasses.dataclass(frozen=True)
class CellSpace:
    """A space of cells.

    Attributes:
        edges: the operators of each edge, by the edge's name.
        legal: returns whether the operators of a child go together.

    Example:
        >>> space = CellSpace({"a": ("x", "y"), "b": ("x", "y")}, lambda child: child != ("y", "y"))
        >>> space.children()
        [('x', 'x'), ('x', 'y'), ('y', 'x')]
        >>> space.without("a", "x").children()
        [('y', 'x')]
    """

    edges: Mapping[str, tuple[str, ...]]
    legal: Callable[[Child], bool]

    def children(self) -> list[Child]:
        """Returns every legal cell."""
        return [child for child in itertools.product(*self.edges.values()) if self.legal(child)]

    def without(self, edge: str, operator: str) -> CellSpace:
        """Returns the space that is left when an operator is dropped."""
        left = tuple(one for one in self.edges[edge] if one != operator)
        return dataclasses.replace(self, edges={**self.edges, edge: left})


EDGES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "input gate": ("gate", "one"),
        "forget gate": ("gate", "coupled", "one"),
        "output gate": ("gate", "one"),
        "input activation": ("tanh", "identity"),
        "output activation": ("tanh", "identity"),
        "peepholes": ("diagonal", "none"),
        "gate recurrence": ("none", "full"),
    }
)
"""The edges that `zoo.gates` varies; the first operator of each is vanilla's."""


def cell_of(child: Child) -> Variant | None:
    """Returns the cell of `zoo.gates` made up of operators; None if they do not go together.

    Example:
        >>> cell_of(("gate", "coupled", "gate", "tanh", "tanh", "diagonal", "none")).code
        'ico_gh_p'
    """
    i, f, o, g, h, p, r = child
    if f == "coupled" and i == "one":
        return None
    cell = Variant(
        "cell", "cell", i == "gate", f == "gate", o == "gate", f == "coupled",
        g == "tanh", h == "tanh", p == "diagonal", r == "full",
    )  # fmt: skip
    # Without gates, peepholes and gate recurrence are meaningless; such combinations do not exist.
    alike = p == "none" or bool(cell.peephole_gates), r == "none" or bool(cell.recurrent_gates)
    return CELLS[code_of(cell)] if all(alike) else None


def gate_space(codes: Iterable[str] = CELLS) -> CellSpace:
    """Returns the space of gates.

    Args:
        codes: codes of the legal cells, from `zoo.gates`.

    Example:
        >>> len(gate_space().children())
        148
    """
    allowed = frozenset(codes)

    def legal(child: Child) -> bool:
        cell = cell_of(child)
        return cell is not None and cell.code in allowed

    return CellSpace(EDGES, legal)
