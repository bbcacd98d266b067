"""Analyses made up number by number, so that it is known what has to be said about them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from tests.tuner.entry import make_entry
from tuner.analysis.importance.importance import Effect, Importance, Marginal, Surface
from tuner.analysis.statistics import summaries
from tuner.analysis.statistics.summaries import Comparison, InsufficientData
from tuner.analysis.study_analysis import StudyAnalysis
from tuner.analysis.trials.records import Records
from tuner.search.space import PAPER
from tuner.training.protocol import Failure, Protocol, Trial, TrialRecord

FACTORS = PAPER.varied
GRID = {factor.name: factor.grid(41) for factor in FACTORS}
SHARES = {"units": 0.08, "learning_rate": 0.75, "momentum": 0.004, "noise_std": 0.05}


def entry(
    variant: str,
    index: int,
    validation: float,
    test: float | None = None,
    *,
    diverged: bool = False,
    learning_rate: float = 1e-3,
    units: int = 60,
    seconds: float = 60.0,
) -> TrialRecord:
    """A finished trial; its test score is 0.2 above validation unless told otherwise."""
    made = make_entry(index, validation, diverged=diverged)
    values = {**made.trial.values, "units": units, "learning_rate": learning_rate}
    trial = dataclasses.replace(made.trial, variant=variant, values=values)
    score = dataclasses.replace(
        made.result.test, mean=validation + 0.2 if test is None else test
    )
    return TrialRecord(trial, dataclasses.replace(made.result, test=score, seconds=seconds))


def waiting(variant: str, index: int, units: int) -> Trial:
    """A trial that has not ended."""
    values = {"units": units, "learning_rate": 1e-3, "momentum": 0.5, "noise_std": 0.1}
    return Trial(index, variant, values, seed=1)


def records(
    entries: Mapping[str, Sequence[TrialRecord]],
    *,
    waiting: Mapping[str, Sequence[Trial]] | None = None,
    failures: Mapping[str, Sequence[Failure]] | None = None,
    task: str = "music",
    **facts: object,
) -> Records:
    """A study of the paper's space, rules and data but for `facts`."""
    units = {"speech": ("frame error", "% of frames"), "music": ("NLL", "nats per frame")}
    name, unit = units.get(task, ("CER", "% of characters"))
    data = {"music": "JSB Chorales", "speech": "TIMIT (LDC93S1)", "handwriting": "IAM-OnDB"}
    return Records(
        name="made by hand",
        facts={
            "task": task,
            "metric": {"name": name, "unit": unit},
            "data": {"name": data.get(task, "own"), "sha256": "00", "detail": "made up"},
            "protocol": dataclasses.asdict(Protocol()),
            "space": PAPER.to_json(),
            "seed": 1,
            **facts,
        },
        entries={code: tuple(trials) for code, trials in entries.items()},
        failures={code: tuple((failures or {}).get(code, ())) for code in entries},
        waiting={code: tuple((waiting or {}).get(code, ())) for code in entries},
    )


def comparison(variant: str, difference: float = 0.01, **changes: object) -> Comparison:
    """A comparison of best tenths of 20 trials that shows nothing unless told otherwise."""
    nothing = Comparison(
        variant=variant,
        baseline="V",
        count=20,
        baseline_count=20,
        difference=difference,
        difference_interval=(difference - 0.07, difference + 0.07),
        t=difference / 0.05,
        degrees_of_freedom=37.5,
        p=0.4,
        p_holm=0.8,
        p_bonferroni=1.0,
        hedges_g=5 * difference,
        g_interval=(5 * difference - 1.2, 5 * difference + 1.3),
        p_mann_whitney=0.3,
        p_permutation=0.5,
        p_permutation_holm=0.9,
        detectable=0.151,
        verdict="no difference shown",
    )
    return dataclasses.replace(nothing, **changes)  # type: ignore[arg-type]


