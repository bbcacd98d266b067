"""The numbers of a report as CSV tables, for readers with their own figures or tests.

Each table has all studies of the report, named in its first column. One row is one observation: a
variant, a comparison, an effect, a point of a curve.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from common import text
from tuner.analysis.importance.importance import Importance
from tuner.analysis.statistics.summaries import Comparison, Distribution
from tuner.analysis.study_analysis import StudyAnalysis
from tuner.analysis.trials.columns import hyperparameters

Cells = Iterable[Any]


def write(studies: Mapping[str, StudyAnalysis]) -> dict[str, str]:
    """Writes all tables.

    Args:
        studies: the analyses, by the name for the column `study`.

    Returns:
        The text of each CSV file, by the name of the table. A table without rows has only a
        header.
    """
    varied = hyperparameters(name for one in studies.values() for name in one.records.space.names)
    names = [row.name for row in varied]
    tables: dict[str, tuple[str, Callable[[StudyAnalysis], Iterator[Cells]]]] = {
        **_TABLES,
        "failures": (
            f"variant trial {' '.join(names)} seed reason engine",
            lambda study: _failures(study, names),
        ),
    }
    return {
        table: text.csv_table(
            ["study", *columns.split()],
            ([name, *cells] for name, study in studies.items() for cells in rows(study)),
        )
        for table, (columns, rows) in tables.items()
    }


def _variants(study: StudyAnalysis) -> Iterator[Cells]:
    for one in study.summaries:
        best = one.best.result
        yield (
            *(one.variant, one.planned, one.finished, one.failed, one.diverged),
            *(one.best.trial.index, best.validation.mean, best.test.mean, best.test_grouped),
            len(one.top),
            *(getattr(one.test, name) for name in _DISTRIBUTION),
            *(getattr(one.top_test, name) for name in _DISTRIBUTION),
            *(one.parameters.median, one.seconds.mean * one.seconds.count),
        )


def _comparisons(study: StudyAnalysis) -> Iterator[Cells]:
    for variant, one in study.comparisons.items():
        if isinstance(one, Comparison):
            ends = (*one.g_interval, *one.difference_interval)
            yield variant, *(getattr(one, name) for name in _COMPARISON), *ends
        else:
            lacking = {"verdict": f"{one.label}: {one.reason}"}
            yield variant, *map(lacking.get, _COMPARISON), *[None] * 4


def _analyzed(study: StudyAnalysis) -> Iterator[tuple[str, str, Importance]]:
    """Yields the available importance analyses, with the cells that name them."""
    for (variant, target), result in study.importance.items():
        if isinstance(result, Importance):
            yield variant or "all", target, result


def _importance(study: StudyAnalysis) -> Iterator[Cells]:
    for *key, result in _analyzed(study):
        for effect in (*result.mains, *result.pairs, result.higher_order):
            single = effect.names[0] if len(effect.names) == 1 else ""
            name = " x ".join(effect.names) or "three and more"
            yield (
                *(*key, name, effect.share, effect.std, result.ped_anova.get(single)),
                *(result.explained, result.clipped, result.trials, result.backend),
            )


def _marginals(study: StudyAnalysis) -> Iterator[Cells]:
    for *key, result in _analyzed(study):
        for marginal in result.marginals:
            for value, mean, std in zip(marginal.values, marginal.mean, marginal.std, strict=True):
                yield *key, marginal.name, value, float(mean), float(std)


def _expected_best(study: StudyAnalysis) -> Iterator[Cells]:
    for curve in study.expected_best:
        points = zip(curve.validation, curve.test, curve.std, strict=True)
        for trials, scores in enumerate(points, start=1):
            yield curve.variant, trials, *scores


def _failures(study: StudyAnalysis, names: Iterable[str]) -> Iterator[Cells]:
    for failure in study.records.all_failures:
        trial = failure.trial
        values = map(trial.values.get, names)
        yield trial.variant, trial.index, *values, trial.seed, failure.reason, failure.engine


def _curves(study: StudyAnalysis) -> Iterator[Cells]:
    for entry in study.records.all_entries:
        for point in entry.result.curve:
            trial = entry.trial
            yield trial.variant, trial.index, point.epoch, point.loss, point.validation


_DISTRIBUTION = [one.name for one in dataclasses.fields(Distribution) if one.name != "count"]
_COMPARISON = [
    one.name
    for one in dataclasses.fields(Comparison)
    if one.name not in ("variant", "g_interval", "difference_interval")
]
_TESTS = [f"{of}_{name}" for of in ("test", "best_tenth_test") for name in _DISTRIBUTION]

_TABLES: dict[str, tuple[str, Callable[[StudyAnalysis], Iterator[Cells]]]] = {
    "variants": (
        "variant planned finished failed diverged best_trial best_validation its_test "
        f"its_test_grouped best_tenth_trials {' '.join(_TESTS)} best_tenth_median_parameters "
        "seconds",
        _variants,
    ),
    "comparisons": (
        f"variant {' '.join(_COMPARISON)} g_low g_high difference_low difference_high",
        _comparisons,
    ),
    "importance": (
        "variant target effect share spread ped_anova explained limited trials backend",
        _importance,
    ),
    "marginals": ("variant target factor value mean spread", _marginals),
    "expected_best": ("variant trials validation test spread", _expected_best),
    "curves": ("variant trial epoch loss validation", _curves),
}
"""Columns of each table, and the function that makes its rows."""
