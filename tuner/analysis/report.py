"""The report of a study: one HTML page that needs no network, with the tables as CSV beside it."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import markupsafe

from serving import files
from tuner.analysis import figures, records, study_analysis
from tuner.analysis.records import Records
from tuner.analysis.statistics import VariantSummary
from tuner.design import Space
from tuner.progress import duration
from tuner.protocol import Protocol
from tuner.tasks.task import Metric


def write(directory: Path, order: Sequence[str]) -> Path:
    """Writes `report/` of a study from what is finished so far.

    Args:
        directory: the study directory.
        order: codes of all known variants in the order of the tables.

    Returns:
        The page, `report/index.html`.

    Raises:
        InputError: if it is no study directory or has no finished trial.
        OSError: if the report cannot be written.
    """
    study = records.load(directory, list(order))
    analysis = study_analysis.analyse(study)
    metric, summaries = analysis.metric, analysis.summaries
    folder = directory / "report"
    for name in ("tables", "figures"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    drawn = {figure.name: figure.svg for figure in figures.draw(analysis)}
    for name, svg in drawn.items():
        files.write_text(folder / "figures" / f"{name}.svg", svg)
    for name, rows in _tables(study, summaries).items():
        files.write_text(folder / "tables" / f"{name}.csv", _csv(rows))
    page = folder / "index.html"
    files.write_text(page, _render(study, summaries, metric, drawn.get("learning_curves", "")))
    return page


def _render(
    study: Records, summaries: Sequence[VariantSummary], metric: Metric, curves: str
) -> str:
    source = resources.files("tuner.analysis").joinpath("templates/report.html.j2")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["duration"] = duration
    template = environment.from_string(source.read_text(encoding="utf-8"))
    best = min(
        summaries, key=lambda summary: summary.best.result.validation.mean, default=None
    )
    return template.render(
        facts=study.facts,
        paper=_is_papers(study),
        summaries=summaries,
        best=best,
        grouped=all(summary.best.result.test_grouped is not None for summary in summaries),
        metric=metric,
        # Drawn by matplotlib from numbers and codes.
        curves=markupsafe.Markup(curves),
        finished=study.finished,
        failures=[failure for failures in study.failures.values() for failure in failures],
        planned=sum(study.planned.values()),
    )


def _is_papers(study: Records) -> bool:
    """Whether a study has the paper's space, rules and number of trials."""
    space, protocol = study.facts["space"], study.facts["protocol"]
    papers = {name: list(limits) for name, limits in dataclasses.asdict(Space()).items()}
    rules = dataclasses.asdict(Protocol(order_seed=protocol["order_seed"]))
    return space == papers and protocol == rules and set(study.planned.values()) == {200}


def _tables(
    study: Records, summaries: Sequence[VariantSummary]
) -> dict[str, Iterable[dict[str, Any]]]:
    entries = [entry for entries in study.entries.values() for entry in entries]
    return {
        "variants": [
            {
                "variant": summary.variant,
                "finished": summary.finished,
                "failed": summary.failed,
                "planned": summary.planned,
                "best_trial": summary.best.trial.index,
                "best_validation": summary.best.result.validation.mean,
                "its_test": summary.best.result.test.mean,
                "its_test_grouped": summary.best.result.test_grouped,
                "top_tenth_trials": len(summary.top),
                "top_tenth_median_test": summary.top_test.median,
                "diverged": summary.diverged,
                "seconds": summary.seconds.mean * summary.seconds.count,
            }
            for summary in summaries
        ],
        "trials": [
            {
                "variant": entry.trial.variant,
                "trial": entry.trial.index,
                **entry.trial.hyperparameters,
                "seed": entry.trial.seed,
                "best_epoch": entry.result.best_epoch,
                "validation": entry.result.validation.mean,
                "test": entry.result.test.mean,
                "validation_per_sequence": entry.result.validation.sequence_mean,
                "test_per_sequence": entry.result.test.sequence_mean,
                "diverged": entry.result.diverged,
                "seconds": entry.result.seconds,
                "parameters": entry.result.parameters,
                "engine": entry.result.engine,
                "test_grouped": entry.result.test_grouped,
            }
            for entry in entries
        ],
        "failures": [
            {
                "variant": failure.trial.variant,
                "trial": failure.trial.index,
                **failure.trial.hyperparameters,
                "seed": failure.trial.seed,
                "reason": failure.reason,
                "engine": failure.engine,
            }
            for failures in study.failures.values()
            for failure in failures
        ],
        "curves": [
            {
                "variant": entry.trial.variant,
                "trial": entry.trial.index,
                "epoch": point.epoch,
                "loss": point.loss,
                "validation": point.validation,
            }
            for entry in entries
            for point in entry.result.curve
        ],
    }


def _csv(rows: Iterable[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer: csv.DictWriter[str] | None = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(text, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow(row)
    return text.getvalue()
