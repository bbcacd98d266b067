"""How right and how fast the importance analysis is, with both back ends and beside Optuna's.

    python -m benchmarks.importance

Shares of functions with known Sobol' indices, main effects and all pairs with their curves and
surfaces. The package `fanova` is measured where it is installed (`.venv-fanova/bin/python -m
benchmarks.importance`, after `make fanova-test`). Optuna's fANOVA computes main effects only.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags

from benchmarks import table
from common import command_line

if TYPE_CHECKING:
    from tuner.analysis.importance.trees import Decomposition

_RUNS = flags.DEFINE_integer("runs", 5, "Seeds, of points and forests.", lower_bound=1)
_SLOW_RUNS = flags.DEFINE_integer(
    "slow_runs", 1, "Seeds of what takes minutes: others than ours on more than 200 trials."
)

Row = dict[str, Any]
# Mean shares of main effects; those of pairs, if there are any.
Shares = tuple[np.ndarray, np.ndarray | None]
Measure = Callable[[np.ndarray, np.ndarray, int], Shares]

_CURVE, _SURFACE = np.linspace(0, 1, 64), np.linspace(0, 1, 24)
_CUBE_WEIGHTS = np.sqrt(12 * np.array([0.074, 0.826, 0.0, 0.1]))
_POOLED_WEIGHTS = np.sqrt(12 * np.array([0.05, 0.65, 0.0, 0.1, 0.2]))


def _functions() -> dict[str, tuple[int, Callable[[np.ndarray], np.ndarray], Shares]]:
    """Trials, function, and its shares: first-order and second-order Sobol' indices."""
    from SALib.test_functions import Ishigami, Sobol_G

    first, second = (1 + 0.1 * np.pi**4 / 5) ** 2 / 2, 7**2 / 8
    together = 0.1**2 * np.pi**8 * (1 / 18 - 1 / 50)
    total = first + second + together
    weights = np.array([0.0, 1.0, 4.5, 9.0])
    single = 1 / (3 * (1 + weights) ** 2)
    products = np.outer(single, single)[np.triu_indices(4, 1)]
    return {
        "Ishigami": (
            500,
            lambda points: Ishigami.evaluate(np.pi * (2 * points - 1)),
            (np.array([first, second, 0]) / total, np.array([0, together, 0]) / total),
        ),
        "Sobol' g": (
            500,
            lambda points: Sobol_G.evaluate(points, weights),
            (single / (np.prod(1 + single) - 1), products / (np.prod(1 + single) - 1)),
        ),
        "additive": (
            200,
            lambda points: points @ _CUBE_WEIGHTS,
            (_CUBE_WEIGHTS**2 / 12, np.zeros(6)),
        ),
        "additive, pooled": (
            1800,
            lambda points: points @ _POOLED_WEIGHTS,
            (_POOLED_WEIGHTS**2 / 12, np.zeros(10)),
        ),
    }


def _means(decomposition: Decomposition) -> Shares:
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


def _largest_error(shares: np.ndarray, known: np.ndarray) -> float:
    return float(np.abs(shares - known).max())


def _row(name: str, function: str) -> Row:
    measure, trees = _MEASURES[name]
    trials, evaluate, (mains, pairs) = _functions()[function]
    slow = trials > 200 and name != "forest"
    seconds, work, errors_of_mains, errors_of_pairs = [], [], [], []
    for seed in range(1, 1 + (_SLOW_RUNS.value if slow else _RUNS.value)):
        points = np.random.default_rng(seed).random((trials, len(mains)))
        targets = evaluate(points)
        started, busy = time.perf_counter(), time.process_time()
        found_mains, found_pairs = measure(
            points, (targets - targets.mean()) / targets.std(), seed
        )
        seconds.append(time.perf_counter() - started)
        work.append(time.process_time() - busy)
        errors_of_mains.append(_largest_error(found_mains, mains))
        if found_pairs is not None:
            errors_of_pairs.append(_largest_error(found_pairs, pairs))
    return {
        "function": function,
        "trials": trials,
        "factors": len(mains),
        "by": name,
        "trees": trees,
        "runs": len(seconds),
        "error_of_mains": round(statistics.median(errors_of_mains), 3),
        "error_of_pairs": round(statistics.median(errors_of_pairs), 3) if errors_of_pairs else "",
        "seconds": float(f"{statistics.median(seconds):.3g}"),
        # Of all processors together; what else the machine does matters less here.
        "processor_seconds": float(f"{statistics.median(work):.3g}"),
    }


def main() -> int:
    """Runs the command."""
    names = [name for name in _MEASURES if name != "fanova" or importlib.util.find_spec("fanova")]
    warm_up = np.random.default_rng(0).random((20, 3))
    for name in names:
        # Imports are no part of the analysis.
        _MEASURES[name][0](warm_up, warm_up.sum(axis=1), 1)
    rows = []
    for function in _functions():
        of_function = [_row(name, function) for name in names]
        ours = of_function[0]["processor_seconds"]
        for row in of_function:
            row["times_forest"] = float(f"{row['processor_seconds'] / ours:.3g}")
        rows += of_function
        table.show(of_function)
    path = table.save(
        "importance", rows, packages=("scikit-learn", "optuna", "numpy", "fanova", "pyrfr")
    )
    print(f"results: {path}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
