"""Where a study is not the paper's."""

from __future__ import annotations

import dataclasses

from tuner.analysis.trials.records import Records
from tuner.analysis.words import notation
from tuner.search.design import Space
from tuner.training.protocol import Protocol

TRIALS = 200
"""Trials of a variant in the paper (section 4.4)."""

DATA = {"music": "JSB Chorales", "speech": "TIMIT (LDC93S1)", "handwriting": "IAM-OnDB"}
"""What this project calls the paper's data, by task."""

_RANGES = {
    "units": "units",
    "learning_rate": "learning rates",
    "one_minus_momentum": "1 - momentum",
    "noise_std": "input noise",
}

_RULES = {
    "max_epochs": "at most {} epochs",
    "patience": "patience {}",
    "weight_std": "initial weights with a standard deviation of {}",
}


def of_search(records: Records) -> tuple[str, ...]:
    """Says what a study does otherwise than the paper: trials, ranges and rules.

    Args:
        records: of the study.

    Returns:
        Clauses such as "20 trials a variant instead of 200"; none if all is the paper's.
    """
    facts = records.facts
    clauses = []
    planned = records.planned.values()
    if set(planned) != {TRIALS}:
        ends = sorted({min(planned, default=0), max(planned, default=0)})
        number = " to ".join(f"{end:,}" for end in ends)
        clauses.append(f"{number} trials a variant instead of {TRIALS}")
    for name, papers in dataclasses.asdict(Space()).items():
        own = tuple(facts["space"][name])
        if own != papers:
            clauses.append(f"{_RANGES[name]} {_range(own)} instead of {_range(papers)}")
    papers_rules = dataclasses.asdict(Protocol())
    for name, words in _RULES.items():
        own_rule, papers_rule = facts["protocol"][name], papers_rules[name]
        if own_rule != papers_rule:
            clauses.append(f"{words.format(f'{own_rule:g}')} instead of {papers_rule:g}")
    return tuple(clauses)


def of_data(records: Records) -> tuple[str, ...]:
    """Says whether a study has other data than the paper, as `of_search` does."""
    name, papers = records.facts["data"]["name"], DATA.get(records.facts["task"])
    return () if name == papers else (f"{name} instead of {papers or 'the data of the paper'}",)


def _range(ends: tuple[float, ...]) -> str:
    return f"{notation.bound(ends[0])} to {notation.bound(ends[1])}"
