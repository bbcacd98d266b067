"""Made-up studies, compared as a report compares them.

A trial's score is that of its hyperparameters plus a chance of its own in validation and in test;
the less of that chance there is, the more closely test follows validation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tuner.analysis.statistics import summaries
from tuner.analysis.statistics.summaries import Comparison, InsufficientData, VariantSummary
from tuner.training.protocol import Metrics, Score, Trial, TrialRecord

VARIANTS = ("V", "NIG", "NFG", "NOG", "NIAF", "NOAF", "CIFG", "NP", "FGR")
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


def compare(variants: Sequence[VariantSummary]) -> dict[str, Comparison]:
    """Compares all variants with V; in made-up studies that is always possible."""
    results = {}
    for variant, comparison in summaries.compare(variants).items():
        assert not isinstance(comparison, InsufficientData), comparison.reason
        results[variant] = comparison
    return results
