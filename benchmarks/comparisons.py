"""How often the comparisons of a report are wrong, and which differences they see.

    python -m benchmarks.comparisons

Made-up studies of nine variants, compared as a report compares them
(`tuner.analysis.statistics.summaries`).
A trial's score is that of its hyperparameters plus a chance of its own in validation and in test;
the less of that chance there is, the more closely test follows validation. With nine equal variants
every difference found is a false alarm; then one variant is made worse by a multiple of the
standard deviation of a best tenth, and counted is how often that is found.
"""

from __future__ import annotations

import dataclasses
import gc
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags

from benchmarks import table
from common import command_line
from tuner.analysis.statistics import summaries
from tuner.analysis.statistics.summaries import (
    LEVEL,
    Comparison,
    InsufficientData,
    VariantSummary,
)
from tuner.training.protocol import Metrics, Score, Trial, TrialRecord

_STUDIES = flags.DEFINE_integer("studies", 500, "Studies of equal variants for each row.")
_PLANTED = flags.DEFINE_integer("planted_studies", 120, "Studies with a worse variant for a row.")
_TRIALS = flags.DEFINE_list("trial_counts", ["200", "50"], "Trials of each variant.")
_NOISES = flags.DEFINE_list("noises", ["0.02", "0.1", "0.3"], "Chance in a score, nats per frame.")

VARIANTS = ("V", "NIG", "NFG", "NOG", "NIAF", "NOAF", "CIFG", "NP", "FGR")
EFFECTS = (0.5, 1.0, 1.5, 2.0, 3.0)
"""Planted differences, in standard deviations of a best tenth."""

_VALUES = {"units": 100, "learning_rate": 1e-3, "momentum": 0.9, "noise_std": 0.0}

PLANTED = "NOAF"
"""The variant that is made worse."""


