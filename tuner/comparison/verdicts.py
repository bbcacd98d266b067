"""Verdicts on whether one sampler finds better trials than another."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from tuner.comparison.runs import Run

LEVEL = 0.05
_PERMUTATIONS = 20_000
_SEED = 1


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A comparison of two samplers at one budget: first minus second, so negative favors the first.

    Attributes:
        first: name of the first sampler.
        second: name of the second sampler.
        budget: number of trainings.
        seeds: number of pairs.
        area: mean difference of the mean best-so-far.
        p: p-value of a two-sided permutation test on the paired areas, for this pair alone.
        p_holm: p-value after Holm's correction for all pairs at this budget.
        final: mean difference of the test score of the best trial by validation.
        low: lower end of the 90% interval of `final`, by Student's t.
        high: upper end; if both are within ± the smallest difference worth naming, two one-sided
            tests at 5% find the samplers equivalent (Schuirmann 1987).
        words: "better", "worse", "no difference that matters", or "undecided".
    """

    first: str
    second: str
    budget: int
    seeds: int
    area: float
    p: float
    p_holm: float
    final: float
    low: float
    high: float
    words: str


def paired_permutation(differences: np.ndarray, seed: int = _SEED) -> float:
    """Tests whether paired differences have mean 0, by a sign-flip permutation test.

    Args:
        differences: the difference of each pair, float64 `[pairs]`.
        seed: seed of the sampled signs; for up to 14 pairs, all signs are enumerated.

    Returns:
        The two-sided p-value: the share of sign flips whose mean is at least as far from 0.

    Example:
        >>> paired_permutation(np.array([1.0, 1.0, 1.0, 1.0]))
        0.125
    """
    count = len(differences)
    if count <= 14:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=count)))
        own = 0
    else:
        signs = np.random.default_rng(seed).choice((1.0, -1.0), (_PERMUTATIONS, count))
        own = 1  # The observed differences count as one sample.
    # Sums that differ only by rounding count as equal.
    least = abs(differences.sum()) * (1 - 1e-12)
    return float(((abs(signs @ differences) >= least).sum() + own) / (len(signs) + own))


def compare(runs: Sequence[Run], budgets: Sequence[int], smallest: float) -> list[Verdict]:
    """Compares all pairs of samplers on the seeds that they share.

    A sampler is called better or worse if the areas differ significantly after Holm's correction,
    and by at least `smallest`; otherwise, if the 90% interval of the difference of the final test
    scores lies within ± `smallest`, there is no difference that matters.

    Args:
        runs: runs of at least two samplers.
        budgets: numbers of trainings; runs shorter than a budget are left out there.
        smallest: the smallest difference worth naming, in the metric's unit.
    """
    from scipy import stats
    from statsmodels.stats.multitest import multipletests

    names = list(dict.fromkeys(run.sampler for run in runs))
    found: list[Verdict] = []
    for budget in budgets:
        by_name = {
            name: {
                run.seed: run
                for run in runs
                if run.sampler == name and len(run.validation) >= budget
            }
            for name in names
        }
        made = []
        for first, second in itertools.combinations(names, 2):
            seeds = sorted(by_name[first].keys() & by_name[second].keys())
            if len(seeds) < 2:
                continue
            pairs = [(by_name[first][seed], by_name[second][seed]) for seed in seeds]
            areas = np.array([one.area(budget) - other.area(budget) for one, other in pairs])
            finals = np.array([a.test[budget - 1] - b.test[budget - 1] for a, b in pairs])
            if not (np.isfinite(areas).all() and np.isfinite(finals).all()):
                continue
            error = finals.std(ddof=1) / np.sqrt(len(seeds))
            within = float(stats.t.ppf(1 - LEVEL, len(seeds) - 1)) * error
            mean = float(finals.mean())
            made.append(
                Verdict(
                    first, second, budget, len(seeds), float(areas.mean()),
                    paired_permutation(areas), 1.0, mean, mean - within, mean + within, "",
                )
            )  # fmt: skip
        if made:
            corrected = multipletests([one.p for one in made], method="holm")[1]
            found += [
                dataclasses.replace(one, p_holm=float(p), words=_words(one, float(p), smallest))
                for one, p in zip(made, corrected, strict=True)
            ]
    return found


def _words(one: Verdict, p_holm: float, smallest: float) -> str:
    if p_holm < LEVEL and abs(one.area) >= smallest:
        return "better" if one.area < 0 else "worse"
    if -smallest < one.low and one.high < smallest:
        return "no difference that matters"
    return "undecided"
