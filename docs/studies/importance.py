"""How right and how fast the importance analysis is, with both back ends and beside Optuna's.

    python -m docs.studies.importance

Shares of functions with known Sobol' indices (`tests.tuner.analysis.functions`): main effects, and
all pairs with their curves and surfaces. The package `fanova` is measured where it is installed
(`.venv-fanova/bin/python -m docs.studies.importance`, after `make fanova-test`). Optuna's fANOVA
computes main effects only.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import flags

from benchmarks import table
from benchmarks.table import Row
from common import command_line
from tests.tuner.analysis import functions

_RUNS = flags.DEFINE_integer("runs", 5, "Seeds, of points and forests.", lower_bound=1)
_SLOW_RUNS = flags.DEFINE_integer(
    "slow_runs", 1, "Seeds of what takes minutes: others than ours on more than 200 trials."
)

# Mean shares of main effects; those of pairs, if there are any.
Shares = tuple[np.ndarray, np.ndarray | None]
Measure = Callable[[np.ndarray, np.ndarray, int], Shares]

_CURVE, _SURFACE = np.linspace(0, 1, 64), np.linspace(0, 1, 24)
_PACKAGES = ("scikit-learn", "optuna", "numpy", "fanova", "pyrfr")
_POOLED = [0.05, 0.65, 0.0, 0.1, 0.2]
_FUNCTIONS = {
    "Ishigami": (500, functions.ISHIGAMI),
    "Sobol' g": (500, functions.PRODUCT),
    "additive": (200, functions.ADDITIVE),
    "additive, pooled": (
        1800,
        functions.Case(
            lambda points: points @ np.sqrt(12 * np.array(_POOLED)), _POOLED, [0.0] * 10
        ),
    ),
}


def _means(decomposition: Any) -> Shares:
    return decomposition.mains.mean(axis=0), decomposition.pairs.mean(axis=0)


def _forest(points: np.ndarray, targets: np.ndarray, seed: int) -> Shares:
    from tuner.analysis.importance import forest, trees

    factors = points.shape[1]
    grown, _ = forest.grow(points, targets, [None] * factors, seed=seed)
    return _means(trees.decompose(grown, [_CURVE] * factors, [_SURFACE] * factors))


def _fanova(points: np.ndarray, targets: np.ndarray, seed: int) -> Shares:
    from tuner.analysis.importance import fanova_package

    factors = points.shape[1]
    decomposition, _ = fanova_package.decompose(
        points, targets, [0] * factors, [_CURVE] * factors, [_SURFACE] * factors, seed=seed
    )
    return _means(decomposition)


def _optuna(points: np.ndarray, targets: np.ndarray, seed: int) -> Shares:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    names = [f"x{factor}" for factor in range(points.shape[1])]
    distributions = {name: optuna.distributions.FloatDistribution(0, 1) for name in names}
    study = optuna.create_study()
    study.add_trials(
        optuna.create_trial(
            params=dict(zip(names, row, strict=True)), distributions=distributions, value=target
        )
        for row, target in zip(points.tolist(), targets.tolist(), strict=True)
    )
    # `get_param_importances` would make the main effects add up to 1.
    shares = optuna.importance.FanovaImportanceEvaluator(seed=seed).evaluate(study)
    return np.array([shares[name] for name in names]), None


_MEASURES: dict[str, tuple[Measure, int]] = {
    "forest": (_forest, 64),
    "fanova": (_fanova, 16),
    "Optuna's fANOVA": (_optuna, 64),
}
"""What is measured, and its default number of trees."""


def _row(name: str, function: str) -> Row:
    measure, trees = _MEASURES[name]
    trials, case = _FUNCTIONS[function]
    runs = _SLOW_RUNS.value if trials > 200 and name != "forest" else _RUNS.value
    found: dict[str, list[float]] = {}
    for seed in range(1, 1 + runs):
        points = np.random.default_rng(seed).random((trials, len(case.mains)))
        targets = case.function(points)
        started, busy = time.perf_counter(), time.process_time()
        mains, pairs = measure(points, (targets - targets.mean()) / targets.std(), seed)
        numbers = {
            "seconds": time.perf_counter() - started,
            # Of all processors together; what else the machine does matters less here.
            "processor_seconds": time.process_time() - busy,
            "error_of_mains": np.abs(mains - case.mains).max(),
        }
        if pairs is not None:
            numbers["error_of_pairs"] = np.abs(pairs - case.pairs).max()
        for key, number in numbers.items():
            found.setdefault(key, []).append(float(number))
    median = {key: statistics.median(numbers) for key, numbers in found.items()}
    return {
        "function": function,
        "trials": trials,
        "factors": len(case.mains),
        "by": name,
        "trees": trees,
        "runs": runs,
        "error_of_mains": round(median["error_of_mains"], 3),
        "error_of_pairs": round(median["error_of_pairs"], 3) if "error_of_pairs" in median else "",
        "seconds": float(f"{median['seconds']:.3g}"),
        "processor_seconds": float(f"{median['processor_seconds']:.3g}"),
    }


def main() -> int:
    """Runs the command."""
    names = [name for name in _MEASURES if name != "fanova" or importlib.util.find_spec("fanova")]
    warm_up = np.random.default_rng(0).random((20, 3))
    for name in names:
        # Imports are no part of the analysis.
        _MEASURES[name][0](warm_up, warm_up.sum(axis=1), 1)
    rows = []
    for function in _FUNCTIONS:
        of_function = [_row(name, function) for name in names]
        ours = of_function[0]["processor_seconds"]
        for row in of_function:
            row["times_forest"] = float(f"{row['processor_seconds'] / ours:.3g}")
        rows += of_function
        table.show(of_function)
    table.save("importance", rows, _PACKAGES, table.STUDIES)
    return 0


if __name__ == "__main__":
    command_line.run(main)
