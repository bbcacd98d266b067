"""How often the comparisons of a report are wrong, and which differences they see.

    python -m docs.studies.comparisons

Made-up studies of nine variants (`tests.tuner.analysis.statistics.made_up_studies`), compared as a
report compares them. With nine equal variants every difference found is a false alarm; then one
variant is made worse by a multiple of the standard deviation of a best tenth, and counted is how
often that is found. Takes hours; `--studies=20 --planted_studies=10` minutes.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Sequence

import numpy as np
from absl import flags

from benchmarks import table
from benchmarks.table import Row
from common import command_line
from tests.tuner.analysis.statistics import made_up_studies
from tests.tuner.analysis.statistics.made_up_studies import PLANTED, compare, make_study
from tuner.analysis.statistics.summaries import LEVEL, Comparison

_STUDIES = flags.DEFINE_integer("studies", 500, "Studies of equal variants for each row.")
_PLANTED = flags.DEFINE_integer("planted_studies", 120, "Studies with a worse variant for a row.")
_TRIALS = flags.DEFINE_list("trial_counts", ["200", "50"], "Trials of each variant.")
_NOISES = flags.DEFINE_list("noises", ["0.02", "0.1", "0.3"], "Chance in a score, nats per frame.")

_EFFECTS = (0.5, 1.0, 1.5, 2.0, 3.0)
"""Planted differences, in standard deviations of a best tenth."""

Says = Callable[[Comparison], bool]

_ANY: dict[str, Says] = {
    "any_by_verdict": lambda one: one.verdict != "no difference shown",
    "any_by_welch_holm": lambda one: one.p_holm < LEVEL,
    "any_by_welch_bonferroni": lambda one: one.p_bonferroni < LEVEL,
}
_EACH: dict[str, Says] = {
    "each_by_permutation": lambda one: one.p_permutation < LEVEL,
    "each_by_welch": lambda one: one.p < LEVEL,
    "each_by_mann_whitney": lambda one: one.p_mann_whitney < LEVEL,
    "interval_without_zero": lambda one: not one.g_interval[0] <= 0 <= one.g_interval[1],
}


def _look(generator: np.random.Generator, trials: int, noise: float) -> tuple[float, float]:
    """Standard deviation of best tenths' test scores; their correlation with validation scores."""
    variances, correlations = [], []
    for _ in range(1000):
        scores = made_up_studies.draw_scores(generator, trials, noise)
        top = made_up_studies.summarize("V", *scores).top
        pairs = np.array([(one.result.validation.mean, one.result.test.mean) for one in top])
        variances.append(pairs[:, 1].var(ddof=1))
        correlations.append(np.corrcoef(pairs.T)[0, 1])
    return math.sqrt(np.mean(variances)), float(np.mean(correlations))


def _false_alarms(studies: Sequence[dict[str, Comparison]]) -> dict[str, float]:
    """Counts what is called different although nothing is."""
    every = [comparison for study in studies for comparison in study.values()]
    return {
        name: float(np.mean([any(map(alarm, study.values())) for study in studies]))
        for name, alarm in _ANY.items()
    } | {name: float(np.mean(list(map(alarm, every)))) for name, alarm in _EACH.items()}


def _found(studies: Sequence[dict[str, Comparison]], effect: float) -> dict[str, float]:
    """Counts how often the planted difference is found, and how often its interval holds it."""
    says: dict[str, Says] = {
        "found_by_verdict": lambda one: one.verdict == "worse",
        "found_by_welch_holm": lambda one: one.p_holm < LEVEL and one.difference > 0,
        "interval_misses": lambda one: not one.g_interval[0] <= effect <= one.g_interval[1],
    }
    planted = [study[PLANTED] for study in studies]
    return {name: float(np.mean(list(map(test, planted)))) for name, test in says.items()}


def _rows(trials: int, noise: float) -> list[Row]:
    """Measures one kind of study."""
    generator = np.random.default_rng([1, trials, round(1000 * noise)])
    deviation, correlation = _look(generator, trials, noise)
    rows = []
    for effect in (0.0, *_EFFECTS):
        number = _PLANTED.value if effect else _STUDIES.value
        studies = [
            compare(make_study(generator, trials, noise, effect * deviation)) for _ in range(number)
        ]
        shares = _found(studies, effect) if effect else _false_alarms(studies)
        rows += [
            {
                "trials": trials,
                "noise": noise,
                "top_correlation": round(correlation, 2),
                "top_deviation": round(deviation, 3),
                "effect": effect,
                "what": what,
                "share": round(share, 4),
                "studies": number,
            }
            for what, share in shares.items()
        ]
    return rows


def main() -> int:
    """Runs the command."""
    # statsmodels collects garbage in every correction: with all modules to look at, that takes
    # longer than the statistics. The first comparison imports them.
    compare(make_study(np.random.default_rng(1), trials=30, noise=0.1))
    gc.freeze()
    rows = []
    for trials in map(int, _TRIALS.value):
        for noise in map(float, _NOISES.value):
            rows += (found := _rows(trials, noise))
            table.show(found)
    table.save("comparisons", rows, folder=table.STUDIES)
    return 0


if __name__ == "__main__":
    command_line.run(main)
