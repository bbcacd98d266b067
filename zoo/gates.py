"""Every LSTM that the `zoo.Variant` switches can express: 148 cells, including the nine variants.

A code says what a cell has, in three parts: its gates (`i`, `f`, `o`; `c` instead of `f` for a
forget gate coupled to the input gate), its activations (`g` of the block input, `h` of the cell on
its way out) and what else the gates see (`p`: the cell, through peepholes; `r`: the gates of the
previous step). `x` stands for none:

    ifo_gh_p     V, the vanilla LSTM
    ico_gh_p     CIFG
    ifo_gh_pr    FGR
    x_gh_x       no gate at all: h_t = h(c_t), c_t = g(W x_t + R h_{t-1} + b) + c_{t-1}

Without gates, peepholes and gate recurrence have no effect: such combinations are left out, so that
no two cells compute the same function. Equations: `zoo.variants`. The class of a cell is an
attribute of this module, created on access; a study's `--variants` accepts `zoo.gates:ifo_gh_p`,
and `zoo.gates:CELLS` or `zoo.gates:PLAIN` for a whole list. `keras.models.load_model` recognizes
the classes if this module is imported after Keras.

Example:
    >>> import keras, zoo.gates
    >>> layer = keras.layers.RNN(zoo.gates.io_gh_x(4))
    >>> zoo.gates.CELLS["io_gh_x"].count_params(input_dim=3, units=4)
    96
    >>> zoo.registry.unregister("io_gh_x")
"""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from zoo.variants import Variant

if TYPE_CHECKING:
    from zoo.variant_cell import VariantCell

_FORGET = {"": {"forget_gate": False}, "f": {}, "c": {"forget_gate": False, "coupled": True}}
"""The switches for each letter that can take the place of the forget gate."""


def _code(gates: str, activations: str, seen: str) -> str:
    return "_".join(part or "x" for part in (gates, activations, seen))


def _all() -> dict[str, Variant]:
    found = {}
    for i, f, o, g, h, p, r in itertools.product(
        ("i", ""), ("f", "c", ""), ("o", ""), ("g", ""), ("h", ""), ("p", ""), ("r", "")
    ):
        gates = i + f + o
        if (f == "c" and not i) or (not gates and p + r):
            continue
        code = _code(gates, g + h, p + r)
        switches: dict[str, Any] = {
            "input_gate": bool(i),
            "output_gate": bool(o),
            **_FORGET[f],
            "input_activation": bool(g),
            "output_activation": bool(h),
            "peepholes": bool(p and gates),
            "gate_recurrence": bool(r),
        }
        found[code] = Variant(code, code, **switches)
    return found


CELLS: Mapping[str, Variant] = MappingProxyType(_all())
"""The 148 cells by code."""

PLAIN: tuple[str, ...] = tuple(
    code
    for code, cell in CELLS.items()
    if not cell.gate_recurrence or cell.gates == "ifzo"
)
"""The 84 cells without gate recurrence, or with that of FGR among all three gates."""


def code_of(variant: Variant) -> str:
    """Returns the code of a variant in `CELLS`.

    Example:
        >>> import zoo
        >>> code_of(zoo.get_variant("CIFG"))
        'ico_gh_p'
    """
    gates = variant.gates.replace("z", "")
    if variant.coupled:
        gates = gates.replace("i", "ic")
    activations = "g" * variant.input_activation + "h" * variant.output_activation
    seen = "p" * bool(variant.peephole_gates) + "r" * bool(variant.recurrent_gates)
    return _code(gates, activations, seen)


@functools.cache
def _make(code: str) -> type[VariantCell]:
    """Creates the class of a cell, and registers it with Keras under its name in saved files."""
    import keras

    from zoo.variant_cell import VariantCell

    body = {"__module__": __name__, "__doc__": f"The cell {code} of `zoo.gates`."}
    cell: type[VariantCell] = type(code, (VariantCell,), body)
    keras.saving.register_keras_serializable("lstm_odyssey")(cell)
    return cell


def __getattr__(name: str) -> type[VariantCell]:
    """Returns the class of a cell, and registers it.

    Raises:
        AttributeError: if there is no such cell.
    """
    if name not in CELLS:
        raise AttributeError(f"module {__name__} has no {name}")
    from zoo.registry import register

    # On every access: the cell may have been unregistered in the meantime.
    return register(name, variant=CELLS[name])(_make(name))


if "keras" in sys.modules:
    for _code_of_one in CELLS:
        _make(_code_of_one)
