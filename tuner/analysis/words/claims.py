"""The paper's own claims, compared with what a study found.

Each claim comes with where it was read, and how certain that is; the criterion of each verdict is
that of its function in `tuner.analysis.words.verdicts` or `comparisons`.
"""

from __future__ import annotations

import dataclasses

from tuner.analysis.study_analysis import StudyAnalysis
from tuner.analysis.words import comparisons, lookup, verdicts
from tuner.analysis.words.verdicts import UNDECIDED, Judge

_ABSTRACT = "the paper's abstract"
_PAGE = "the paper, page 8"
_QUOTED = "the paper as a blog post quotes it"
_SUMMARY = "a secondary summary of the paper; probably right"
_UNCONFIRMED = "unconfirmed: no source that was read states it"


@dataclasses.dataclass(frozen=True)
class Claim:
    """One claim of the paper, and how a study compares with it.

    Attributes:
        topic: what it is about, in a few words.
        paper: what the paper says.
        source: where that was read, and how certain it is.
        judge: compares a study with it.
        args: names and numbers that the judge needs.
        tasks: the tasks that it is about; empty for all.
        found: what this study found.
        verdict: "agrees", "differs" or "undecided".
    """

    topic: str
    paper: str
    source: str
    judge: Judge
    args: tuple[str | float, ...] = ()
    tasks: tuple[str, ...] = ()
    found: str = ""
    verdict: str = UNDECIDED


_CLAIMS = (
    Claim(
        "the study itself",
        "200 trials of each variant; 20 to 200 units, learning rates 1e-6 to 1e-2, momentum "
        "0 to 0.99, input noise 0 to 1; JSB Chorales, TIMIT and IAM-OnDB.",
        _SUMMARY, verdicts.same_study,
    ),
    Claim(
        "better than vanilla",
        "No variant is significantly better than V.",
        _ABSTRACT, comparisons.none_better,
    ),
    Claim(
        "forget gate and output activation",
        "NFG and NOAF are significantly worse than V on all three tasks.",
        _SUMMARY, comparisons.worse, ("NFG", "NOAF"),
    ),
    Claim(
        "input gate, output gate, input activation",
        "NIG, NOG and NIAF do not differ significantly from V on music.",
        _SUMMARY, comparisons.alike, ("NIG", "NOG", "NIAF"), tasks=("music",),
    ),
    Claim(
        "input gate, output gate, input activation",
        "NIG, NOG and NIAF are significantly worse than V on speech and handwriting.",
        _SUMMARY, comparisons.worse, ("NIG", "NOG", "NIAF"), tasks=("speech", "handwriting"),
    ),
    Claim(
        "coupled gates, no peepholes",
        "CIFG and NP do not differ significantly from V.",
        _SUMMARY, comparisons.alike, ("CIFG", "NP"),
    ),
    Claim(
        "full gate recurrence",
        "FGR gains nothing in spite of its many more weights.",
        _SUMMARY, comparisons.no_gain, ("FGR",),
    ),
    Claim(
        "full gate recurrence",
        "FGR is significantly worse than V on music.",
        _UNCONFIRMED, comparisons.worse, ("FGR",), tasks=("music",),
    ),
    Claim(
        "best model",
        "The best model by validation is a NIAF with a test NLL of 8.38 nats per frame.",
        _UNCONFIRMED, verdicts.best_score, (8.38,), tasks=("music",),
    ),
    Claim(
        "best model",
        "The best model by validation is a CIFG with 29.6 % of the frames wrong.",
        _UNCONFIRMED, verdicts.best_score, (29.6,), tasks=("speech",),
    ),
    Claim(
        "best model",
        "The best model by validation is an NP with 9.26 % of the characters wrong.",
        _UNCONFIRMED, verdicts.best_score, (9.26,), tasks=("handwriting",),
    ),
    Claim(
        "importance of the learning rate",
        "The learning rate explains more than two thirds of the variance of the test score.",
        _QUOTED, verdicts.share_above, ("learning_rate", 2 / 3),
    ),
    Claim(
        "order of importance",
        "After the learning rate comes the size, then the input noise.",
        _SUMMARY, verdicts.order, ("learning_rate", "units", "noise_std"),
    ),
    Claim(
        "importance of momentum",
        "Momentum explains less than 1 % of the variance.",
        _SUMMARY, verdicts.share_below, ("momentum", 0.01),
    ),
    Claim(
        "interactions",
        "All interactions together explain 5 to 20 % of the variance.",
        _SUMMARY, verdicts.interactions_within, (0.05, 0.20),
    ),
    Claim(
        "the one clear interaction",
        "Learning rate and input noise interact, the only clear interaction.",
        _PAGE, verdicts.largest_interaction, ("learning_rate", "noise_std"),
        tasks=("music", "handwriting"),
    ),
    Claim(
        "size",
        "Larger networks are better, with diminishing returns, and take longer.",
        _SUMMARY, verdicts.larger_is_better,
    ),
    Claim(
        "input noise",
        "Input noise nearly always hurts.",
        _SUMMARY, verdicts.noise_hurts, tasks=("music", "handwriting"),
    ),
    Claim(
        "input noise",
        "Input noise nearly always hurts, but for a small dip between 0.2 and 0.5.",
        _SUMMARY, verdicts.noise_dips, (0.2, 0.5), tasks=("speech",),
    ),
    Claim(
        "best learning rate",
        "The best learning rate lies above the searched range, which ends at 1e-2.",
        _SUMMARY, verdicts.best_rate_beyond, (1e-2,), tasks=("music", "handwriting"),
    ),
    Claim(
        "learning rate and size",
        "Varying the size does not move the best learning rate.",
        _PAGE, verdicts.best_rate_stays,
    ),
)  # fmt: skip


def check(analysis: StudyAnalysis) -> tuple[Claim, ...]:
    """Compares a study with the paper's claims, both those about its task and the general ones.

    The ended trials of an incomplete study are a biased sample, so nothing is concluded from
    them.

    Returns:
        The claims; the first says where the study differs from the paper's. Empty for a study
        without a finished trial.
    """
    if not analysis.summaries:
        return ()
    task = analysis.records.facts["task"]
    concerned = [claim for claim in _CLAIMS if not claim.tasks or task in claim.tasks]
    return tuple(_held_against(claim, analysis) for claim in concerned)


def _held_against(claim: Claim, analysis: StudyAnalysis) -> Claim:
    found, verdict = claim.judge(analysis, *claim.args)
    if claim.judge is not verdicts.same_study and lookup.unfinished(analysis):
        found = found if verdict == UNDECIDED else f"So far: {found}"
        verdict = UNDECIDED
    return dataclasses.replace(claim, found=found, verdict=verdict)
