"""The samplers as oracles of KerasTuner."""

from __future__ import annotations

import json
import math
import pathlib
import random
from collections.abc import Callable
from typing import Any

import keras_tuner
import pytest

import tuner
from common.errors import InputError
from tuner.search.oracles import SearchOracle

TRIALS = 16


def space() -> keras_tuner.HyperParameters:
    """Every kind of hyperparameter, one in a conditional scope."""
    hp = keras_tuner.HyperParameters()
    hp.Int("units", 4, 64, sampling="log")
    hp.Int("layers", 1, 3)
    hp.Int("batch", 2, 32, step=2, sampling="log")
    hp.Float("rate", 1e-5, 1e-1, sampling="log")
    hp.Float("keep", 1e-2, 1.0, sampling="reverse_log")
    hp.Float("dropout", 0.0, 0.5, step=0.1)
    hp.Fixed("epochs", 3)
    hp.Boolean("bias")
    hp.Choice("optimizer", ["adam", "sgd"])
    with hp.conditional_scope("optimizer", ["sgd"]):
        hp.Float("momentum", 0.0, 0.99)
    return hp


def loss(values: dict[str, Any]) -> float:
    """What a trial of these values comes to; some fail."""
    if values["batch"] in (4, 16):
        return math.nan
    size = abs(math.log(values["units"] / 24)) + abs(math.log10(values["rate"]) + 3)
    return size + values["dropout"] + (values["optimizer"] == "sgd") * values.get("momentum", 9.0)


class Machine:
    """Workers that finish in a random order, and a tuner that dies."""

    def __init__(self, folder: pathlib.Path, make: Callable[[], SearchOracle]) -> None:
        self._folder, self._make = folder, make
        self.oracle = self._begin()
        self.idle = 0

    def _begin(self) -> SearchOracle:
        oracle = self._make()
        oracle.verbose = 0
        oracle._set_project_dir(str(self._folder), "search")
        return oracle

    def die(self) -> None:
        """All workers die; what KerasTuner has written is read by another process."""
        self.oracle = self._begin()
        self.oracle.reload()

    def run(self, workers: int, deaths: tuple[int, ...] = ()) -> list[dict[str, Any]]:
        chance = random.Random(workers)
        running: dict[str, Any] = {}
        while True:
            for number in range(workers):
                name = f"tuner{number}"
                if name not in running:
                    trial = self.oracle.create_trial(name)
                    if trial.status == "RUNNING":
                        running[name] = trial
                    self.idle += trial.status == "IDLE"
            if not running:
                assert len(self.oracle.trials) == TRIALS
                return [
                    self.oracle.trials[name].hyperparameters.values
                    for name in sorted(self.oracle.trials)
                ]
            if len(self.oracle.end_order) in deaths:
                deaths = tuple(at for at in deaths if at != len(self.oracle.end_order))
                self.die()
                running = {}
                continue
            trial = running.pop(chance.choice(sorted(running)))
            value = loss(trial.hyperparameters.values)
            self.oracle.update_trial(trial.trial_id, {"loss": value})
            trial.status = "COMPLETED"
            self.oracle.end_trial(trial)


def maker(kind: str, lag: int, **options: Any) -> Callable[[], SearchOracle]:
    def make() -> SearchOracle:
        return getattr(tuner, kind)(
            keras_tuner.Objective("loss", "min"),
            TRIALS,
            space(),
            lag=lag,
            seed=5,
            max_consecutive_failed_trials=TRIALS + 1,
            **options,
        )

    return make


@pytest.mark.parametrize(
    ("kind", "options"),
    [("AgingEvolutionOracle", {"population_size": 8, "tournament_size": 3}), ("TPEOracle", {})],
)
def test_workers_order_and_death_change_nothing(
    tmp_path: pathlib.Path, kind: str, options: dict[str, Any]
) -> None:
    alone = Machine(tmp_path / "alone", maker(kind, 3, **options))
    values = alone.run(1)
    assert alone.idle == 0
    # More workers than the lag allows wait.
    several = Machine(tmp_path / "several", maker(kind, 3, **options))
    assert several.run(4, deaths=(2, 9, 13)) == values
    assert several.idle > 0
    for one in values:
        hp = space()
        hp.values = dict(one)
        assert {name for name in one if hp.is_active(name)} == set(one)
        assert ("momentum" in one) == (one["optimizer"] == "sgd")
        assert 4 <= one["units"] <= 64 and one["batch"] in (2, 4, 8, 16, 32)
        assert 0.01 <= one["keep"] <= 1 and one["epochs"] == 3
        assert isinstance(one["units"], int) and isinstance(one["batch"], int)
    failed = [trial for trial in several.oracle.trials.values() if trial.status == "FAILED"]
    assert failed and several.oracle.get_best_trials(1)[0] not in failed
    other = Machine(tmp_path / "several", maker(kind, 2, **options))
    with pytest.raises(ValueError, match="Expected `lag` .* 3. Received: 2"):
        other.oracle.reload()


