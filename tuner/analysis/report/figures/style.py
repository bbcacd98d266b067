"""The common style of all figures.

Series colors have a contrast of at least 3:1 with white and with the dark page (WCAG 2.2, success
criterion 1.4.11). Nine colors in such a narrow band of lightness cannot all differ for color-blind
readers, so every variant also has its own dash and marker.
"""

from __future__ import annotations

import colorsys
import dataclasses
from collections.abc import Iterable
from typing import Any

import matplotlib.axes
import matplotlib.figure
import matplotlib.lines
import numpy as np

from tuner.analysis.statistics.summaries import BASELINE

INK = "#1c1c1c"
MUTED = "#595959"
GRID = "#d9d9d9"
PAPER = "#ffffff"

ROLES = {
    "ink": (INK, "#e6e6e3"),
    "muted": (MUTED, "#a8adb4"),
    "grid": (GRID, "#3b4048"),
    "paper": (PAPER, "#16181c"),
}
"""Colors that change with the page, by role: on light and on dark. Nothing else may use them."""

ACCENT = "#1c6ad4"
"""What differs significantly, as blue in the paper's figures."""

SIGNAL = "#e2591a"
"""Medians and means in boxes, as red in the paper's figures; trials that diverged."""

WIDTH = 9.0
"""Width of every figure in inches."""

RASTER_DPI = 144

FONT = "font-family: system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"

SETTINGS: dict[Any, Any] = {
    # The same trials produce the same file.
    "svg.hashsalt": "lstm-odyssey",
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "legend.fontsize": 9.5,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "savefig.edgecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "path.simplify_threshold": 0.3,
}
"""Matplotlib settings with which figures are drawn and written."""


@dataclasses.dataclass(frozen=True)
class Series:
    """How a variant is drawn in every figure.

    Attributes:
        color: color of lines and points.
        dash: matplotlib's line style.
        marker: matplotlib's marker.
    """

    color: str
    dash: Any
    marker: str


_BASELINE = Series(INK, "-", "o")
POOLED = Series(INK, (0, (1.2, 1.2)), "")
"""All variants together."""

_OTHERS = (
    Series(ACCENT, (0, (6, 1.5)), "s"),
    Series(SIGNAL, "-", "^"),
    Series("#009b77", (0, (4, 1.2, 1, 1.2)), "D"),
    Series("#cf6fb8", "-", "v"),
    Series("#9a7400", (0, (3, 1.2)), "P"),
    Series("#3393cc", "-", "X"),
    Series("#8d49c9", (0, (7, 1.5, 1.5, 1.5)), "<"),
    Series("#7c7c7c", "-", ">"),
)


def series(variants: Iterable[str]) -> dict[str, Series]:
    """Assigns each variant its style, by its position in a study; vanilla's is always the same.

    Example:
        >>> styles = series(["V", "NIG", "NFG"])
        >>> styles["NFG"].marker, styles["V"] == series(["NP", "V"])["V"]
        ('^', True)
    """
    others = [variant for variant in variants if variant != BASELINE]
    styles = (*_OTHERS, *map(_further, range(len(others))))
    return {BASELINE: _BASELINE, **dict(zip(others, styles, strict=False))}


def _further(place: int) -> Series:
    """Returns the style of a series after the nine, different from theirs and from all others.

    Its color has the luminance between white and the dark page that contrasts with both.
    """
    hue = np.array(colorsys.hsv_to_rgb((0.08 + place * _GOLDEN) % 1, 1, 1))
    linear = np.where(hue <= 0.04045, hue / 12.92, ((hue + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ [0.2126, 0.7152, 0.0722])
    excess = (_LUMINANCE - luminance) / (1 - luminance)
    linear = linear * _LUMINANCE / luminance if excess < 0 else linear + excess * (1 - linear)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    color = "#" + "".join(f"{round(255 * channel):02x}" for channel in encoded)
    # Each has its own dash length; markers come first, then letters.
    dash = (0, (2 + 0.5 * place, 1.2, 1.2, 1.2, 1.2, 1.2))
    markers = ("*", "p", "h", "d", "8", "H", *(f"${chr(97 + letter)}$" for letter in range(26)))
    return Series(color, dash, markers[place % len(markers)])


_GOLDEN = (5**0.5 - 1) / 2
_LUMINANCE = 0.2


def panels(
    height: float,
    *,
    left: float,
    right: float,
    top: float,
    bottom: float,
    between: tuple[float, float] = (0.0, 0.0),
    grid: tuple[int, int] = (1, 1),
    share: bool = False,
) -> tuple[matplotlib.figure.Figure, np.ndarray]:
    """Makes a figure of the common width with empty panels; all lengths are in inches.

    Fixed margins cost no time, while automatic layouts draw a figure several times.

    Args:
        height: height of each panel.
        left: margin on the left.
        right: margin on the right.
        top: margin above.
        bottom: margin below.
        between: space between columns and between rows.
        grid: number of columns and of rows.
        share: whether all panels have the same axes.

    Returns:
        The figure, and its panels `[rows, columns]`.
    """
    columns, rows = grid
    total = round(top + rows * height + between[1] * (rows - 1) + bottom, 6)
    width = (WIDTH - left - right - between[0] * (columns - 1)) / columns
    figure = matplotlib.figure.Figure(figsize=(WIDTH, total))
    figure.subplots_adjust(
        left=left / WIDTH,
        right=1 - right / WIDTH,
        bottom=bottom / total,
        top=1 - top / total,
        wspace=between[0] / width,
        hspace=between[1] / height,
    )
    return figure, figure.subplots(rows, columns, squeeze=False, sharex=share, sharey=share)


def legend_line(series: Series, label: str, *, marker: bool = False) -> matplotlib.lines.Line2D:
    """Makes a line for a legend."""
    return matplotlib.lines.Line2D(
        [],
        [],
        color=series.color,
        linestyle=series.dash,
        linewidth=2.0,
        marker=series.marker if marker else "",
        markersize=5.5,
        label=label,
    )


def legend_beside(
    axes: matplotlib.axes.Axes, handles: list[matplotlib.lines.Line2D], title: str
) -> None:
    """Puts a legend to the right of a panel, where it hides nothing."""
    axes.legend(
        handles=handles,
        title=title,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.03),
        handlelength=3.2,
        labelspacing=0.7,
        alignment="left",
        title_fontproperties={"size": 9.5},
    )
