"""The nine LSTM cells for `keras.layers.RNN`.

Equations: `zoo.variants`. Arguments, weights and states: `zoo.VariantCell`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from zoo.registry import register
from zoo.variant_cell import VariantCell
from zoo.variants import VARIANTS

_Cell = TypeVar("_Cell", bound=VariantCell)


def _variant(code: str) -> Callable[[type[_Cell]], type[_Cell]]:
    """Registers one of the nine with its switches, under the package name in saved files."""
    return register(code, variant=VARIANTS[code], package="lstm_odyssey")


@_variant("V")
class VanillaCell(VariantCell):
    """V: the LSTM with peepholes and full gradient; the reference of the study.

    Equations: `zoo.variants`. Arguments, weights and states: `zoo.VariantCell`.

    Example:
        >>> import numpy as np, keras, zoo
        >>> layer = keras.layers.RNN(zoo.VanillaCell(4), return_sequences=True)
        >>> tuple(layer(np.zeros((2, 7, 3), "float32")).shape)
        (2, 7, 4)
    """


@_variant("NIG")
class NoInputGateCell(VariantCell):
    """NIG: no input gate, i_t = 1.

    Arguments, weights and states: `zoo.VariantCell`.

    Example:
        >>> import numpy as np, keras, zoo
        >>> tuple(keras.layers.RNN(zoo.NoInputGateCell(4))(np.zeros((2, 7, 3), "float32")).shape)
        (2, 4)
    """


@_variant("NFG")
class NoForgetGateCell(VariantCell):
    """NFG: no forget gate, f_t = 1 (the LSTM of 1997 with an output activation and peepholes).

    Arguments, weights and states: `zoo.VariantCell`.

    Example:
        >>> import numpy as np, keras, zoo
        >>> tuple(keras.layers.RNN(zoo.NoForgetGateCell())(np.zeros((2, 7, 3), "float32")).shape)
        (2, 100)
    """


@_variant("NOG")
class NoOutputGateCell(VariantCell):
    """NOG: no output gate, h_t = h(c_t).

    Arguments, weights and states: `zoo.VariantCell`.

    Example:
        >>> import numpy as np, keras, zoo
        >>> tuple(keras.layers.RNN(zoo.NoOutputGateCell(4))(np.zeros((2, 7, 3), "float32")).shape)
        (2, 4)
    """


@_variant("NIAF")
class NoInputActivationCell(VariantCell):
    """NIAF: no input activation, g(x) = x.

    Arguments, weights and states: `zoo.VariantCell`.

    Example:
        >>> import numpy as np, keras, zoo
        >>> layer = keras.layers.RNN(zoo.NoInputActivationCell(4))
        >>> tuple(layer(np.zeros((2, 7, 3), "float32")).shape)
        (2, 4)
    """


@_variant("NOAF")
class NoOutputActivationCell(VariantCell):
    """NOAF: no output activation, h(x) = x.

    Arguments, weights and states: `zoo.VariantCell`.

    Example:
        >>> import numpy as np, keras, zoo
        >>> layer = keras.layers.RNN(zoo.NoOutputActivationCell(4))
        >>> tuple(layer(np.zeros((2, 7, 3), "float32")).shape)
        (2, 4)
    """


@_variant("CIFG")
class CoupledInputForgetGateCell(VariantCell):
    """CIFG: coupled input and forget gate, f_t = 1 - i_t, as in a GRU.

    Arguments, weights and states: `zoo.VariantCell`.

    Example:
        >>> import numpy as np, keras, zoo
        >>> layer = keras.layers.RNN(zoo.CoupledInputForgetGateCell(4))
        >>> tuple(layer(np.zeros((2, 7, 3), "float32")).shape)
        (2, 4)
    """


@_variant("NP")
class NoPeepholesCell(VariantCell):
    """NP: no peepholes; the same function and weights as `keras.layers.LSTMCell`.

    Arguments (`peephole_*` have no effect), weights and states: `zoo.VariantCell`.

    Example:
        >>> import numpy as np, keras, zoo
        >>> tuple(keras.layers.RNN(zoo.NoPeepholesCell(4))(np.zeros((2, 7, 3), "float32")).shape)
        (2, 4)
    """


@_variant("FGR")
class FullGateRecurrenceCell(VariantCell):
    """FGR: every gate also sees all gates of the previous step, as in the LSTM of 1997.

        net_i += R_ii i_{t-1} + R_fi f_{t-1} + R_oi o_{t-1}, and so for f and o

    The gates before the first step are 0. Arguments, weights and states: `zoo.VariantCell`.

    Example:
        >>> import numpy as np, keras, zoo
        >>> layer = keras.layers.RNN(zoo.FullGateRecurrenceCell(4), return_state=True)
        >>> [tuple(tensor.shape) for tensor in layer(np.zeros((2, 7, 3), "float32"))]
        [(2, 4), (2, 4), (2, 4), (2, 12)]
    """
