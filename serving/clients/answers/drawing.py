"""Draws a model's answer over time."""

from __future__ import annotations

import io
from pathlib import Path

from common import files
from serving.clients.answers.report import Picture

_NAMES_SHOWN = 40


def write_svg(picture: Picture, title: str, path: Path) -> None:
    """Writes values over time as an SVG image.

    Args:
        picture: what to draw.
        title: heading of the image.
        path: file to write; see `common.files.write_file`.

    Raises:
        OSError: if the file cannot be written.
    """
    import matplotlib
    from matplotlib.figure import Figure

    times, rows = picture.values.shape
    # Text stays text, and the same answer gives the same bytes.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure = Figure(figsize=(9, 5), layout="constrained")
        axes = figure.subplots()
        image = axes.imshow(
            picture.values.T,
            aspect="auto",
            origin="lower",
            interpolation="nearest",
            cmap="viridis",
            extent=(0.0, times * picture.time_step, -0.5, rows - 0.5),
        )
        axes.set_title(title)
        axes.set_xlabel(picture.time_label)
        axes.set_ylabel(picture.rows_label)
        if picture.row_names and len(picture.row_names) <= _NAMES_SHOWN:
            axes.set_yticks(sorted(picture.row_names))
            axes.set_yticklabels([picture.row_names[row] for row in sorted(picture.row_names)])
        figure.colorbar(image, label=picture.quantity)
        content = io.BytesIO()
        figure.savefig(content, format="svg", metadata={"Date": None, "Title": title})
    files.write_bytes(path, content.getvalue())