def significant(variant: str, difference: float, **changes: object) -> Comparison:
    """A comparison that shows a difference."""
    verdict = "worse" if difference > 0 else "better"
    numbers: dict[str, object] = {
        "p": 2e-4, "p_holm": 0.0014, "p_mann_whitney": 1e-5,
        "p_permutation": 5e-4, "p_permutation_holm": 0.0035, "verdict": verdict,
    }  # fmt: skip
    return comparison(variant, difference, **{**numbers, **changes})


def curve(name: str, ends: Sequence[float], std: float = 0.05) -> Marginal:
    """A marginal curve through some values, evenly spaced and joined by straight lines."""
    grid = GRID[name]
    mean = np.interp(np.linspace(0, 1, len(grid)), np.linspace(0, 1, len(ends)), ends)
    return Marginal(name, grid, mean, np.full(len(grid), std))


CURVES = {
    "units": [10.0, 9.7, 9.6],
    "learning_rate": [12.5, 11.0, 9.0, 8.6, 8.5],
    "momentum": [9.5, 9.52, 9.5],
    "noise_std": [9.3, 9.5, 10.1],
}


def importance(
    variant: str | None = "V",
    target: str = "test",
    *,
    shares: Mapping[str, float] = SHARES,
    std: float = 0.02,
    pairs: Mapping[tuple[str, str], float] | None = None,
    higher: float = 0.01,
    curves: Mapping[str, Sequence[float]] | None = None,
    curve_std: float = 0.05,
    explained: float = 0.9,
    best_rates: Sequence[float] = (1e-3, 1e-3),
) -> Importance:
    """An importance analysis with given shares and curves.

    The best learning rates are those of the smallest and of the largest networks, and move between
    them on the logarithmic scale.
    """
    given = {("learning_rate", "noise_std"): 0.08} if pairs is None else pairs
    names = [factor.name for factor in FACTORS]
    every = [
        (first, second) for place, first in enumerate(names) for second in names[place + 1 :]
    ]
    units, rates = GRID["units"], GRID["learning_rate"]
    best = np.interp(np.linspace(0, 1, len(units)), [0, 1], np.log10(best_rates))
    mean = 8.0 + (np.log10(rates)[None, :] - best[:, None]) ** 2
    return Importance(
        variant=variant,
        target=target,
        trials=200,
        backend="forest",
        factors=FACTORS,
        mains=tuple(Effect((name,), shares[name], std) for name in names),
        pairs=tuple(
            Effect(pair, given.get(pair, given.get(pair[::-1], 0.002)), std / 4)
            for pair in every
        ),
        higher_order=Effect((), higher, std / 4),
        marginals=tuple(
            curve(name, {**CURVES, **(curves or {})}[name], curve_std) for name in names
        ),
        surfaces=(Surface(("units", "learning_rate"), (units, rates), mean),),
        explained=explained,
        limit=math.inf,
        clipped=0,
        ped_anova={},
    )


def analysis(
    study: Records,
    comparisons: Sequence[Comparison] | Mapping[str, Comparison | InsufficientData] = (),
    importances: Sequence[Importance] | InsufficientData = (),
) -> StudyAnalysis:
    """All numbers about a study: summaries as they are, the rest as given.

    Args:
        study: its trials.
        comparisons: as given.
        importances: as given, or what there is instead of all.
    """
    finished = {code: trials for code, trials in study.entries.items() if trials}
    if isinstance(importances, InsufficientData):
        results = {(code, "test"): importances for code in (None, *finished)}
    else:
        results = {(one.variant, one.target): one for one in importances}
    return StudyAnalysis(
        records=study,
        metric=study.metric,
        summaries=tuple(
            summaries.summarize(
                code, trials, len(study.failures[code]), study.planned[code]
            )
            for code, trials in finished.items()
        ),
        comparisons=(
            dict(comparisons)
            if isinstance(comparisons, Mapping)
            else {one.variant: one for one in comparisons}
        ),
        expected_best=tuple(
            summaries.expected_best(code, trials) for code, trials in finished.items()
        ),
        importance=dict(results),
    )
