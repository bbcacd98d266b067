"""Tables of finished trials, which stand in for training when samplers are compared by replay.

There are three grades, and every result states its own:

* *exact*: random search without replacement on the finished trials themselves needs no simulation.
* *tabular*: a full factorial of real trainings; a query returns one of those at its point.
* *surrogate*: a forest fitted to the finished trials fills a grid.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Protocol as Interface

import numpy as np

from common.errors import InputError
from tuner.analysis.trials.records import Records
from tuner.search.samplers.domain import VARIANT, Gene, Point, Value, of_space
from tuner.search.space import Space
from tuner.study.ledger import best_first
from tuner.training.protocol import Failure, TrialRecord

_TREES = 300
_FOLDS = 10
_FLOOR = 0.9
"""A floor, relative to the best score: the surrogate learns ln(score - floor)."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """The outcome of a training.

    Attributes:
        validation: validation score; None if the training failed or diverged.
        test: test score.
        seconds: training time.
    """

    validation: float | None
    test: float
    seconds: float

    @classmethod
    def of(cls, record: TrialRecord | Failure) -> Answer:
        """Makes the answer of a real trial; one that diverged or failed has no validation score."""
        if isinstance(record, Failure):
            return cls(None, math.inf, 0.0)
        result = record.result
        validation = None if result.diverged else result.validation.mean
        return cls(validation, result.test.mean, result.seconds)


class Table(Interface):
    """Stands in for training.

    Attributes:
        grade: "tabular" or "surrogate".
        genes: the dimensions of the points that can be queried; each has options.
        best: the lowest validation score that it can return.
        words: sentences that describe the table on the page.
    """

    grade: str
    genes: tuple[Gene, ...]
    best: float
    words: str

    def ask(self, point: Point, generator: np.random.Generator) -> Answer:
        """Answers a query for a point.

        Args:
            point: a value for each gene.
            generator: chooses among several trainings of the point.
        """


def expected_best(
    records: Sequence[TrialRecord | Failure], budgets: Sequence[int]
) -> dict[int, Answer]:
    """Computes the expected best by validation of n trials drawn without replacement from M.

        E[best of n] = Σ_j v_(j) C(M - j, n - 1) / (C(M, n) - C(L, n)),   v_(1) <= v_(2) <= …

    The L trials that failed or diverged count as draws but never win; the expectation is over draws
    that have a winner.

    Args:
        records: the M trials that have ended.
        budgets: values of n; those above M are left out.

    Returns:
        For each budget, the expected validation score of the best trial, the expected test score of
        that trial, and the expected total training time; empty if no trial can win.
    """
    ranked = best_first(
        [one for one in records if isinstance(one, TrialRecord) and not one.result.diverged]
    )
    found: dict[int, Answer] = {}
    count, lost = len(records), len(records) - len(ranked)
    if not ranked:
        return found
    seconds = float(np.mean([Answer.of(one).seconds for one in records]))
    for budget in budgets:
        if budget <= count:
            ways = math.comb(count, budget) - math.comb(lost, budget)
            chances = [
                math.comb(count - place - 1, budget - 1) / ways for place in range(len(ranked))
            ]
            scores = [
                sum(chance * score for chance, score in zip(chances, of, strict=True))
                for of in (
                    [one.result.validation.mean for one in ranked],
                    [one.result.test.mean for one in ranked],
                )
            ]
            found[budget] = Answer(scores[0], scores[1], budget * seconds)
    return found


def _levels(space: Space, variants: Sequence[str]) -> tuple[Gene, ...]:
    """Returns the genes of a study, with some levels of each range as its ordered options."""
    return tuple(
        gene if gene.name == VARIANT else _gene(gene.name, gene.levels, ordered=True)
        for gene in of_space(space, variants)
    )


def _gene(name: str, options: tuple[Value, ...], *, ordered: bool) -> Gene:
    return Gene(name, lambda part: options[int(part * len(options))], options, ordered)


class Surrogate:
    """A forest of extremely randomized trees over a grid (Geurts et al. 2006).

    It predicts ln(score - 0.9 best) and ln(seconds) from the positions of the values on their
    sampling scales, and from the variant. Averaging over trees flattens extremes.

    Args:
        study: the study whose finished trials are learned.
        seed: seed of the forest.
    """

    grade = "surrogate"

    def __init__(self, study: Records, seed: int = 1) -> None:
        from scipy import stats
        from sklearn.ensemble import ExtraTreesRegressor
        from sklearn.model_selection import KFold, cross_val_predict

        trials = [one for one in study.all_entries if not one.result.diverged]
        if len(trials) < 2 * _FOLDS:
            raise InputError(
                f"{study.name}: expected at least {2 * _FOLDS} finished trials that did not "
                f"diverge. Received: {len(trials)}"
            )
        self._space = study.space
        self._variants = [code for code, entries in study.entries.items() if entries]
        self.genes = _levels(study.space, self._variants)
        scores = np.array(
            [
                (one.result.validation.mean, one.result.test.mean, one.result.seconds)
                for one in trials
            ]
        )
        least = scores[:, :2].min(axis=0)
        # For scores that reach 0 or below, a share of their range instead.
        below = least - (1 - _FLOOR) * (1 + np.ptp(scores[:, :2], axis=0))
        floors = np.where(least > 0, _FLOOR * least, below)
        floors = np.append(floors, 0.0)
        targets = np.log(scores - floors)
        points = self._unit([{VARIANT: t.variant, **t.values} for t in (o.trial for o in trials)])
        forest = ExtraTreesRegressor(_TREES, random_state=seed, n_jobs=1)
        folds = KFold(_FOLDS, shuffle=True, random_state=seed)
        truth = targets[:, 0]
        predicted = cross_val_predict(forest, points, truth, cv=folds)
        residual = ((truth - predicted) ** 2).sum()
        self.explained = float(1 - residual / ((truth - truth.mean()) ** 2).sum())
        self.agreement = float(stats.kendalltau(truth, predicted).statistic)

        options = [gene.options or gene.levels for gene in self.genes]
        grid = [
            dict(zip((gene.name for gene in self.genes), values, strict=True))
            for values in itertools.product(*options)
        ]
        asked = self._unit(grid)
        # One forest per target: a joint one would choose splits that help the sum of all three.
        learned = [forest.fit(points, target).predict(asked) for target in targets.T]
        answers = np.exp(np.column_stack(learned)) + floors
        self._answers = {
            tuple(point.values()): Answer(*map(float, row))
            for point, row in zip(grid, answers, strict=True)
        }
        self.best = float(answers[:, 0].min())
        self.words = (
            f"A forest of {_TREES} trees that has learned {len(trials):,} finished trials of "
            f"{study.name} stands for training: {len(grid):,} points, R² {self.explained:.3f} and "
            f"Kendall's τ {self.agreement:.3f} in {_FOLDS}-fold cross-validation. It flattens "
            f"extremes: its least value is {self.best:.3f}, that of the trials "
            f"{scores[:, 0].min():.3f}; and it is smooth, which suits searches that exploit."
        )

    def _unit(self, points: Sequence[Mapping[str, Value]]) -> np.ndarray:
        """Returns positions in [0, 1], and an indicator column for each variant."""
        columns = [
            row.to_unit(np.array([point[row.name] for point in points]))
            for row in self._space.varied
        ]
        codes = np.array([point.get(VARIANT, "") for point in points])
        columns += [codes == code for code in self._variants]
        return np.column_stack(columns).astype(float)

    def ask(self, point: Point, generator: np.random.Generator) -> Answer:
        """Answers a query; see `Table.ask`."""
        return self._answers[tuple(point[gene.name] for gene in self.genes)]


class Factorial:
    """Real trainings of all combinations of some values.

    A query chooses among several trainings of a point, as in NAS-Bench-101 (Ying et al. 2019).

    Args:
        study: the study whose trials are used.

    Raises:
        InputError: if combinations are missing.
    """

    grade = "tabular"

    def __init__(self, study: Records) -> None:
        records: list[TrialRecord | Failure] = [*study.all_entries, *study.all_failures]
        by_point: dict[tuple[Value, ...], list[Answer]] = {}
        for record in records:
            trial = record.trial
            key = (trial.variant, *(trial.values[name] for name in study.space.names))
            by_point.setdefault(key, []).append(Answer.of(record))
        levels = [tuple(dict.fromkeys(values)) for values in zip(*by_point, strict=True)]
        if not levels or len(by_point) < math.prod(map(len, levels)):
            raise InputError(
                f"{study.name}: expected trials of all combinations of values. Received: "
                f"{len(by_point):,} of {math.prod(map(len, levels)):,}; a grade for any trials is "
                "surrogate"
            )
        names = (VARIANT, *study.space.names)
        self.genes = tuple(
            _gene(name, options if name == VARIANT else tuple(sorted(options)),
                  ordered=name != VARIANT)
            for name, options in zip(names, levels, strict=True)
        )  # fmt: skip
        self._answers = by_point
        scores = (one.validation for answers in by_point.values() for one in answers)
        self.best = min((score for score in scores if score is not None), default=math.inf)
        self.words = (
            f"{len(records):,} real trainings of {study.name}, of all {len(by_point):,} "
            "combinations; a query returns one of those of its point, at random."
        )

    def ask(self, point: Point, generator: np.random.Generator) -> Answer:
        """Answers a query; see `Table.ask`."""
        answers = self._answers[tuple(point[gene.name] for gene in self.genes)]
        return answers[int(generator.integers(len(answers)))]


TABLES = {"surrogate": Surrogate, "tabular": Factorial}
"""The table class of each grade."""
