"""The samplers as KerasTuner oracles, for any tuner and hypermodel.

Example:
    ```python
    tuner = keras_tuner.Tuner(
        hypermodel=build,
        oracle=tuner.AgingEvolutionOracle("val_loss", max_trials=100, seed=1),
        directory="search",
    )
    tuner.search(x, y, validation_data=(x_val, y_val))
    ```
"""

from __future__ import annotations

import functools
import math
import random
from typing import Any

import keras_tuner
import numpy as np

from tuner.search import samplers
from tuner.search.samplers.domain import Domain, Gene, Point, Score, Search, Value
from tuner.training import random_streams

# KerasTuner does not export its names of a trial's states.
_RUNNING, _IDLE, _COMPLETED, _FAILED = "RUNNING", "IDLE", "COMPLETED", "FAILED"

_Kinds = keras_tuner.engine.hyperparameters


class SearchOracle(keras_tuner.Oracle):
    """Base class of the oracles in this module, which propose trials by a search.

    Trial k is a function of the seed, of k and of the outcomes of the trials up to k - `lag`. While
    one of these is running, the oracle is idle; so neither the number of workers nor the order in
    which trials end affects the proposals, and an interrupted search resumes from the trials that
    KerasTuner has saved. A failed trial counts but never wins.

    A hyperparameter in a conditional scope has a value in every trial of the search; where it is
    inactive, that value was drawn at random.

    Args:
        objective: the single objective to optimize; see `keras_tuner.Oracle`.
        max_trials: total number of trials.
        hyperparameters: the search space, or a part of it; see `keras_tuner.Oracle`.
        lag: number of trials that can run at a time.
        seed: seed of the search; chosen at random if None.
        **options: other arguments of `keras_tuner.Oracle`, such as `max_consecutive_failed_trials`.
    """

    name = ""
    """The sampler's name in `tuner.search.samplers.SAMPLERS`."""

    def __init__(
        self,
        objective: Any = None,
        max_trials: int = 10,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        *,
        lag: int = 1,
        seed: int | None = None,
        search_options: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        if lag < 1:
            raise ValueError(f"Expected `lag` >= 1. Received: {lag}")
        samplers.require(self.name)
        self._options = search_options or {}
        self._lag = lag
        # KerasTuner interprets 0 as "at random".
        self._search_seed = random.randrange(1, 2**31) if seed is None else seed
        self._search: tuple[list[Any], Search] | None = None
        super().__init__(
            objective=objective,
            max_trials=max_trials,
            hyperparameters=hyperparameters,
            seed=self._search_seed or None,
            **options,
        )

    def get_state(self) -> dict[str, Any]:
        """Returns what a search needs to resume besides its trials; see `keras_tuner.Oracle`."""
        return {**super().get_state(), "search": {"seed": self._search_seed, "lag": self._lag}}

    def set_state(self, state: dict[str, Any]) -> None:
        """Resumes a saved search; see `keras_tuner.Oracle`.

        Raises:
            ValueError: if the search was begun with a different lag.
        """
        begun = state["search"]
        if begun["lag"] != self._lag:
            raise ValueError(
                f"Expected `lag` to be that of the saved search, {begun['lag']}. "
                f"Received: {self._lag}"
            )
        self._search_seed, self._search = begun["seed"], None
        super().set_state(state)

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Proposes a trial, or waits; see `keras_tuner.Oracle`.

        Raises:
            ValueError: if a hyperparameter is declared under several conditions.
        """
        before = sorted(self.trials.values(), key=lambda trial: int(trial.trial_id))
        seen = before[: max(len(before) - self._lag + 1, 0)]
        if any(trial.status not in (_COMPLETED, _FAILED) for trial in seen):
            return {"status": _IDLE, "values": None}
        space = self.hyperparameters.space
        search, genes = self._find_search(space)
        points = [self._point(i, trial, genes) for i, trial in enumerate(before)]
        proposed = search.propose(points, [self._score(trial) for trial in seen])
        # KerasTuner leaves out inactive hyperparameters.
        return {"status": _RUNNING, "values": dict(proposed)}

    def _find_search(self, space: list[Any]) -> tuple[Search, tuple[Gene, ...]]:
        """Returns the search and the genes of a space, which can grow with the first trials."""
        genes = tuple(map(_gene, space))
        names = [gene.name for gene in genes]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(
                    f"Expected each hyperparameter in one conditional scope. Received: {name!r} "
                    "in several; give each a name of its own"
                )
        config = [hyperparameter.get_config() for hyperparameter in space]
        if self._search is None or self._search[0] != config:
            domain = Domain(
                genes,
                functools.partial(self._generator, self.name),
                lambda index: {gene.name: self._draw(index, gene) for gene in genes},
                self._lag,
            )
            self._search = config, samplers.make_search(self.name, domain, **self._options)
        return self._search[1], genes

    def _generator(self, purpose: str, index: int) -> np.random.Generator:
        return random_streams.proposal(self._search_seed, "", purpose, index)

    def _draw(self, index: int, gene: Gene) -> Value:
        """Draws a random value for a trial; it is the same in all oracles with the same seed."""
        return gene.draw(float(self._generator(f"random {gene.name}", index).random()))

    def _point(self, index: int, trial: Any, genes: tuple[Gene, ...]) -> Point:
        values = trial.hyperparameters.values
        return {
            gene.name: values[gene.name] if gene.name in values else self._draw(index, gene)
            for gene in genes
        }

    def _score(self, trial: Any) -> Score:
        if trial.status != _COMPLETED or trial.score is None or not math.isfinite(trial.score):
            return None
        return float(-trial.score if self.objective.direction == "max" else trial.score)


def _gene(known: Any) -> Gene:
    """Converts a KerasTuner hyperparameter to a gene."""
    if isinstance(known, _Kinds.Fixed):
        return Gene(known.name, lambda part: known.value, (known.value,))
    if isinstance(known, _Kinds.Boolean):
        return Gene(known.name, known.prob_to_value, (False, True))
    if isinstance(known, _Kinds.Choice):
        return Gene(known.name, known.prob_to_value, tuple(known.values), bool(known.ordered))
    low, high, whole = known.min_value, known.max_value, isinstance(known, _Kinds.Int)
    if known.step is not None and not (whole and known.step == 1 and known.sampling == "linear"):
        options = tuple(map(int if whole else float, known.values))
        return Gene(known.name, known.prob_to_value, options, True)
    gene = functools.partial(
        Gene, known.name, known.prob_to_value, low=low, high=high, integer=whole,
        log=known.sampling != "linear",
    )  # fmt: skip
    if known.sampling == "reverse_log":
        # max + min - value is uniform on a log scale.
        return gene(quantity=lambda value: high + low - value, value=lambda one: high + low - one)
    kind = int if whole else float
    return gene(quantity=kind, value=kind)


class AgingEvolutionOracle(SearchOracle):
    """Aging evolution; see `tuner.search.samplers.evolution.AgingEvolution`.

    Args:
        objective: the objective to optimize; see `SearchOracle`.
        max_trials: total number of trials.
        hyperparameters: the search space, or a part of it.
        population_size: number of trials that can be parents.
        tournament_size: number of trials that compete to be the parent.
        **options: other arguments of `SearchOracle`: `lag`, `seed`, and KerasTuner's.
    """

    name = "evolution"

    def __init__(
        self,
        objective: Any = None,
        max_trials: int = 10,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        *,
        population_size: int = 20,
        tournament_size: int = 5,
        **options: Any,
    ) -> None:
        search = {"population_size": population_size, "tournament_size": tournament_size}
        super().__init__(
            objective, max_trials, hyperparameters, search_options=search, **options
        )


class ReinforceOracle(SearchOracle):
    """REINFORCE; see `tuner.search.samplers.reinforce.Reinforce`.

    Numeric ranges are searched on a few levels each.

    Args:
        objective: the objective to optimize; see `SearchOracle`.
        max_trials: total number of trials.
        hyperparameters: the search space, or a part of it.
        preset: "GraphNAS" for its LSTM and its settings, which the other arguments override.
        policy: "factored" or "lstm".
        learning_rate: learning rate of the policy.
        entropy: weight of the policy's entropy.
        baseline_decay: decay of the moving average of the rewards.
        temperature: temperature of the policy.
        tanh_c: largest logit of the policy.
        **options: other arguments of `SearchOracle`: `lag`, `seed`, and KerasTuner's.
    """

    name = "reinforce"

    def __init__(
        self,
        objective: Any = None,
        max_trials: int = 10,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        *,
        preset: str | None = None,
        policy: str | None = None,
        learning_rate: float | None = None,
        entropy: float | None = None,
        baseline_decay: float | None = None,
        temperature: float | None = None,
        tanh_c: float | None = None,
        **options: Any,
    ) -> None:
        if preset not in (None, "GraphNAS"):
            raise ValueError(f'Expected `preset` to be "GraphNAS" or None. Received: {preset!r}')
        given = {
            "policy": policy,
            "learning_rate": learning_rate,
            "entropy": entropy,
            "baseline_decay": baseline_decay,
            "temperature": temperature,
            "tanh_c": tanh_c,
        }
        search = dict(samplers.SAMPLERS["graphnas"].options) if preset else {}
        search |= {name: value for name, value in given.items() if value is not None}
        super().__init__(
            objective, max_trials, hyperparameters, search_options=search, **options
        )


class TPEOracle(SearchOracle):
    """Optuna's tree-structured Parzen estimators; the arguments are those of `SearchOracle`."""

    name = "tpe"


class GPOracle(SearchOracle):
    """Optuna's Gaussian process, which needs PyTorch; the arguments are those of `SearchOracle`."""

    name = "gp"


class CMAESOracle(SearchOracle):
    """Optuna's CMA-ES, for numeric ranges; the arguments are those of `SearchOracle`.

    Categorical hyperparameters are drawn at random.
    """

    name = "cmaes"


class NSGA2Oracle(SearchOracle):
    """Optuna's NSGA-II, a genetic algorithm; the arguments are those of `SearchOracle`."""

    name = "nsga2"


class QMCOracle(SearchOracle):
    """Optuna's scrambled Sobol' points; the arguments are those of `SearchOracle`."""

    name = "qmc"
