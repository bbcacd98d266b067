"""Figures of a study as SVG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import matplotlib.figure
import matplotlib.ticker
import numpy as np

from tuner.ledger import Entry, best_first
from tuner.protocol import Epoch
from tuner.tasks.task import Metric

# Okabe and Ito's colours, which colour-blind readers tell apart, and grey for the ninth variant.
_COLOURS = (
    "#000000",
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#c9b500",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
    "#8c8c8c",
)


def learning_curves(entries: Mapping[str, Sequence[Entry]], metric: Metric) -> str:
    """Draws validation by epoch for every trial, the best trial of each variant in bold.

    Args:
        entries: finished trials by variant.
        metric: for the axis.

    Returns:
        An SVG document.
    """
    figure = matplotlib.figure.Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    low, high = _limits([point for trials in entries.values() for point in _points(trials)])
    for colour, (variant, trials) in zip(_COLOURS, entries.items(), strict=False):
        for rank, entry in enumerate(best_first(trials)):
            curve = _trained(entry)
            above = all(point.validation > high for point in curve)
            axes.plot(
                [point.epoch for point in curve],
                [point.validation for point in curve],
                color=colour,
                marker="." if len(curve) < 12 else None,
                linewidth=1.8 if rank == 0 else 0.6,
                alpha=1.0 if rank == 0 else 0.35,
                zorder=2 if rank == 0 else 1,
                label=f"{variant}{' (above)' * above}" if rank == 0 else None,
            )
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"validation {metric.name} ({metric.unit})")
    axes.set_ylim(low, high)
    if entries:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.5)
    return _svg(figure)


def _trained(entry: Entry) -> list[Epoch]:
    """The epochs of a trial without the untrained network, which is far off."""
    return [point for point in entry.result.curve if point.epoch > 0]


def _points(trials: Sequence[Entry]) -> list[float]:
    return [point.validation for entry in trials for point in _trained(entry)]


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """Ends of the axis: all that is not far above the rest, as Tukey's box plots draw the line."""
    if not values:
        return 0.0, 1.0
    quarter, three_quarters = np.quantile(values, [0.25, 0.75])
    fence = three_quarters + 1.5 * (three_quarters - quarter)
    lowest, highest = min(values), max(value for value in values if value <= fence)
    margin = 0.05 * (highest - lowest) or 0.1
    return lowest - margin, highest + margin


def _svg(figure: matplotlib.figure.Figure) -> str:
    text = io.StringIO()
    # Without a date and with a fixed salt the same trials give the same file.
    with matplotlib.rc_context({"svg.hashsalt": "lstm-odyssey", "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()
