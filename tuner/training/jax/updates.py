"""The update rules of the weights, equal to those of Keras' optimizers of the same names.

They are written out because each trial has its own learning rate and momentum, which Keras builds
into the program: a rule here is compiled once for all trials.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuner.training.protocol import Trial

_EPSILON = 1e-7
_BETA_2 = 0.999
_RHO = 0.9
"""The defaults of `keras.optimizers.Adam` and `RMSprop`."""


@dataclasses.dataclass(frozen=True)
class Update:
    """An update rule.

    Attributes:
        slots: number of arrays kept for each weight, initially zero.
        rate: returns the learning rate r of a trial.
        step: computes the new weight and slots from the weight, its gradient, its slots, r, the
            momentum and the number of the update, from 1.
    """

    slots: int
    rate: Callable[[Trial], float]
    step: Callable[[Any, Any, list[Any], Any, Any, Any], tuple[Any, list[Any]]]


def _damped(trial: Trial) -> float:
    return trial.learning_rate * (1.0 - trial.momentum)


def _plain(trial: Trial) -> float:
    return trial.learning_rate


def _nesterov(w: Any, g: Any, slots: Any, rate: Any, momentum: Any, count: Any) -> Any:
    """Steps: v ← m v - r g, w ← w + m v - r g."""
    velocity = momentum * slots[0] - rate * g
    return w + momentum * velocity - rate * g, [velocity]


def _sgd(w: Any, g: Any, slots: Any, rate: Any, momentum: Any, count: Any) -> Any:
    """Steps: v ← m v - r g, w ← w + v."""
    velocity = momentum * slots[0] - rate * g
    return w + velocity, [velocity]


def _adam(w: Any, g: Any, slots: Any, rate: Any, momentum: Any, count: Any) -> Any:
    """Steps: a ← β₁ a + (1 - β₁) g, b ← β₂ b + (1 - β₂) g², w ← w - c a/(√b + ε).

    c = r √(1 - β₂ⁿ)/(1 - β₁ⁿ)
    """
    mean = slots[0] + (g - slots[0]) * (1 - momentum)
    square = slots[1] + (g * g - slots[1]) * (1 - _BETA_2)
    step = rate * (1 - _BETA_2**count) ** 0.5 / (1 - momentum**count)
    return w - step * mean / (square**0.5 + _EPSILON), [mean, square]


def _rmsprop(w: Any, g: Any, slots: Any, rate: Any, momentum: Any, count: Any) -> Any:
    """Steps: b ← ρ b + (1 - ρ) g², v ← m v + r g/√(b + ε), w ← w - v."""
    square = _RHO * slots[0] + (1 - _RHO) * g * g
    velocity = momentum * slots[1] + rate * g / (square + _EPSILON) ** 0.5
    return w - velocity, [square, velocity]


UPDATES = {
    "nesterov": Update(1, _damped, _nesterov),
    "sgd": Update(1, _damped, _sgd),
    "adam": Update(2, _plain, _adam),
    "rmsprop": Update(2, _damped, _rmsprop),
}
"""The update rules, by the names of `tuner.training.optimizers.OPTIMIZERS`."""
