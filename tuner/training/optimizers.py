"""The table of optimizers, by name.

All use one sequence per update and the summed loss. The learning rate and momentum of a trial
become the optimizer's parameters of the same meaning.
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
    """A rule by which gradients update weights.

    Attributes:
        name: its name in `--optimizer`.
        meaning: a human-readable description of the rule.
        make: makes the Keras optimizer for a trial.
        native: whether engines `native` and `cuda` support it; `jax` and `keras` support all.
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
