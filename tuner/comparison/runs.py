"""Runs of samplers: what each found after each training."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np

from tuner.analysis.trials.records import Records
from tuner.comparison.tables import Answer, Table
from tuner.search import samplers
from tuner.search.samplers.domain import Domain, Point, Score
from tuner.training import random_streams
from tuner.training.protocol import Trial

LIVE = "live"
"""The grade of real studies."""


@dataclasses.dataclass(frozen=True)
class Run:
    """What a sampler found with one seed, training by training.

    Attributes:
        sampler: name of the sampler.
        seed: the seed; runs with the same seed are compared with each other.
        validation: the best validation score so far, float64 `[trainings]`; infinite before the
            first training that did not fail.
        test: test score of that best trial.
        seconds: total training time so far.
    """

    sampler: str
    seed: int
    validation: np.ndarray
    test: np.ndarray
    seconds: np.ndarray

    def area(self, budget: int) -> float:
        """Returns the mean of the best so far over the first `budget` trainings.

        Trainings before the first that did not fail count with the score of that one.
        """
        curve = self.validation[:budget]
        first = curve[np.isfinite(curve)][:1]
        return float(np.where(np.isfinite(curve), curve, first).mean()) if len(first) else math.inf


def _follow(sampler: str, seed: int, answers: Sequence[Answer]) -> Run:
    """Tracks the best answer by validation score, the earlier one among equals."""
    best = Answer(math.inf, math.inf, 0.0)
    rows = []
    seconds = 0.0
    for answer in answers:
        seconds += answer.seconds
        if answer.validation is not None and answer.validation < (best.validation or 0.0):
            best = answer
        rows.append((best.validation, best.test, seconds))
    return Run(sampler, seed, *np.array(rows, dtype=float).reshape(-1, 3).T)


def replay(name: str, table: Table, seed: int, budget: int, lag: int) -> Run:
    """Runs a sampler on a table.

    Args:
        name: name of the sampler.
        table: the table that stands in for training.
        seed: seed of the sampler; samplers with the same seed share a random design.
        budget: number of trainings.
        lag: see `tuner.search.samplers.domain.Domain`.
    """
    streams = functools.partial(random_streams.proposal, seed, "comparison")

    def random(index: int) -> Point:
        parts = streams("random", index).random(len(table.genes))
        return {
            gene.name: gene.draw(float(part))
            for gene, part in zip(table.genes, parts, strict=True)
        }

    domain = Domain(table.genes, functools.partial(streams, name), random, lag)
    search = samplers.make_search(name, domain)
    points: list[Point] = []
    scores: list[Score] = []
    answers: list[Answer] = []
    for index in range(budget):
        points.append(search.propose(points, scores[: max(index - lag + 1, 0)]))
        # Paired: the draw among a point's trainings does not depend on the sampler.
        answers.append(table.ask(points[-1], streams("answer", index)))
        scores.append(answers[-1].validation)
    return _follow(name, seed, answers)


def live(study: Records) -> Run:
    """Extracts the run of a real study, in the order of its proposals.

    Args:
        study: a study of any sampler; trials of a random one are in order of index, then variant.
    """
    answers = [Answer.of(record) for record in study.as_proposed if not isinstance(record, Trial)]
    return _follow(study.sampler, int(study.facts["seed"]), answers)
