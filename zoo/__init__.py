"""LSTM variants as Keras RNN cells: `keras.layers.RNN(zoo.NoForgetGateCell())`.

The nine cells are those of Greff et al. 2015, *LSTM: A Search Space Odyssey*.
"""

from zoo import frontends, networks, pretrained
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
from zoo.layers import RNN
from zoo.registry import (
    get_variant,
    list_pretrained,
    list_variants,
    load_pretrained,
    make_cell,
)
from zoo.variant_cell import VariantCell
from zoo.variants import Variant

__all__ = [
    "RNN",
    "CoupledInputForgetGateCell",
    "FullGateRecurrenceCell",
    "NoForgetGateCell",
    "NoInputActivationCell",
    "NoInputGateCell",
    "NoOutputActivationCell",
    "NoOutputGateCell",
    "NoPeepholesCell",
    "VanillaCell",
    "Variant",
    "VariantCell",
    "frontends",
    "get_variant",
    "list_pretrained",
    "list_variants",
    "load_pretrained",
    "make_cell",
    "networks",
    "pretrained",
]
