"""The paper's own claims beside what a study found.

What the paper says is given with where it was read, and how sure that is; the criterion of each
verdict is that of its function in `tuner.analysis.words.verdicts` and
`tuner.analysis.words.importance_verdicts`.
"""

from __future__ import annotations

import dataclasses

from tuner.analysis.study_analysis import StudyAnalysis
from tuner.analysis.words import importance_verdicts, lookup, verdicts
from tuner.analysis.words.verdicts import CANNOT_TELL, Judge

_ABSTRACT = "the paper's abstract"
_PAGE = "the paper, page 8"
_QUOTED = "the paper as a blog post quotes it"
_SUMMARY = "a secondary summary of the paper; probably right"
_UNCONFIRMED = "unconfirmed: no source that was read states it"


@dataclasses.dataclass(frozen=True)
class Claim:
    """One claim of the paper and what became of it.

    Attributes:
        topic: what it is about, a few words.
        paper: what the paper says.
        source: where that was read, and how sure it is.
        found: what this study found.
        verdict: "agrees", "differs" or "cannot tell".
    """

    topic: str
    paper: str
    source: str
    found: str
    verdict: str


@dataclasses.dataclass(frozen=True)
class _Known:
    """A claim as the paper makes it.

    Attributes:
        topic: what it is about, a few words.
        paper: what the paper says.
        source: where that was read.
        judge: holds a study against it.
        tasks: which tasks it is about; empty for all.
    """

    topic: str
    paper: str
    source: str
    judge: Judge
    tasks: tuple[str, ...] = ()


_CLAIMS = (
    _Known(
        "the study itself",
        "200 trials of each variant; 20 to 200 units, learning rates 1e-6 to 1e-2, momentum 0 to "
        "0.99, input noise 0 to 1; JSB Chorales, TIMIT and IAM-OnDB.",
        _SUMMARY,
        verdicts.same_study,
    ),
    _Known(
        "better than vanilla",
        "No variant is significantly better than V.",
        _ABSTRACT,
        verdicts.none_better,
    ),
    _Known(
        "forget gate and output activation",
        "NFG and NOAF are significantly worse than V on all three tasks.",
        _SUMMARY,
        verdicts.worse("NFG", "NOAF"),
    ),
    _Known(
        "input gate, output gate, input activation",
        "NIG, NOG and NIAF do not differ significantly from V on music.",
        _SUMMARY,
        verdicts.alike("NIG", "NOG", "NIAF"),
        ("music",),
    ),
    _Known(
        "input gate, output gate, input activation",
        "NIG, NOG and NIAF are significantly worse than V on speech and handwriting.",
        _SUMMARY,
        verdicts.worse("NIG", "NOG", "NIAF"),
        ("speech", "handwriting"),
    ),
    _Known(
        "coupled gates, no peepholes",
        "CIFG and NP do not differ significantly from V.",
        _SUMMARY,
        verdicts.alike("CIFG", "NP"),
    ),
    _Known(
        "full gate recurrence",
        "FGR gains nothing in spite of its many more weights.",
        _SUMMARY,
        verdicts.no_gain("FGR"),
    ),
    _Known(
        "full gate recurrence",
        "FGR is significantly worse than V on music.",
        _UNCONFIRMED,
        verdicts.worse("FGR"),
        ("music",),
    ),
    _Known(
        "best model",
        "The best model by validation is a NIAF with a test NLL of 8.38 nats per frame.",
        _UNCONFIRMED,
        verdicts.best_score(8.38),
        ("music",),
    ),
    _Known(
        "best model",
        "The best model by validation is a CIFG with 29.6 % of the frames wrong.",
        _UNCONFIRMED,
        verdicts.best_score(29.6),
        ("speech",),
    ),
    _Known(
        "best model",
        "The best model by validation is an NP with 9.26 % of the characters wrong.",
        _UNCONFIRMED,
        verdicts.best_score(9.26),
        ("handwriting",),
    ),
    _Known(
        "importance of the learning rate",
        "The learning rate explains more than two thirds of the variance of the test score.",
        _QUOTED,
        importance_verdicts.share_above("learning_rate", 2 / 3),
    ),
    _Known(
        "order of importance",
        "After the learning rate comes the size, then the input noise.",
        _SUMMARY,
        importance_verdicts.order("learning_rate", "units", "noise_std"),
    ),
    _Known(
        "importance of momentum",
        "Momentum explains less than 1 % of the variance.",
        _SUMMARY,
        importance_verdicts.share_below("one_minus_momentum", 0.01),
    ),
    _Known(
        "interactions",
        "All interactions together explain 5 to 20 % of the variance.",
        _SUMMARY,
        importance_verdicts.interactions_within(0.05, 0.20),
    ),
    _Known(
        "the one clear interaction",
        "Learning rate and input noise interact, the only clear interaction.",
        _PAGE,
        importance_verdicts.largest_interaction("learning_rate", "noise_std"),
        ("music", "handwriting"),
    ),
    _Known(
        "size",
        "Larger networks are better, with diminishing returns, and take longer.",
        _SUMMARY,
        importance_verdicts.larger_is_better,
    ),
    _Known(
        "input noise",
        "Input noise nearly always hurts.",
        _SUMMARY,
        importance_verdicts.noise_hurts,
        ("music", "handwriting"),
    ),
    _Known(
        "input noise",
        "Input noise nearly always hurts, but for a small dip between 0.2 and 0.5.",
        _SUMMARY,
        importance_verdicts.noise_dips(0.2, 0.5),
        ("speech",),
    ),
    _Known(
        "best learning rate",
        "The best learning rate lies above the searched range, which ends at 1e-2.",
        _SUMMARY,
        importance_verdicts.best_rate_at_the_end,
        ("music", "handwriting"),
    ),
    _Known(
        "learning rate and size",
        "Varying the size does not move the best learning rate.",
        _PAGE,
        importance_verdicts.best_rate_stays,
    ),
)


def check(analysis: StudyAnalysis) -> tuple[Claim, ...]:
    """Holds a study against the paper's claims, those about its task and the general ones.

    The trials that have ended of a study that is not complete are a biased sample: nothing is
    concluded from them.

    Args:
        analysis: of the study.

    Returns:
        The claims; the first says where the study is not the paper's. None for a study without a
        finished trial.
    """
    if not analysis.summaries:
        return ()
    task = analysis.records.facts["task"]
    concerned = [known for known in _CLAIMS if not known.tasks or task in known.tasks]
    return tuple(_held_against(known, analysis) for known in concerned)


def _held_against(known: _Known, analysis: StudyAnalysis) -> Claim:
    judgment = known.judge(analysis)
    found, verdict = judgment.found, judgment.verdict
    if known.judge is not verdicts.same_study and lookup.unfinished(analysis):
        if verdict != CANNOT_TELL:
            found = f"So far: {found}"
        verdict = CANNOT_TELL
    return Claim(known.topic, known.paper, known.source, found, verdict)
