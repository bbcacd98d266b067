"""What a page is made of, for studies that nobody trained.

Statistics are computed from the made-up trials; words, shares of variance and drawings are written
by hand, so that a test knows them and nothing has to be fitted or drawn.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

from tests.tuner.analysis import made_up
from tuner.analysis.importance import factors as designs
from tuner.analysis.importance.importance import TARGETS, Effect, Importance
from tuner.analysis.report.figures import Figure
from tuner.analysis.report.page import StudyPage
from tuner.analysis.statistics import summaries
from tuner.analysis.statistics.summaries import InsufficientData
from tuner.analysis.study_analysis import StudyAnalysis
from tuner.analysis.trials.records import Records
from tuner.analysis.words import verdicts
from tuner.analysis.words.claims import Claim
from tuner.analysis.words.findings import Finding
from tuner.search.space import PAPER

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
                "variants", "NFG is worse.", "abstract", verdicts.none_better,
                found="NFG is worse.", verdict="agrees",
            ),
            Claim(
                "momentum", "It hardly matters.", "section 8", verdicts.none_better,
                found="Too few trials.", verdict="cannot tell",
            ),
        ),
        "command": f"python -m tuner.run --task={key}\npython -m tuner.run --trials=30",
        "files": {"trials.csv": "trials.csv"},
        "figure_files": {name: f"figures/{key}-{name}.svg" for name in FIGURES},
    }
    return StudyPage(key=key, **(fields | changes))
