"""Parsing of hyperparameter ranges as users write them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from common.errors import InputError
from tuner.search.space import KNOWN, Hyperparameter, Number, Space


def parse_flag(items: Sequence[str], space: Space) -> Space:
    """Applies the items of the flag `--space` to a space.

    Args:
        items: strings such as `learning_rate=1e-6:1`.
        space: the space to start from.

    Raises:
        InputError: if an item is invalid; the message names it.

    Example:
        >>> from tuner.search.space import PAPER
        >>> parse_flag(["learning_rate=1e-6:1"], PAPER)["learning_rate"].high
        1.0
        >>> parse_flag(["units=200:20"], PAPER)
        Traceback (most recent call last):
        common.errors.InputError: --space: units: expected LOW:HIGH with LOW at most HIGH. ...
    """
    ranges = {}
    for item in items:
        name, _, ends = (part.strip() for part in item.partition("="))
        if name not in KNOWN:
            raise InputError(
                f"--space: expected NAME=LOW:HIGH with a name of {', '.join(KNOWN)}. "
                f"Received: {item!r}"
            )
        ranges[name] = _parse_range(KNOWN[name], ends)
    return space.with_ranges(ranges)


def _parse_range(row: Hyperparameter, ends: str) -> tuple[Number, Number]:
    kind = "whole numbers" if row.integer else "numbers"
    try:
        low, high = (row.parse(end) for end in ends.split(":"))
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError
    except (ValueError, OverflowError) as error:
        raise InputError(
            f"--space: {row.name}: expected LOW:HIGH, two {kind}. Received: {ends!r}"
        ) from error
    if expected := row.fault(low, high):
        raise InputError(f"--space: {row.name}: expected {expected}. Received: {ends!r}")
    return low, high
