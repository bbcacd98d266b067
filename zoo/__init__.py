"""LSTM variants as Keras RNN cells: `keras.layers.RNN(zoo.NoForgetGateCell())`.

The nine cells are those of Greff et al. 2015, *LSTM: A Search Space Odyssey*.

Names and switches of the variants do not need Keras, so importing `zoo` does not import it. If
Keras is already imported, `keras.models.load_model` recognizes the zoo's classes as soon as `zoo`
is imported; otherwise, after `import zoo.networks` or the first use of a class.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from zoo import pretrained
from zoo.pretrained import list_pretrained, load_pretrained
from zoo.registry import (
    find_variant,
    get_variant,
    list_variants,
    make_cell,
    register,
)
from zoo.variants import Variant

if TYPE_CHECKING:
    from zoo import frontends, gates, networks
    from zoo.adaptive_cell import DeepTransitionCell, DepthAdaptiveCell
    from zoo.adaptive_layer import AdaptiveRNN
    from zoo.cells import (
        CoupledInputForgetGateCell,
        FullGateRecurrenceCell,
        NoForgetGateCell,
        NoInputActivationCell,
        NoInputGateCell,
        NoOutputActivationCell,
        NoOutputGateCell,
        NoPeepholesCell,
        VanillaCell,
    )
    from zoo.guided_es import GuidedES
    from zoo.guided_es_model import GuidedESModel
    from zoo.layers import RNN, truncated
    from zoo.variant_cell import VariantCell

__all__ = [
    "RNN",
    "AdaptiveRNN",
    "CoupledInputForgetGateCell",
    "DeepTransitionCell",
    "DepthAdaptiveCell",
    "FullGateRecurrenceCell",
    "GuidedES",
    "GuidedESModel",
    "NoForgetGateCell",
    "NoInputActivationCell",
    "NoInputGateCell",
    "NoOutputActivationCell",
    "NoOutputGateCell",
    "NoPeepholesCell",
    "VanillaCell",
    "Variant",
    "VariantCell",
    "find_variant",
    "frontends",
    "gates",
    "get_variant",
    "list_pretrained",
    "list_variants",
    "load_pretrained",
    "make_cell",
    "networks",
    "pretrained",
    "register",
    "truncated",
]

_HOMES = {
    "AdaptiveRNN": "zoo.adaptive_layer",
    "DeepTransitionCell": "zoo.adaptive_cell",
    "DepthAdaptiveCell": "zoo.adaptive_cell",
    "GuidedES": "zoo.guided_es",
    "GuidedESModel": "zoo.guided_es_model",
    "RNN": "zoo.layers",
    "VariantCell": "zoo.variant_cell",
    "truncated": "zoo.layers",
}
"""Modules of the classes and functions that need Keras, except for the nine cells."""


def __getattr__(name: str) -> Any:
    # Imported on first use: names and switches of the variants do not need Keras.
    if name in ("cells", "frontends", "gates", "layers", "networks", "variant_cell"):
        return importlib.import_module(f"zoo.{name}")
    if name not in __all__:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES.get(name, "zoo.cells")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if "keras" in sys.modules:
    for _module in ("adaptive_layer", "frontends", "guided_es_model", "networks"):
        importlib.import_module(f"zoo.{_module}")