class Quadratic(keras_tuner.Tuner):
    """A tuner of a user's, which maximizes."""

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> dict[str, float]:
        hp = trial.hyperparameters
        if hp.get("kind") == "bad":
            raise keras_tuner.errors.FailedTrialError("as planned")
        return {"accuracy": 1 - (hp.get("x") - 0.7) ** 2}


@pytest.mark.parametrize(
    "kind", ["AgingEvolutionOracle", "ReinforceOracle", "CMAESOracle", "NSGA2Oracle", "QMCOracle"]
)
def test_any_tuner_searches_with_it(tmp_path: pathlib.Path, kind: str) -> None:
    def build(hp: keras_tuner.HyperParameters) -> None:
        hp.Float("x", 0.0, 1.0)
        hp.Choice("kind", ["good", "bad"])

    def search(trials: int) -> keras_tuner.Tuner:
        oracle = getattr(tuner, kind)(
            keras_tuner.Objective("accuracy", "max"),
            trials,
            seed=0,
            max_consecutive_failed_trials=99,
        )
        made = Quadratic(oracle, build, directory=tmp_path, project_name="p")
        oracle.verbose = 0
        made.search()
        return made

    search(4)
    made = search(8)
    scores = [trial.score for trial in made.oracle.trials.values() if trial.status == "COMPLETED"]
    assert len(made.oracle.trials) == 8 and 0 < len(scores) < 8
    assert made.oracle.get_best_trials()[0].score == max(scores)


@pytest.mark.parametrize(("direction", "sign"), [("max", 1), ("min", -1)])
def test_the_parent_is_the_best_by_the_objective(direction: str, sign: int) -> None:
    hp = keras_tuner.HyperParameters()
    for name in ("x", "y", "z"):
        hp.Float(name, 0.0, 1.0)
    oracle = tuner.AgingEvolutionOracle(
        keras_tuner.Objective("score", direction), 5, hp,
        population_size=4, tournament_size=4, seed=3,
    )  # fmt: skip
    scores = (0.3, 0.9, 0.1, 0.5)
    for index, score in enumerate(scores):
        made = oracle.hyperparameters.copy()
        made.values = oracle.populate_space(str(index))["values"]
        trial = keras_tuner.engine.trial.Trial(made, str(index), "COMPLETED")
        trial.score = score
        oracle.trials[str(index)] = trial
    child = oracle.populate_space("4")["values"]
    best = oracle.trials[str(max(range(4), key=lambda i: sign * scores[i]))]
    assert sum(child[name] != value for name, value in best.hyperparameters.values.items()) == 1


def test_what_cannot_be_searched_is_one_line() -> None:
    hp = keras_tuner.HyperParameters()
    hp.Choice("kind", ["a", "b"])
    for kind in ("a", "b"):
        with hp.conditional_scope("kind", [kind]):
            hp.Int("size", 1, 9)
    oracle = tuner.AgingEvolutionOracle("val_loss", 5, hp, seed=1)
    with pytest.raises(ValueError, match="each hyperparameter in one conditional scope. .* 'size'"):
        oracle.populate_space("0")
    with pytest.raises(ValueError, match='Expected `preset` to be "GraphNAS" or None'):
        tuner.ReinforceOracle("val_loss", 5, hp, preset="ENAS")
    with pytest.raises(ValueError, match="Expected `lag` >= 1. Received: 0"):
        tuner.TPEOracle("val_loss", 5, hp, lag=0)
    with pytest.raises(InputError, match="expected the package torch to be installed"):
        tuner.GPOracle("val_loss", 5, hp)
    with pytest.raises(AttributeError, match="GoldOracle"):
        tuner.GoldOracle  # noqa: B018


def test_random_trials_are_those_of_the_seed() -> None:
    """Oracles of a seed that begin at random begin with the same trials."""
    first, second, other = (
        getattr(tuner, kind)("val_loss", 9, space(), seed=seed).populate_space("0")["values"]
        for kind, seed in (("AgingEvolutionOracle", 4), ("TPEOracle", 4), ("TPEOracle", 5))
    )
    assert first == second != other
    unseeded = [tuner.AgingEvolutionOracle("val_loss", 9, space()) for _ in range(2)]
    assert unseeded[0].get_state()["search"] != unseeded[1].get_state()["search"]
    assert json.dumps(unseeded[0].get_state())
