"""Pieces of sentences."""

from __future__ import annotations

from collections.abc import Sequence

from tuner.analysis.importance.importance import Effect
from tuner.analysis.words import notation
from tuner.tasks.task import Metric


def listed(words: Sequence[str]) -> str:
    """Joins words as a sentence does.

    Example:
        >>> listed(["NFG"]), listed(["NFG", "NOAF"]), listed(["NFG", "NOAF", "NP"])
        ('NFG', 'NFG and NOAF', 'NFG, NOAF and NP')
    """
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def counted(number: int, noun: str) -> str:
    """Counts things.

    Example:
        >>> counted(1, "trial"), counted(1800, "trial")
        ('1 trial', '1,800 trials')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def difference(value: float, metric: Metric) -> str:
    """Writes a difference of scores with its sign.

    Example:
        >>> difference(0.6131, Metric("NLL", "nats per frame"))
        '+0.613 nats per frame'
    """
    text = notation.significant(value, 3)
    return f"{'+' if value > 0 else ''}{text} {metric.unit}"


def share(effect: Effect) -> str:
    """Writes a share with its spread over the trees.

    Example:
        >>> share(Effect(("units",), 0.0712, 0.031))
        '7.1 % ± 3.1 %'
    """
    return f"{notation.percent(effect.share)} ± {notation.percent(effect.spread)}"


def capitalized(text: str) -> str:
    """Begins a sentence; leaves codes such as NP as they are.

    Example:
        >>> capitalized("the learning rate")
        'The learning rate'
    """
    return text[:1].upper() + text[1:]
