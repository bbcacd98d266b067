"""What a page and its figures are made of, for studies that nobody trained.

Statistics are computed from the made-up trials; words, shares of variance and drawings are written
by hand, so that a test knows them and nothing has to be fitted or drawn.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.tuner.analysis import made_up
from tests.tuner.entry import make_entry
from tuner.analysis.importance import factors as designs
from tuner.analysis.importance.importance import TARGETS, Effect, Importance, Marginal, Surface
from tuner.analysis.report import figures
from tuner.analysis.report.figures import Figure
from tuner.analysis.report.page import StudyPage
from tuner.analysis.statistics import summaries
from tuner.analysis.statistics.summaries import Distribution, InsufficientData, VariantSummary
from tuner.analysis.study_analysis import StudyAnalysis
from tuner.analysis.trials.records import Records
from tuner.analysis.words import comparisons
from tuner.analysis.words.claims import Claim
from tuner.analysis.words.findings import Finding
from tuner.search.space import PAPER
from tuner.tasks.task import Metric
from tuner.training.protocol import Score, TrialRecord

FIGURES = (
    "variants",
    "marginals",
    "importance",
    "interactions",
    "learning_curves",
    "axes",
    "expected_best",
)

def importance(variant: str | None, target: str, variants: Sequence[str]) -> Importance:
    """Shares by hand: learning rate .671, units .123 of the score; the others little."""
    factors = PAPER.varied + ((designs.variants(variants),) if variant is None else ())
    shares = [0.123, 0.671, 0.0042, 0.0817, 0.0334]
    if target == "seconds":
        shares = [0.807, 0.0512, 0.0017, 0.0025, 0.0133]
    mains = [
        Effect((factor.name,), share, share / 10)
        for factor, share in zip(factors, shares, strict=False)
    ]
    pairs = [
        Effect(("units", "learning_rate"), 0.0312, 0.0045),
        Effect(("learning_rate", "noise_std"), 0.0417, 0.0038),
    ]
    rest = 1 - sum(effect.share for effect in (*mains, *pairs))
    return Importance(
        variant=variant,
        target=target,
        trials=180,
        backend="forest",
        factors=factors,
        mains=tuple(mains),
        pairs=tuple(pairs),
        higher_order=Effect((), rest, 0.0021),
        marginals=(),
        surfaces=(),
        explained=0.9134,
        limit=math.inf,
        clipped=0,
        ped_anova={factor.name: 1 / len(factors) for factor in factors},
    )


def analysis(records: Records, *, enough: bool = True) -> StudyAnalysis:
    """Analyses a study without a forest.

    Args:
        records: its trials.
        enough: whether the trials carry conclusions; these take time.
    """
    finished = {variant: entries for variant, entries in records.entries.items() if entries}
    summarized = tuple(
        summaries.summarize(
            variant, entries, len(records.failures[variant]), records.planned[variant]
        )
        for variant, entries in finished.items()
    )
    lacking = InsufficientData("there are 2 trials; this needs 30")
    return StudyAnalysis(
        records=records,
        metric=records.metric,
        summaries=summarized,
        comparisons=summaries.compare(summarized) if enough else {"NFG": lacking},
        expected_best=(),
        importance={
            (variant, target): importance(variant, target, tuple(finished)) if enough else lacking
            for target in TARGETS
            for variant in (None, *finished)
        },
    )


@functools.cache
def _analyzed(task: str) -> StudyAnalysis:
    return analysis(made_up.records(30, ("V", "NIG", "NFG"), task=task))


def page(key: str = "music", **changes: Any) -> StudyPage:
    """Makes a page's contents.

    Args:
        key: of the study; also its task.
        **changes: fields of `StudyPage` that shall be others.
    """
    fields = {
        "analysis": changes.get("analysis") or _analyzed(key),
        "figures": tuple(
            Figure(name, f"Title of {name}", f"Caption of {name}.", f'<svg id="{key}-{name}-svg"/>')
            for name in FIGURES
        ),
        "findings": (
            Finding("NFG is worse than V.", "Welch's t, p < 0.001", "variants"),
            Finding("Nobody drew this.", "", "no such figure"),
            Finding("Tune the learning rate first.", "67 % of it", "importance", "guideline"),
        ),
        "claims": (
            Claim(
                "variants", "NFG is worse.", "abstract", comparisons.none_better,
                found="NFG is worse.", verdict="agrees",
            ),
            Claim(
                "momentum", "It hardly matters.", "section 8", comparisons.none_better,
                found="Too few trials.", verdict="undecided",
            ),
        ),
        "command": f"python -m tuner.run --task={key}\npython -m tuner.run --trials=30",
        "files": {"trials.csv": "trials.csv"},
        "figure_files": {name: f"figures/{key}-{name}.svg" for name in FIGURES},
    }
    return StudyPage(key=key, **(fields | changes))


NLL = Metric("NLL", "nats per frame")
CODES = ("V", "NFG", "NP")
LOW = InsufficientData("NP has 4 trials; the forest needs 20")


def analyzed(variant: str | None, target: str) -> Importance:
    """Shares of `made_up_page`; marginals and surfaces rise with the place on the grid."""
    base = importance(variant, target, CODES)
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
    bare = analysis(made_up.records(trials, CODES, seed=seed), enough=False)
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
