"""The numbers of a report as CSV tables, for those who draw or test for themselves.

Each table has all studies of the report; its first column says which. One row is one observation: a
variant, a comparison, an effect, a point of a curve.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tuner.analysis.importance.importance import Importance
from tuner.analysis.statistics.summaries import Comparison, Distribution
from tuner.analysis.study_analysis import StudyAnalysis
from tuner.analysis.trials.columns import hyperparameters

Row = dict[str, Any]


def write(studies: Mapping[str, StudyAnalysis]) -> dict[str, str]:
    """Writes all tables.

    Args:
        studies: by the name that stands in the column `study`.

    Returns:
        The text of each CSV file by the name of the table. A table without a row is empty but for
        its header.
    """
    varied = hyperparameters(name for one in studies.values() for name in one.records.space.names)
    texts = {}
    for table, (columns, rows) in _TABLES.items():
        names = [
            name
            for column in columns.split()
            for name in ([row.name for row in varied] if column == "*" else [column])
        ]
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["study", *names])
        # Not by csv.DictWriter, which takes twice as long for the points of all curves.
        writer.writerows(
            [name, *map(row.get, names)] for name, study in studies.items() for row in rows(study)
        )
        texts[table] = file.getvalue()
    return texts


_DISTRIBUTION = [
    field.name for field in dataclasses.fields(Distribution) if field.name != "count"
]
_DISTRIBUTIONS = [f"{of}_{name}" for of in ("test", "best_tenth_test") for name in _DISTRIBUTION]
_COMPARISON = [
    field.name
    for field in dataclasses.fields(Comparison)
    if field.name not in ("variant", "g_interval")
]


def _variants(study: StudyAnalysis) -> Iterator[Row]:
    for summary in study.summaries:
        best = summary.best
        yield {
            "variant": summary.variant,
            "planned": summary.planned,
            "finished": summary.finished,
            "failed": summary.failed,
            "diverged": summary.diverged,
            "best_trial": best.trial.index,
            "best_validation": best.result.validation.mean,
            "its_test": best.result.test.mean,
            "its_test_grouped": best.result.test_grouped,
            "best_tenth_trials": len(summary.top),
            **_described("test", summary.test),
            **_described("best_tenth_test", summary.top_test),
            "best_tenth_median_parameters": summary.parameters.median,
            "seconds": summary.seconds.mean * summary.seconds.count,
        }


def _described(name: str, distribution: Distribution) -> Row:
    return {f"{name}_{field}": getattr(distribution, field) for field in _DISTRIBUTION}


def _comparisons(study: StudyAnalysis) -> Iterator[Row]:
    for variant, comparison in study.comparisons.items():
        if isinstance(comparison, Comparison):
            low, high = comparison.g_interval
            yield {**vars(comparison), "g_low": low, "g_high": high}
        else:
            yield {"variant": variant, "verdict": f"not enough trials: {comparison.reason}"}


def _analyzed(study: StudyAnalysis) -> Iterator[tuple[Row, Importance]]:
    """The importance analyses that there are, with the columns that name them."""
    for (variant, target), result in study.importance.items():
        if isinstance(result, Importance):
            yield {"variant": variant or "all", "target": target}, result


def _importance(study: StudyAnalysis) -> Iterator[Row]:
    for key, result in _analyzed(study):
        for effect in (*result.mains, *result.pairs, result.higher_order):
            single = effect.names[0] if len(effect.names) == 1 else ""
            yield {
                **key,
                "effect": " x ".join(effect.names) or "three and more",
                "share": effect.share,
                "spread": effect.std,
                "ped_anova": result.ped_anova.get(single),
                "explained": result.explained,
                "limited": result.clipped,
                "trials": result.trials,
                "backend": result.backend,
            }


def _marginals(study: StudyAnalysis) -> Iterator[Row]:
    for key, result in _analyzed(study):
        for marginal in result.marginals:
            points = zip(marginal.values, marginal.mean, marginal.std, strict=True)
            for value, mean, std in points:
                yield {
                    **key,
                    "factor": marginal.name,
                    "value": value,
                    "mean": float(mean),
                    "spread": float(std),
                }


def _expected_best(study: StudyAnalysis) -> Iterator[Row]:
    for curve in study.expected_best:
        points = zip(curve.validation, curve.test, curve.std, strict=True)
        for trials, (validation, test, std) in enumerate(points, start=1):
            yield {
                "variant": curve.variant,
                "trials": trials,
                "validation": validation,
                "test": test,
                "spread": std,
            }


def _failures(study: StudyAnalysis) -> Iterator[Row]:
    for failure in study.records.all_failures:
        yield {
            "variant": failure.trial.variant,
            "trial": failure.trial.index,
            **failure.trial.values,
            "seed": failure.trial.seed,
            "reason": failure.reason,
            "engine": failure.engine,
        }


def _curves(study: StudyAnalysis) -> Iterator[Row]:
    for entry in study.records.all_entries:
        for point in entry.result.curve:
            yield {
                "variant": entry.trial.variant,
                "trial": entry.trial.index,
                "epoch": point.epoch,
                "loss": point.loss,
                "validation": point.validation,
            }


_TABLES: dict[str, tuple[str, Callable[[StudyAnalysis], Iterable[Row]]]] = {
    "variants": (
        "variant planned finished failed diverged best_trial best_validation its_test "
        f"its_test_grouped best_tenth_trials {' '.join(_DISTRIBUTIONS)} "
        "best_tenth_median_parameters seconds",
        _variants,
    ),
    "comparisons": (f"variant {' '.join(_COMPARISON)} g_low g_high", _comparisons),
    "importance": (
        "variant target effect share spread ped_anova explained limited trials backend",
        _importance,
    ),
    "marginals": ("variant target factor value mean spread", _marginals),
    "expected_best": ("variant trials validation test spread", _expected_best),
    "failures": ("variant trial * seed reason engine", _failures),
    "curves": ("variant trial epoch loss validation", _curves),
}
"""Columns of each table, `*` for those of the hyperparameters, and its rows."""
