"""Makes comparisons: by replay on finished trials, or of real studies."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from common.errors import InputError
from common.text import duration
from tuner.analysis.trials import sources
from tuner.analysis.trials.records import Records
from tuner.comparison import verdicts
from tuner.comparison.page import Comparison
from tuner.comparison.runs import LIVE, Run, live, replay
from tuner.comparison.tables import TABLES, expected_best


def by_replay(
    path: Path,
    grade: str,
    names: Sequence[str],
    budgets: Sequence[int],
    seeds: int,
    lag: int,
    smallest: float,
    report: Callable[[str], None],
) -> Comparison:
    """Runs samplers on a table that stands in for training.

    Args:
        path: study directory or table of finished trials.
        grade: a key of `tuner.comparison.tables.TABLES`.
        names: names of the samplers.
        budgets: numbers of trainings, ascending.
        seeds: number of runs of each sampler, with the seeds 1, 2, ….
        lag: lag of all samplers.
        smallest: the smallest difference worth naming.
        report: called with lines of progress, one whenever a sampler is done.

    Raises:
        InputError: if the trials do not suffice for the grade.
    """
    study = sources.load_one(path)
    table = TABLES[grade](study)
    report(table.words)
    runs: list[Run] = []
    for name in names:
        begun = time.monotonic()
        own = [replay(name, table, seed, budgets[-1], lag) for seed in range(1, seeds + 1)]
        runs += own
        mean = sum(run.validation[-1] for run in own) / seeds
        report(
            f"{name}: best validation {mean:.4f} after {budgets[-1]:,} trainings, mean of {seeds} "
            f"seeds; {duration(time.monotonic() - begun)}"
        )
    return Comparison(
        grade=grade,
        words=table.words,
        metric=study.metric,
        lag=lag,
        budgets=tuple(budgets),
        runs=tuple(runs),
        exact=expected_best([*study.all_entries, *study.all_failures], budgets),
        verdicts=tuple(verdicts.compare(runs, budgets, smallest)),
        smallest=smallest,
        best=table.best,
    )


def of_studies(
    paths: Sequence[Path],
    budgets: Sequence[int],
    smallest: float,
    retrain: Callable[[Sequence[Records], int], Sequence[Run]] | None = None,
) -> Comparison:
    """Compares real studies, one per sampler and seed.

    Args:
        paths: study directories or trial tables.
        budgets: numbers of trainings, ascending.
        smallest: the smallest difference worth naming.
        retrain: retrains the winners at the largest budget; see `tuner.comparison.winners`.

    Raises:
        InputError: if two studies share sampler and seed, or differ in task, data, protocol or
            space, or one has fewer trials than the smallest budget that is compared.
    """
    studies = [sources.load_one(path) for path in paths]
    first = studies[0]
    alike = ("task", "protocol", "space")
    runs: dict[tuple[str, int], Run] = {}
    for path, study in zip(paths, studies, strict=True):
        for fact in (*alike, "data"):
            own, others = (_fact(one.facts, fact) for one in (study, first))
            if own != others:
                raise InputError(
                    f"{path}: expected studies of one {fact}. Received: {own} beside {others}"
                )
        run = live(study)
        if (run.sampler, run.seed) in runs:
            raise InputError(
                f"{path}: expected one study of each sampler and seed. Received: another of "
                f"{run.sampler} with seed {run.seed}"
            )
        runs[run.sampler, run.seed] = run
        least = budgets[0] if retrain is None else budgets[-1]
        if len(run.validation) < least:
            raise InputError(
                f"{path}: expected at least {least} trials that have ended, as --budgets says. "
                f"Received: {len(run.validation)}"
            )
    made = list(runs.values())
    words = f"{len(made)} studies on {first.facts['data']['name']}, really trained."
    if retrain is not None:
        budgets = budgets[-1:]
        made = list(retrain(studies, budgets[-1]))
        words += " Test is the mean of further trainings of each winner."
    return Comparison(
        grade=LIVE,
        words=words,
        metric=first.metric,
        lag=None,
        budgets=tuple(budgets),
        runs=tuple(made),
        exact={},
        verdicts=tuple(verdicts.compare(made, budgets, smallest)),
        smallest=smallest,
        best=None,
    )


def _fact(facts: object, name: str) -> str:
    assert isinstance(facts, dict)
    fact = facts[name]
    if name == "data":
        fact = {key: fact[key] for key in ("name", "sha256")}
    if name == "protocol":
        # The order of the data depends on the seed of the study.
        fact = {key: part for key, part in fact.items() if key != "order_seed"}
    return json.dumps(fact, sort_keys=True)
