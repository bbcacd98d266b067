"""Where a study deviates from the paper's."""

from __future__ import annotations

from common import text
from tuner.analysis.trials.records import Records
from tuner.search.space import PAPER, Hyperparameter
from tuner.study.facts import RANDOM
from tuner.training.protocol import Protocol

TRIALS = 200
"""Number of trials of each variant in the paper (section 4.4)."""

DATA = {"music": "JSB Chorales", "speech": "TIMIT (LDC93S1)", "handwriting": "IAM-OnDB"}
"""What this project calls the paper's data, by task."""

_RULES = {
    "max_epochs": "at most {} epochs",
    "patience": "patience {}",
    "weight_std": "initial weights with a standard deviation of {}",
    "optimizer": "optimizer {}",
}


def of_search(records: Records) -> tuple[str, ...]:
    """Describes how a study deviates from the paper: trials, ranges and rules.

    Returns:
        Clauses such as "20 trials a variant instead of 200"; empty if it does not deviate.
    """
    clauses = []
    planned = records.planned.values()
    if set(planned) != {TRIALS}:
        ends = sorted({min(planned, default=0), max(planned, default=0)})
        number = " to ".join(f"{end:,}" for end in ends)
        clauses.append(f"{number} trials a variant instead of {TRIALS}")
    papers = {row.name: row for row in PAPER}
    for row in records.space:
        if row.name not in papers:
            clauses.append(f"{row.label} {_range(row)}, which the paper did not vary")
        elif (row.low, row.high) != (papers[row.name].low, papers[row.name].high):
            clauses.append(f"{row.label} {_range(row)} instead of {_range(papers[row.name])}")
    if records.sampler != RANDOM:
        clauses.append(f"sampler {records.sampler} instead of {RANDOM}")
    own_rules, papers_rules = Protocol(**records.facts["protocol"]), Protocol()
    for name, words in _RULES.items():
        own_rule, papers_rule = getattr(own_rules, name), getattr(papers_rules, name)
        if own_rule != papers_rule:
            clauses.append(f"{words.format(own_rule)} instead of {papers_rule}")
    return tuple(clauses)


def of_data(records: Records) -> tuple[str, ...]:
    """Describes how a study's data deviate from the paper's, as `of_search` does."""
    name, papers = records.facts["data"]["name"], DATA.get(records.facts["task"])
    return () if name == papers else (f"{name} instead of {papers or 'the data of the paper'}",)


def _range(row: Hyperparameter) -> str:
    return f"{text.bound(row.low)} to {text.bound(row.high)}"
