"""The worth of the cells of a space, each trained by itself, from a table of trials."""

from __future__ import annotations

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from common.errors import InputError
from tuner.analysis.trials.records import Records
from tuner.supernet.space import CellSpace, Child
from tuner.training.protocol import Failure, TrialRecord


@dataclasses.dataclass(frozen=True)
class CellTruth:
    """The worth of one cell.

    Attributes:
        code: code of the cell.
        nll: mean validation score over the seeds at the cell's best hyperparameters; a trial that
            diverged or failed counts as the worst finite one of the table.
        test: mean test score of the same trials.
        std: standard deviation of the validation score over the seeds.
        best: the cell's best hyperparameters, without those that do not vary.
        by_seed: the best validation score in each repetition of the grid.
        diverged: number of the cell's trials that diverged or failed.
        seconds: total training time of the cell's finished trials.
    """

    code: str
    nll: float
    test: float
    std: float
    best: Mapping[str, float]
    by_seed: tuple[float, ...]
    diverged: int
    seconds: float


def of_study(study: Records) -> dict[str, CellTruth]:
    """Computes the worth of cells from a study whose trials repeat a grid with several seeds.

    Args:
        study: a study with the sampler `grid`.

    Raises:
        InputError: if a cell lacks trials of the grid, or none were repeated.
    """
    varied = [row.name for row in study.space.varied]
    finite = [one for one in study.all_entries if not one.result.diverged]
    worst = {
        split: max((getattr(one.result, split).mean for one in finite), default=np.nan)
        for split in ("validation", "test")
    }

    def score(one: TrialRecord | Failure, split: str = "validation") -> float:
        if _lost(one):
            return worst[split]
        assert isinstance(one, TrialRecord)
        return float(getattr(one.result, split).mean)

    found = {}
    counts = set()
    for code in study.entries:
        entries: list[TrialRecord | Failure] = list(study.entries[code])
        entries += study.failures[code]
        points: dict[tuple[float, ...], list[TrialRecord | Failure]] = defaultdict(list)
        for entry in sorted(entries, key=lambda one: one.trial.index):
            points[tuple(entry.trial.values[name] for name in varied)].append(entry)
        counts.add((len(points), *sorted({len(own) for own in points.values()})))
        repeats = {len(own) for own in points.values()}
        if len(counts) > 1 or len(repeats) != 1 or repeats == {1}:
            raise InputError(
                f"{study.name}: expected all trials of a grid, of each variant as many, and each "
                f"point at least twice. Received: {len(entries)} trials of {code}"
            )
        point = min(points, key=lambda one: np.mean([score(entry) for entry in points[one]]))
        best = [score(entry) for entry in points[point]]
        found[code] = CellTruth(
            code=code,
            nll=float(np.mean(best)),
            test=float(np.mean([score(entry, "test") for entry in points[point]])),
            std=float(np.std(best, ddof=1)) if len(best) > 1 else 0.0,
            best=dict(zip(varied, point, strict=True)),
            by_seed=tuple(
                min(map(score, repeated)) for repeated in zip(*points.values(), strict=True)
            ),
            diverged=sum(map(_lost, entries)),
            seconds=sum(entry.result.seconds for entry in study.entries[code]),
        )
    return found


def _lost(one: TrialRecord | Failure) -> bool:
    return isinstance(one, Failure) or one.result.diverged


@dataclasses.dataclass(frozen=True)
class Effect:
    """The effect of changing operators, over all cells in which nothing else changes.

    Attributes:
        changes: edge and operator that replaces the edge's first one; two of these for an
            interaction.
        mean: mean difference; for an interaction, the mean difference of differences.
        median: median of the same differences.
        better: share of these differences that are improvements.
        cells: number of pairs (or quadruples) of cells.
    """

    changes: tuple[tuple[str, str], ...]
    mean: float
    median: float
    better: float
    cells: int


def effects(space: CellSpace, worth: Mapping[Child, float], order: int = 1) -> list[Effect]:
    """Computes main effects (order 1) or the interactions of two edges (order 2).

        y(b) - y(a),     y(b, d) - y(a, d) - y(b, c) + y(a, c)

    with a and c the first operators of their edges: every legal pair or quadruple counts once.

    Args:
        space: edges and operators.
        worth: worth of each legal cell; smaller is better.
        order: 1 or 2.

    Returns:
        The effects with at least one pair or quadruple, in the order of the edges.
    """
    names = list(space.edges)
    found = []
    for places in itertools.combinations(range(len(names)), order):
        others = [space.edges[names[place]][1:] for place in places]
        for operators in itertools.product(*others):
            differences = []
            for child in worth:
                if any(child[place] != space.edges[names[place]][0] for place in places):
                    continue
                corners = list(_corners(child, places, operators))
                if all(corner in worth for _, corner in corners):
                    differences.append(sum(sign * worth[corner] for sign, corner in corners))
            if differences:
                changes = tuple(
                    (names[place], operator)
                    for place, operator in zip(places, operators, strict=True)
                )
                found.append(
                    Effect(
                        changes,
                        float(np.mean(differences)),
                        float(np.median(differences)),
                        float(np.mean(np.less(differences, 0))),
                        len(differences),
                    )
                )
    return found


def _corners(
    child: Child, places: Sequence[int], operators: Sequence[str]
) -> list[tuple[int, Child]]:
    """Returns the cells with and without each change, and the signs with which they count."""
    found = []
    for chosen in itertools.product((False, True), repeat=len(places)):
        corner = list(child)
        for place, operator, changed in zip(places, operators, chosen, strict=True):
            if changed:
                corner[place] = operator
        found.append(((-1) ** (len(places) - sum(chosen)), tuple(corner)))
    return found
