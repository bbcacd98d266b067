"""Axes: which ones are logarithmic, and how ticks are labeled."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import matplotlib.axis
import matplotlib.ticker
import numpy as np

from common.text import capitalized
from tuner.analysis.statistics.summaries import Distribution
from tuner.search.space import Hyperparameter

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_WIDE = 3.0
_MANTISSAS: tuple[tuple[float, ...], ...] = (
    (1,),
    (1, 2, 5),
    (1, 1.5, 2, 3, 4, 5, 6, 8),
)
_MOST_DECADES = 6


def number(value: float) -> str:
    """Formats the number of a tick.

    Example:
        >>> number(0.25), number(1e-6), number(-2.5), number(200000.0), number(0.0)
        ('0.25', '10⁻⁶', '−2.5', '2·10⁵', '0')
    """
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.5g}".replace("-", "−")
    return _power(value)


def _power(value: float) -> str:
    """Formats a number with a power of ten."""
    mantissa, exponent = f"{value:.2e}".split("e")
    power = "10" + str(int(exponent)).translate(_SUPERSCRIPTS)
    factor = f"{float(mantissa):g}".replace("-", "−")
    return power if factor == "1" else f"{factor}·{power}"


def log_ticks(low: float, high: float, fewest: int = 3) -> list[float]:
    """Chooses round numbers for a logarithmic axis: only powers of ten if they suffice.

    Args:
        low: lower end, positive.
        high: upper end.
        fewest: number of ticks that suffices.

    Example:
        >>> log_ticks(20, 200), log_ticks(1e-4, 1e-2)
        ([20.0, 50.0, 100.0, 200.0], [0.0001, 0.001, 0.01])
    """
    # Ends that are round numbers up to rounding errors are included.
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
        if len(ticks) >= fewest:
            return ticks
    locator = matplotlib.ticker.MaxNLocator(nbins=4)
    return [float(tick) for tick in locator.tick_values(low, high) if low <= tick <= high]


def is_wide(low: float, high: float) -> bool:
    """Returns whether a log scale is better for values: all positive, and over 3 times apart."""
    return low > 0 and high > _WIDE * low


def shown_to(values: Distribution) -> float:
    """Returns where an axis may end, so that outliers (untrained networks) do not flatten the rest.

    That is Tukey's outer fence, or the mean if that is higher, or the highest value if that is
    lower.

    Example:
        >>> shown_to(Distribution.of([1.0, 2.0, 3.0, 4.0, 5.0]))
        5.0
        >>> shown_to(Distribution.of([1.0, 2.0, 3.0, 4.0, 60.0]))
        14.0
    """
    return min(values.maximum, max(values.tukey_fence, values.mean))


def common_end(lowest: float, ends: Sequence[float]) -> float:
    """Returns where an axis may end that is shared by several variants, each with its own end.

    A variant far above the others is cut off if this makes the axis less than half as long.

    Args:
        lowest: lower end of the axis.
        ends: the end for each variant.

    Example:
        >>> common_end(8.0, [9.0, 9.5, 10.0, 11.0, 60.0]), common_end(8.0, [9.0, 9.5, 10.0, 12.0])
        (15.5, 12.0)
    """
    lower, upper, highest = np.quantile(ends, [0.25, 0.75, 1.0])
    fence = upper + 3 * (upper - lower)
    cut = fence > lowest and highest - lowest > 2 * (fence - lowest)
    return float(fence if cut else highest)


def in_order(factors: Iterable[Hyperparameter]) -> list[Hyperparameter]:
    """Sorts hyperparameters as in the paper's Figure 4; others come last.

    Example:
        >>> from tuner.search.space import PAPER
        >>> [factor.name for factor in in_order(PAPER)]
        ['learning_rate', 'units', 'noise_std', 'momentum']
    """
    return sorted(factors, key=lambda factor: factor.rank)


def turned(factors: Iterable[Hyperparameter]) -> list[str]:
    """Returns sentences about hyperparameters whose axis does not show the value itself."""
    return [
        f"{capitalized(factor.label)} is laid out as 1 − {factor.label} on a log scale."
        for factor in factors
        if factor.scale == "one_minus_log"
    ]


def value_axis(
    axis: matplotlib.axis.Axis, low: float, high: float, *, margin: float = 0.04, ticks: int = 5
) -> bool:
    """Sets up an axis of scores or times, logarithmic if they are far apart.

    Args:
        axis: the axis, horizontal or vertical.
        low: smallest value shown.
        high: largest value shown.
        margin: space beyond both ends, as a share of the axis.
        ticks: approximate number of ticks if the axis is linear.

    Returns:
        Whether the axis is logarithmic.
    """
    wide = is_wide(low, high)
    if wide:
        factor = (high / low) ** margin
        ends = low / factor, high * factor
        chosen = log_ticks(*ends)
    else:
        # All values may be the same.
        room_beside = margin * (high - low) if high > low else 0.05 * abs(low) or 0.5
        ends = low - room_beside, high + room_beside
        locator = matplotlib.ticker.MaxNLocator(nbins=ticks, steps=[1, 2, 2.5, 5, 10])
        chosen = [tick for tick in locator.tick_values(*ends) if ends[0] <= tick <= ends[1]]
    _lay_out(axis, ends, chosen, [number(tick) for tick in chosen], logarithmic=wide)
    return wide


def factor_ticks(factor: Hyperparameter) -> list[tuple[float, str]]:
    """Chooses the ticks of a hyperparameter: the sampled quantity, and the label of each.

    Example:
        >>> from tuner.search.space import PAPER
        >>> factor_ticks(PAPER["momentum"])
        [(0.01, '0.99'), (0.1, '0.9'), (1.0, '0')]
    """
    low, high = factor.sampled_range
    if factor.logarithmic:
        ticks = log_ticks(low, high)
    else:
        locator = matplotlib.ticker.MaxNLocator(nbins=5)
        ticks = [float(tick) for tick in locator.tick_values(low, high) if low <= tick <= high]
    if factor.scale == "one_minus_log":
        return [(tick, number(round(factor.sampled(tick), 9))) for tick in ticks]
    powers = factor.logarithmic and low < 1e-3
    return [(tick, _power(tick) if powers else number(tick)) for tick in ticks]


def factor_axis(axis: matplotlib.axis.Axis, factor: Hyperparameter) -> None:
    """Sets up the axis of a hyperparameter on the scale that it was sampled on, and labels it.

    If 1 - value was sampled, the axis shows that quantity, its ticks are labeled with values, and
    the smallest value is on the left.
    """
    ticks = factor_ticks(factor)
    low, high = factor.sampled_range
    _lay_out(
        axis,
        (high, low) if factor.scale == "one_minus_log" else (low, high),
        [value for value, _ in ticks],
        [words for _, words in ticks],
        logarithmic=factor.logarithmic,
    )
    axis.set_label_text(factor.label)


def time_unit(longest: float) -> tuple[str, float]:
    """Chooses the unit of training times: its name, and its length in seconds.

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
