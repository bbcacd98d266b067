"""The optimizers by name: one row each.

All take one sequence an update and the summed loss. What a trial draws as learning rate and
momentum is handed to the optimizer's own parameters of that meaning.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

    from tuner.training.protocol import Trial


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """How weights follow from gradients.

    Attributes:
        name: as in `--optimizer`.
        meaning: its rule, for people.
        make: makes the Keras optimizer of a trial.
        native: whether the engines of compiled code have it; other trials are trained by Keras.
    """

    name: str
    meaning: str
    make: Callable[[Trial], keras.optimizers.Optimizer]
    native: bool = False


def _nesterov(trial: Trial) -> keras.optimizers.Optimizer:
    import keras

    rate = trial.learning_rate * (1.0 - trial.momentum)
    return keras.optimizers.SGD(rate, momentum=trial.momentum, nesterov=True)


def _sgd(trial: Trial) -> keras.optimizers.Optimizer:
    import keras

    rate = trial.learning_rate * (1.0 - trial.momentum)
    return keras.optimizers.SGD(rate, momentum=trial.momentum)


def _adam(trial: Trial) -> keras.optimizers.Optimizer:
    import keras

    return keras.optimizers.Adam(trial.learning_rate, beta_1=trial.momentum)


def _rmsprop(trial: Trial) -> keras.optimizers.Optimizer:
    import keras

    rate = trial.learning_rate * (1.0 - trial.momentum)
    return keras.optimizers.RMSprop(rate, momentum=trial.momentum)


OPTIMIZERS = {
    optimizer.name: optimizer
    for optimizer in (
        Optimizer(
            "nesterov",
            "stochastic gradient descent with Nesterov momentum and learning rate × (1 − momentum)",
            _nesterov,
            native=True,
        ),
        Optimizer(
            "sgd",
            "stochastic gradient descent with momentum and learning rate × (1 − momentum)",
            _sgd,
        ),
        Optimizer("adam", "Adam with β₁ = momentum", _adam),
        Optimizer(
            "rmsprop", "RMSprop with momentum and learning rate × (1 − momentum)", _rmsprop
        ),
    )
}
"""The optimizers of `python -m tuner.run --optimizer`; the first is the paper's."""
