"""The page of a comparison and its table: one HTML file that needs no network, and one CSV file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jinja2
import markupsafe
import numpy as np

from common import files, text
from tuner.analysis.report import page as report_page
from tuner.comparison import figures
from tuner.comparison.runs import Run
from tuner.comparison.tables import Answer
from tuner.comparison.verdicts import Verdict
from tuner.tasks.task import Metric

COLUMNS = ("grade", "sampler", "seed", "lag", "budget", "validation", "test", "area", "seconds")
"""Columns of the CSV file, which has a row for each run and budget."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A comparison of samplers, with its results.

    Attributes:
        grade: "tabular", "surrogate" or "live".
        words: sentences that describe what stood in for training.
        metric: the metric of the scores.
        lag: lag of all runs; None if each study has its own.
        budgets: numbers of trainings.
        runs: the runs of all samplers and seeds.
        exact: the expected best of random search on the finished trials, by budget.
        verdicts: the verdicts on all pairs of samplers.
        smallest: the smallest difference worth naming.
        best: the lowest validation score that can be found, if it is known.
    """

    grade: str
    words: str
    metric: Metric
    lag: int | None
    budgets: tuple[int, ...]
    runs: tuple[Run, ...]
    exact: dict[int, Answer]
    verdicts: tuple[Verdict, ...]
    smallest: float
    best: float | None


def write(comparison: Comparison, folder: Path, command: str) -> Path:
    """Writes `index.html`, `comparison.csv` and `figures/*.svg`.

    Args:
        comparison: the comparison to write.
        folder: the output folder; created if it does not exist.
        command: the command line that made the comparison.

    Returns:
        The path of the page.
    """
    drawn = figures.draw(comparison.runs, comparison.metric, comparison.best)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for figure in drawn:
        files.write_text(folder / "figures" / f"{figure.name}.svg", figure.svg)
    files.write_text(folder / "comparison.csv", table(comparison))
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tuner.comparison"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": text.significant,
        "p": text.p_value,
        "duration": text.duration,
    }
    page = folder / "index.html"
    files.write_text(
        page,
        environment.get_template("comparison.html.j2").render(
            comparison=comparison,
            rows=rows(comparison),
            figures=[(one, markupsafe.Markup(one.svg)) for one in drawn],
            style=report_page.style(),
            command=command,
            seeds=len({run.seed for run in comparison.runs}),
        ),
    )
    return page


def table(comparison: Comparison) -> str:
    """Writes a row for each run and budget as CSV."""
    return text.csv_table(
        COLUMNS,
        (
            (
                *(comparison.grade, run.sampler, run.seed, comparison.lag, budget),
                *map(float, (run.validation[end], run.test[end], run.area(budget))),
                round(float(run.seconds[end]), 3),
            )
            for run in comparison.runs
            for budget in comparison.budgets
            if (end := budget - 1) < len(run.validation)
        ),
    )


def rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Returns the page's numbers: means over the seeds for each sampler and budget."""
    found = figures.by_sampler(comparison.runs)
    first = next(iter(found.values()))
    listed = []
    for sampler, runs in found.items():
        for budget in comparison.budgets:
            if any(len(run.validation) < budget for run in [*runs, *first]):
                continue
            end = budget - 1
            validation, test = (
                np.array([getattr(run, name)[end] for run in runs])
                for name in ("validation", "test")
            )
            # The mean time that the first sampler needs for the same number of trainings.
            time = float(np.mean([run.seconds[end] for run in first]))
            at_time = figures.at_seconds(runs, np.array([time]))[:, 0]
            enough = all(run.seconds[-1] >= time for run in runs)
            count = len(runs)
            error = float(validation.std(ddof=1) / np.sqrt(count)) if count > 1 else None
            listed.append(
                {
                    "sampler": sampler,
                    "budget": budget,
                    "seeds": count,
                    "validation": float(validation.mean()),
                    "error": error,
                    "test": float(test.mean()),
                    "seconds": float(np.mean([run.seconds[end] for run in runs])),
                    "at_time": float(at_time.mean())
                    if enough and np.isfinite(at_time).all()
                    else None,
                }
            )
    return listed
