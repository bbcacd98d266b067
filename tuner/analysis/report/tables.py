"""The numbers of a report as CSV tables, for those who draw or test for themselves.

Each table has all studies of the report; its first column says which. One row is one observation: a
variant, a comparison, an effect, a point of a curve.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from tuner.analysis.importance.importance import Importance
from tuner.analysis.statistics.summaries import Comparison, Distribution
from tuner.analysis.study_analysis import StudyAnalysis

Row = dict[str, Any]


def write(studies: Mapping[str, StudyAnalysis]) -> dict[str, str]:
    """Writes all tables.

    Args:
        studies: by the name that stands in the column `study`.

    Returns:
        The text of each CSV file by the name of the table. A table without a row is empty but for
        its header.
    """
    return {
        table.name: _csv(
            ("study", *table.columns),
            # Not by csv.DictWriter, which takes twice as long for the points of all curves.
            (
                [name, *map(row.get, table.columns)]
                for name, study in studies.items()
                for row in table.rows(study)
            ),
        )
        for table in _TABLES
    }


@dataclasses.dataclass(frozen=True)
class _Table:
    name: str
    columns: Sequence[str]
    rows: Callable[[StudyAnalysis], Iterable[Row]]


_DISTRIBUTION = tuple(
    field.name for field in dataclasses.fields(Distribution) if field.name != "count"
)
_COMPARISON = tuple(
    field.name
    for field in dataclasses.fields(Comparison)
    if field.name not in ("variant", "g_interval")
)


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
            yield {
                "variant": variant,
                **{name: getattr(comparison, name) for name in _COMPARISON},
                "g_low": low,
                "g_high": high,
            }
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
                "spread": effect.spread,
                "ped_anova": result.ped_anova.get(single),
                "explained": result.explained,
                "limited": result.limited,
                "trials": result.trials,
                "backend": result.backend,
            }


def _marginals(study: StudyAnalysis) -> Iterator[Row]:
    for key, result in _analyzed(study):
        for marginal in result.marginals:
            for value, mean, spread in zip(
                marginal.values, marginal.mean, marginal.spread, strict=True
            ):
                yield {
                    **key,
                    "factor": marginal.name,
                    "value": value,
                    "mean": float(mean),
                    "spread": float(spread),
                }


def _expected_best(study: StudyAnalysis) -> Iterator[Row]:
    for curve in study.expected_best:
        for trials, (validation, test, spread) in enumerate(
            zip(curve.validation, curve.test, curve.spread, strict=True), start=1
        ):
            yield {
                "variant": curve.variant,
                "trials": trials,
                "validation": validation,
                "test": test,
                "spread": spread,
            }


def _failures(study: StudyAnalysis) -> Iterator[Row]:
    for failures in study.records.failures.values():
        for failure in failures:
            yield {
                "variant": failure.trial.variant,
                "trial": failure.trial.index,
                **failure.trial.hyperparameters,
                "seed": failure.trial.seed,
                "reason": failure.reason,
                "engine": failure.engine,
            }


def _curves(study: StudyAnalysis) -> Iterator[Row]:
    for entries in study.records.entries.values():
        for entry in entries:
            for point in entry.result.curve:
                yield {
                    "variant": entry.trial.variant,
                    "trial": entry.trial.index,
                    "epoch": point.epoch,
                    "loss": point.loss,
                    "validation": point.validation,
                }


_TABLES = (
    _Table(
        "variants",
        (
            *("variant", "planned", "finished", "failed", "diverged", "best_trial"),
            *("best_validation", "its_test", "its_test_grouped", "best_tenth_trials"),
            *(f"test_{name}" for name in _DISTRIBUTION),
            *(f"best_tenth_test_{name}" for name in _DISTRIBUTION),
            *("best_tenth_median_parameters", "seconds"),
        ),
        _variants,
    ),
    _Table("comparisons", ("variant", *_COMPARISON, "g_low", "g_high"), _comparisons),
    _Table(
        "importance",
        (
            *("variant", "target", "effect", "share", "spread", "ped_anova", "explained"),
            *("limited", "trials", "backend"),
        ),
        _importance,
    ),
    _Table("marginals", ("variant", "target", "factor", "value", "mean", "spread"), _marginals),
    _Table("expected_best", ("variant", "trials", "validation", "test", "spread"), _expected_best),
    _Table(
        "failures",
        (
            *("variant", "trial", "units", "learning_rate", "momentum", "noise_std", "seed"),
            *("reason", "engine"),
        ),
        _failures,
    ),
    _Table("curves", ("variant", "trial", "epoch", "loss", "validation"), _curves),
)


def _csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()
