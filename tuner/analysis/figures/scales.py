"""Axes: what is laid out by powers of ten, and how ticks are written."""

from __future__ import annotations

import math

import matplotlib.axis
import matplotlib.ticker

from tuner.analysis.factors import Factor

MOMENTUM = "one_minus_momentum"

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_WIDE = 3.0
_MANTISSAS: tuple[tuple[float, ...], ...] = (
    (1,),
    (1, 2, 5),
    (1, 1.5, 2, 3, 4, 5, 6, 8),
)
_FEWEST_TICKS = 3
_MOST_DECADES = 6


def number(value: float) -> str:
    """Writes the number of a tick.

    Example:
        >>> number(0.25), number(1e-6), number(-2.5), number(200000.0), number(0.0)
        ('0.25', '10⁻⁶', '−2.5', '2·10⁵', '0')
    """
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e5:
        return f"{value:.5g}".replace("-", "−")
    mantissa, exponent = f"{value:.2e}".split("e")
    power = "10" + str(int(exponent)).translate(_SUPERSCRIPTS)
    factor = f"{float(mantissa):g}".replace("-", "−")
    return power if factor == "1" else f"{factor}·{power}"


def log_ticks(low: float, high: float) -> list[float]:
    """Chooses round numbers for an axis by powers of ten: powers of ten alone if they suffice.

    Args:
        low: lower end, positive.
        high: upper end.

    Example:
        >>> log_ticks(20, 200), log_ticks(1e-4, 1e-2)
        ([20.0, 50.0, 100.0, 200.0], [0.0001, 0.001, 0.01])
    """
    # Ends that are round numbers up to rounding count.
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    step = math.ceil((last - first) / _MOST_DECADES) if last > first else 1
    ticks: list[float] = []
    for mantissas in _MANTISSAS:
        candidates = [
            float(f"{mantissa}e{exponent}")
            for exponent in range(first, last + 1, step)
            for mantissa in mantissas
        ]
        ticks = [tick for tick in candidates if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
        if len(ticks) >= _FEWEST_TICKS:
            return ticks
    locator = matplotlib.ticker.MaxNLocator(nbins=4)
    return [float(tick) for tick in locator.tick_values(low, high) if low <= tick <= high]


def is_wide(low: float, high: float) -> bool:
    """Whether values are better laid out by powers of ten: all positive, and over 3 times apart."""
    return low > 0 and high > _WIDE * low


def value_axis(
    axis: matplotlib.axis.Axis, low: float, high: float, *, margin: float = 0.04, ticks: int = 5
) -> bool:
    """Lays out scores or times, by powers of ten if they lie far apart.

    Args:
        axis: horizontal or vertical.
        low: smallest value shown.
        high: largest value shown.
        margin: room beyond both ends, as a share of the axis.
        ticks: about how many there should be where the axis is linear.

    Returns:
        Whether the axis is logarithmic.
    """
    wide = is_wide(low, high)
    if wide:
        room = (high / low) ** margin
        ends = low / room, high * room
        chosen = log_ticks(*ends)
    else:
        room_beside = margin * (high - low) or 0.05 * abs(low) or 0.5
        ends = low - room_beside, high + room_beside
        locator = matplotlib.ticker.MaxNLocator(nbins=ticks, steps=[1, 2, 2.5, 5, 10])
        chosen = [tick for tick in locator.tick_values(*ends) if ends[0] <= tick <= ends[1]]
    _lay_out(axis, ends, chosen, [number(tick) for tick in chosen], logarithmic=wide)
    return wide


def factor_axis(axis: matplotlib.axis.Axis, factor: Factor, *, label: bool = True) -> None:
    """Lays out a hyperparameter on the scale that it was sampled on.

    Momentum was varied as 1 - momentum on a log scale: the axis is written as momentum, and runs
    from none at the left to much at the right.

    Args:
        axis: horizontal or vertical.
        factor: what is laid out.
        label: whether the axis is named.
    """
    if factor.scale == "log":
        ticks = log_ticks(factor.low, factor.high)
    else:
        locator = matplotlib.ticker.MaxNLocator(nbins=5)
        ticks = [
            tick
            for tick in locator.tick_values(factor.low, factor.high)
            if factor.low <= tick <= factor.high
        ]
    momentum = factor.name == MOMENTUM
    words = [number(round(1 - tick, 9) if momentum else tick) for tick in ticks]
    ends = (factor.high, factor.low) if momentum else (factor.low, factor.high)
    _lay_out(axis, ends, ticks, words, logarithmic=factor.scale == "log")
    if label:
        axis.set_label_text(name_of(factor))


def name_of(factor: Factor) -> str:
    """What an axis of a hyperparameter is called."""
    return "momentum" if factor.name == MOMENTUM else factor.label


def time_unit(longest: float) -> tuple[str, float]:
    """Chooses the unit of training times: its name, and how many seconds it has.

    Example:
        >>> time_unit(40.0), time_unit(3000.0), time_unit(9000.0)
        (('seconds', 1.0), ('minutes', 60.0), ('hours', 3600.0))
    """
    if longest < 120:
        return "seconds", 1.0
    return ("minutes", 60.0) if longest < 7200 else ("hours", 3600.0)


def _lay_out(
    axis: matplotlib.axis.Axis,
    ends: tuple[float, float],
    ticks: list[float],
    words: list[str],
    *,
    logarithmic: bool,
) -> None:
    which = axis.axis_name  # type: ignore[attr-defined]
    axis.axes.set(
        **{f"{which}scale": "log" if logarithmic else "linear", f"{which}lim": ends}
    )
    axis.set_major_locator(matplotlib.ticker.FixedLocator(ticks))
    axis.set_major_formatter(matplotlib.ticker.FixedFormatter(words))
    axis.set_minor_locator(matplotlib.ticker.NullLocator())