def draw_scores(
    generator: np.random.Generator, trials: int, noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """Draws the scores of one variant's random search.

    The score falls with the learning rate to a floor near the end of its range, a little with the
    size, and rises with the input noise where the learning rate is high.

    Args:
        generator: random stream.
        trials: how many.
        noise: standard deviation of a score's own chance.

    Returns:
        Validation and test scores, float64 of shape [trials].
    """
    rate, size, input_noise = generator.random((3, trials))
    score = 8.4 + 4 * np.maximum(0.0, 0.85 - rate) ** 1.5 + 0.4 * (1 - size)
    score += 0.5 * input_noise * rate
    validation, test = score + noise * generator.standard_normal((2, trials))
    return validation, test


def summarize(variant: str, validation: np.ndarray, test: np.ndarray) -> VariantSummary:
    """Makes a variant's summary of its scores.

    Args:
        variant: code.
        validation: float64 of shape [trials].
        test: float64 of shape [trials].
    """
    entries = [
        TrialRecord(
            Trial(index, variant, _VALUES, seed=1),
            Metrics(
                best_epoch=1,
                validation=Score(own, own),
                test=Score(tests, tests),
                curve=(),
                diverged=False,
                seconds=1.0,
                parameters=1,
                engine="native",
            ),
        )
        for index, (own, tests) in enumerate(zip(validation.tolist(), test.tolist(), strict=True))
    ]
    return summaries.summarize(variant, entries, failed=0, planned=len(entries))


def make_study(
    generator: np.random.Generator, trials: int, noise: float, worse_by: float = 0.0
) -> tuple[VariantSummary, ...]:
    """Makes a study of nine variants.

    Args:
        generator: random stream.
        trials: of each variant.
        noise: as in `draw_scores`.
        worse_by: what is added to all scores of `PLANTED`.
    """
    variants = []
    for variant in VARIANTS:
        validation, test = draw_scores(generator, trials, noise)
        shift = worse_by if variant == PLANTED else 0.0
        variants.append(summarize(variant, validation + shift, test + shift))
    return tuple(variants)


@dataclasses.dataclass(frozen=True)
class BestTenth:
    """What the best tenths of equal variants are like.

    Attributes:
        deviation: standard deviation of their test scores.
        correlation: of their test with their validation scores.
    """

    deviation: float
    correlation: float


def look(generator: np.random.Generator, trials: int, noise: float, studies: int) -> BestTenth:
    """Measures best tenths; arguments as in `make_study`, mean over `studies` variants."""
    variances, correlations = [], []
    for _ in range(studies):
        top = summarize("V", *draw_scores(generator, trials, noise)).top
        scores = np.array([(entry.result.validation.mean, entry.result.test.mean) for entry in top])
        variances.append(scores[:, 1].var(ddof=1))
        correlations.append(np.corrcoef(scores.T)[0, 1])
    return BestTenth(math.sqrt(np.mean(variances)), float(np.mean(correlations)))


def compare(variants: Sequence[VariantSummary]) -> dict[str, Comparison]:
    """Compares all variants with V; in made-up studies that is always possible."""
    results = {}
    for variant, comparison in summaries.compare(variants).items():
        assert not isinstance(comparison, InsufficientData), comparison.reason
        results[variant] = comparison
    return results


def _false_alarms(studies: Sequence[dict[str, Comparison]]) -> dict[str, float]:
    """Counts what is called different although nothing is."""
    every = [comparison for study in studies for comparison in study.values()]
    any_of = {
        "any_by_verdict": lambda one: one.verdict != "no difference shown",
        "any_by_welch_holm": lambda one: one.p_holm < LEVEL,
        "any_by_welch_bonferroni": lambda one: one.p_bonferroni < LEVEL,
    }
    each = {
        "each_by_permutation": lambda one: one.p_permutation < LEVEL,
        "each_by_welch": lambda one: one.p < LEVEL,
        "each_by_mann_whitney": lambda one: one.p_mann_whitney < LEVEL,
        "interval_without_zero": lambda one: not one.g_interval[0] <= 0 <= one.g_interval[1],
    }
    return {
        name: float(np.mean([any(map(alarm, study.values())) for study in studies]))
        for name, alarm in any_of.items()
    } | {name: float(np.mean(list(map(alarm, every)))) for name, alarm in each.items()}


def _found(studies: Sequence[dict[str, Comparison]], effect: float) -> dict[str, float]:
    """Counts how often the planted difference is found, and how often its interval holds it."""
    planted = [study[PLANTED] for study in studies]
    return {
        "found_by_verdict": float(np.mean([one.verdict == "worse" for one in planted])),
        "found_by_welch_holm": float(
            np.mean([one.p_holm < LEVEL and one.difference > 0 for one in planted])
        ),
        "interval_misses": float(
            np.mean([not one.g_interval[0] <= effect <= one.g_interval[1] for one in planted])
        ),
    }


def _rows(trials: int, noise: float, numbers: dict[float, int]) -> list[dict[str, Any]]:
    """Measures one kind of study; `numbers` says how many of each planted effect."""
    generator = np.random.default_rng([1, trials, round(1000 * noise)])
    tenth = look(generator, trials, noise, studies=1000)
    rows = []
    for effect, number in numbers.items():
        studies = [
            compare(make_study(generator, trials, noise, effect * tenth.deviation))
            for _ in range(number)
        ]
        shares = _found(studies, effect) if effect else _false_alarms(studies)
        rows += [
            {
                "trials": trials,
                "noise": noise,
                "top_correlation": round(tenth.correlation, 2),
                "top_deviation": round(tenth.deviation, 3),
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
    numbers = {0.0: _STUDIES.value} | dict.fromkeys(EFFECTS, _PLANTED.value)
    rows = []
    for trials in map(int, _TRIALS.value):
        for noise in map(float, _NOISES.value):
            found = _rows(trials, noise, numbers)
            table.show(found)
            rows += found
    print(f"results: {table.save('comparisons', rows)}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
