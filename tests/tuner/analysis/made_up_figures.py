"""Analyses of studies that nobody trained, by hand: a figure's test knows what is to be drawn."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

from tests.tuner.analysis import made_up, made_up_page
from tests.tuner.entry import make_entry
from tuner.analysis.importance.importance import TARGETS, Importance, Marginal, Surface
from tuner.analysis.report import figures
from tuner.analysis.statistics import summaries
from tuner.analysis.statistics.summaries import Distribution, InsufficientData, VariantSummary
from tuner.analysis.study_analysis import StudyAnalysis
from tuner.tasks.task import Metric
from tuner.training.protocol import Score, TrialRecord

NLL = Metric("NLL", "nats per frame")
CODES = ("V", "NFG", "NP")
LOW = InsufficientData("NP has 4 trials; the forest needs 20")


def analyzed(variant: str | None, target: str) -> Importance:
    """Shares of `made_up_page`; marginals and surfaces rise with the place on the grid."""
    base = made_up_page.importance(variant, target, CODES)
    plain = [factor for factor in base.factors if factor.name != "variant"]
    grids = [factor.grid(5) for factor in plain]
    unit = 1.0 if target == "test" else 60.0
    return dataclasses.replace(
        base,
        marginals=tuple(
            Marginal(
                factor.name,
                grids[place],
                unit * (9.0 + place + np.arange(5) / 10),
                np.full(5, unit * 0.02),
            )
            for place, factor in enumerate(plain)
        ),
        surfaces=(
            # [units, learning rate]: rises by 1 with the units, by 0.1 with the learning rate.
            Surface(
                ("units", "learning_rate"),
                (grids[0], grids[1]),
                9 + np.arange(5)[:, None] + np.arange(5) / 10,
            ),
            Surface(
                ("learning_rate", "noise_std"),
                (grids[1], grids[3]),
                9 + np.arange(5)[:, None] / 10 + np.arange(5),
            ),
        ),
    )


@functools.cache
def study() -> StudyAnalysis:
    """Twenty made-up trials a variant, NP without importance."""
    bare = bare_study()
    return dataclasses.replace(
        bare,
        expected_best=tuple(
            summaries.expected_best(code, bare.records.entries[code]) for code in CODES
        ),
        importance={
            (code, target): LOW if code == "NP" else analyzed(code, target)
            for target in TARGETS
            for code in (None, *CODES)
        },
    )


def bare_study(trials: int = 20, seed: int = 1) -> StudyAnalysis:
    """A study without importance and expected best."""
    bare = made_up_page.analysis(made_up.records(trials, CODES, seed=seed), enough=False)
    return dataclasses.replace(bare, importance={})


@functools.cache
def drawn() -> tuple[figures.Figure, ...]:
    return figures.draw(study())


def entry(
    index: int, test: float, *, diverged: bool = False, variant: str = "NFG", **values: Any
) -> TrialRecord:
    made = make_entry(index, test, diverged=diverged)
    changed = {**made.trial.values, **values}
    return TrialRecord(
        dataclasses.replace(made.trial, variant=variant, values=changed),
        dataclasses.replace(made.result, test=Score(test, test)),
    )


def summary(variant: str, test: Distribution, top: Distribution | None = None) -> VariantSummary:
    return VariantSummary(
        variant=variant,
        planned=test.count,
        failed=0,
        ranked=(entry(0, test.minimum, variant=variant),),
        test=test,
        top_test=top or test,
        parameters=Distribution.of([{"V": 40_000.0, "NFG": 30_000.0}.get(variant, 20_000.0)]),
        seconds=Distribution.of([1.0]),
    )
