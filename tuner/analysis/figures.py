"""Figures of a study as SVG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import matplotlib.figure
import matplotlib.ticker

from tuner.ledger import Entry, best_first
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
    finals = []
    for colour, (variant, trials) in zip(_COLOURS, entries.items(), strict=False):
        for rank, entry in enumerate(best_first(trials)):
            # Epoch 0, the untrained network, is far off and would flatten all else.
            curve = [point for point in entry.result.curve if point.epoch > 0]
            finals += [point.validation for point in curve]
            axes.plot(
                [point.epoch for point in curve],
                [point.validation for point in curve],
                color=colour,
                marker="." if len(curve) < 12 else None,
                linewidth=1.8 if rank == 0 else 0.6,
                alpha=1.0 if rank == 0 else 0.35,
                zorder=2 if rank == 0 else 1,
                label=variant if rank == 0 else None,
            )
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"validation {metric.name} ({metric.unit})")
    if finals:
        low, high = min(finals), sorted(finals)[int(0.95 * (len(finals) - 1))]
        margin = 0.05 * (high - low) or 0.1
        axes.set_ylim(low - margin, high + margin)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.5)
    return _svg(figure)


def _svg(figure: matplotlib.figure.Figure) -> str:
    text = io.StringIO()
    # Without a date and with a fixed salt the same trials give the same file.
    with matplotlib.rc_context({"svg.hashsalt": "lstm-odyssey", "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()
