"""Formatting of numbers and lists for people: three or four digits, never eight."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any


def significant(value: float | None, digits: int = 4) -> str:
    """Formats a number with a few significant digits.

    All digits before the decimal point are kept. Numbers below a hundredth are written with a power
    of ten, as learning rates are.

    Args:
        value: any number, including infinity; None and NaN become words.
        digits: significant digits, trailing zeros included, so that columns line up.

    Example:
        >>> significant(8.5612), significant(12345.6), significant(0.25, 3), significant(1.26e-6, 3)
        ('8.561', '12346', '0.250', '1.26e-6')
        >>> significant(-0.031), significant(0), significant(None), significant(-math.inf)
        ('−0.03100', '0', 'none', '−∞')
    """
    if value is None:
        return "none"
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    mantissa, power = f"{abs(value):.{digits - 1}e}".split("e")
    exponent = int(power)
    if exponent >= -2:
        text = f"{abs(value):.{max(0, digits - 1 - exponent)}f}"
    else:
        text = f"{mantissa}e{exponent}"
    return f"−{text}" if value < 0 else text


def bound(value: float) -> str:
    """Formats a bound of a range as the user wrote it, with up to six significant digits.

    Example:
        >>> bound(1e-6), bound(0.025), bound(200), bound(1.0)
        ('1e-6', '0.025', '200', '1')
    """
    return f"{value:g}".replace("e-0", "e-")


def p_value(p: float) -> str:
    """Formats the p-value of a test as papers do.

    Example:
        >>> p_value(0.0124), p_value(0.00031), p_value(0.5), p_value(1.0)
        ('0.012', '< 0.001', '0.50', '1.00')
    """
    if p < 0.001:
        return "< 0.001"
    return f"{p:.3f}" if p < 0.0995 else f"{p:.2f}"


def percent(share: float) -> str:
    """Formats a fraction as a percentage.

    Example:
        >>> percent(0.8312), percent(0.0312), percent(0.0004)
        ('83 %', '3.1 %', '0.0 %')
    """
    return f"{100 * share:.0f} %" if abs(share) >= 0.0995 else f"{100 * share:.1f} %"


def duration(seconds: float) -> str:
    """Formats a time span.

    Example:
        >>> duration(45), duration(200), duration(7300), duration(1e6)
        ('45 s', '3.3 min', '2.0 h', '11.6 days')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.1f} min"
    if seconds < 72 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"


def listed(words: Sequence[str]) -> str:
    """Joins words as in a sentence.

    Example:
        >>> listed(["NFG"]), listed(["NFG", "NOAF"]), listed(["NFG", "NOAF", "NP"])
        ('NFG', 'NFG and NOAF', 'NFG, NOAF and NP')
    """
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def counted(number: int, noun: str) -> str:
    """Formats a number with its noun.

    Example:
        >>> counted(1, "trial"), counted(1800, "trial")
        ('1 trial', '1,800 trials')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def capitalized(text: str) -> str:
    """Capitalizes the first letter; leaves codes such as NP unchanged.

    Example:
        >>> capitalized("the learning rate")
        'The learning rate'
    """
    return text[:1].upper() + text[1:]


def csv_table(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Formats a table as CSV, from which its numbers can be read back exactly.

    Args:
        columns: names of the columns.
        rows: rows with a cell for each column.

    Example:
        >>> print(csv_table(["variant", "score"], [["V", 8.4], ["NFG", None]]), end="")
        variant,score
        V,8.4
        NFG,
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return file.getvalue()
