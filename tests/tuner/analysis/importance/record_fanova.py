"""Records what the package `fanova` says about given trials, for environments without it.

    python -m tests.tuner.analysis.record_fanova

Runs where the extra [fanova] is installed; calls the package itself, not this project's adapter.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import pathlib
from typing import Any

import numpy as np

RECORD = pathlib.Path(__file__).with_name("fanova_record.json")
CATEGORIES = (0, 0, 0, 4)
PLACES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Where the marginals of the numerical factors are recorded."""


def trials() -> tuple[np.ndarray, np.ndarray]:
    """150 trials of three numerical factors and a category, with two interactions and noise."""
    generator = np.random.default_rng(20)
    points = generator.random((150, 4)).round(4)
    points[:, 3] = generator.integers(4, size=150)
    first, second, third, category = points.T
    offsets = np.array([0.5, 0.0, 1.5, -0.5])[category.astype(int)]
    targets = 3 * first**2 + np.where(second > 0.6, 2 * third, 0) + offsets * (0.5 + first)
    return points, targets + 0.1 * generator.standard_normal(150)


def record() -> dict[str, Any]:
    """Runs the package on `trials`, as its documentation says."""
    import ConfigSpace
    from fanova import fanova

    # The name that NumPy has had no more since 1.24. This process does nothing else.
    fanova.np.float = float
    points, targets = trials()
    space = ConfigSpace.ConfigurationSpace()
    space.add(
        ConfigSpace.CategoricalHyperparameter(f"x{factor}", list(range(count)))
        if count
        else ConfigSpace.UniformFloatHyperparameter(f"x{factor}", 0.0, 1.0)
        for factor, count in enumerate(CATEGORIES)
    )
    analysis = fanova.fANOVA(
        points, targets, config_space=space, n_trees=64, seed=1, max_features=3
    )
    effects = [*itertools.combinations(range(4), 1), *itertools.combinations(range(4), 2)]
    shares = {}
    for effect in effects:
        share = analysis.quantify_importance(effect)[effect]
        shares[" ".join(map(str, effect))] = {
            "share": round(float(share["individual importance"]), 5),
            "spread": round(float(share["individual std"]), 5),
        }
    marginals = {
        str(factor): [
            [
                round(float(number), 5)
                for number in analysis.marginal_mean_variance_for_values([factor], [place])
            ]
            for place in (range(count) if count else PLACES)
        ]
        for factor, count in enumerate(CATEGORIES)
    }
    packages = ("fanova", "pyrfr", "ConfigSpace", "numpy")
    return {
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "trees": 64,
        "seed": 1,
        "max_features": 3,
        "shares": shares,
        # Mean and variance over the trees.
        "marginals": marginals,
    }


if __name__ == "__main__":
    RECORD.write_text(json.dumps(record(), indent=1) + "\n")
