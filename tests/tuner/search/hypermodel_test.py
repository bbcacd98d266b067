"""The study's model under KerasTuner's own tuners."""

import gc
import pathlib
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest

from tests.tuner import numpy_protocol
from tests.tuner.tiny import SPACE, TinyTask
from tuner.search.hypermodel import OBJECTIVE, VariantHyperModel
from tuner.training import keras_engine, network
from tuner.training.protocol import Protocol, Trial

pytestmark = pytest.mark.usefixtures("small_blocks")

TASK = TinyTask()
CORPUS = TASK.load("a")


def make(variant: str = "V", max_epochs: int = 2) -> VariantHyperModel:
    return VariantHyperModel(
        TASK, variant, CORPUS, Protocol(max_epochs=max_epochs, patience=5), SPACE
    )


TUNERS = pytest.mark.parametrize(
    ("tuner_class", "options"),
    [
        (keras_tuner.RandomSearch, {"max_trials": 3}),
        (keras_tuner.BayesianOptimization, {"max_trials": 3, "num_initial_points": 2}),
        (keras_tuner.Hyperband, {"max_epochs": 3, "factor": 3, "hyperband_iterations": 1}),
    ],
)


# Training takes seconds a trial; how the other tuners call the model, the tests below tell.
@pytest.mark.parametrize(
    ("tuner_class", "options"),
    [
        (keras_tuner.RandomSearch, {"max_trials": 1}),
        pytest.param(
            keras_tuner.Hyperband,
            {"max_epochs": 2, "factor": 2, "hyperband_iterations": 1},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_stock_tuners_search_it(tmp_path: pathlib.Path, tuner_class: type, options: dict) -> None:
    tuner = tuner_class(
        make("CIFG"),
        objective=OBJECTIVE,
        directory=str(tmp_path),
        seed=3,
        overwrite=True,
        **options,
    )
    tuner.search(verbose=0)
    trials = tuner.oracle.get_best_trials(10)
    assert trials
    assert all(trial.status == "COMPLETED" and np.isfinite(trial.score) for trial in trials)
    values = tuner.get_best_hyperparameters()[0].values
    assert SPACE["units"].low <= values["units"] <= SPACE["units"].high
    # The saved weights are those of the best epoch: they give the score that was reported.
    model = tuner.get_best_models()[0]
    measured = network.Scorer(model, TASK)(CORPUS.validation).mean
    assert measured == pytest.approx(trials[0].score, rel=1e-5)


class Fed(Exception):
    """A trial would be trained now."""

    def __init__(self, trial: Trial) -> None:
        super().__init__(trial)
        self.trial = trial


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    def feed(trial: Trial, *_: object) -> None:
        raise Fed(trial)

    monkeypatch.setattr(keras_engine, "Feed", feed)
    # KerasTuner does it before every trial, and it takes most of the time.
    monkeypatch.setattr(gc, "collect", lambda: 0)


class Untrained(VariantHyperModel):
    """Scores a network by its initial weights and the seed of its noise, and trains nothing."""

    def fit(self, hp: Any, model: Any, *args: Any, **options: Any) -> float:
        with pytest.raises(Fed) as caught:
            super().fit(hp, model)
        score = float(abs(np.sum(model.get_weights()[0]))) + caught.value.trial.seed % 1000
        for callback in options.get("callbacks", ()):
            callback.set_model(model)
            callback.on_epoch_end(options.get("initial_epoch", 0), {"validation": score})
        return score


@TUNERS
@pytest.mark.usefixtures("untrained")
def test_stock_tuners_find_the_same_again(
    tmp_path: pathlib.Path, tuner_class: type, options: dict
) -> None:
    found = []
    for attempt in ("first", "second"):
        # As if it were another process.
        keras.utils.set_random_seed(len(attempt))
        tuner = tuner_class(
            Untrained(TASK, "CIFG", CORPUS, space=SPACE),
            objective=OBJECTIVE,
            directory=str(tmp_path / attempt),
            seed=3,
            **options,
        )
        tuner.search(verbose=0)
        trials = tuner.oracle.get_best_trials(10)
        found.append([(trial.hyperparameters.values, trial.score) for trial in trials])
    assert found[0] == found[1] and len(found[0]) >= 3


@pytest.mark.usefixtures("untrained")
def test_executions_of_a_trial_differ_and_come_again() -> None:
    """As `executions_per_trial` of KerasTuner builds and fits them, one after the other."""

    def executions(seed: int) -> list[float]:
        hypermodel = Untrained(TASK, "V", CORPUS, space=SPACE, seed=seed)
        hyperparameters = keras_tuner.HyperParameters()
        # The tuner's first look at the space counts for nothing.
        hypermodel.build(hyperparameters)
        return [
            hypermodel.fit(hyperparameters, hypermodel.build(hyperparameters)) for _ in range(2)
        ]

    first, again, other = executions(1), executions(1), executions(2)
    assert first == again and len({*first, *other}) == 4


def test_diverging_trials_are_no_failures(tmp_path: pathlib.Path) -> None:
    # KerasTuner gives up after three trials in a row without a number; this one has one.
    space = SPACE.with_ranges(
        {"units": (3, 4), "learning_rate": (1e37, 1e38), "momentum": (0.0, 0.1)}
    )
    hypermodel = VariantHyperModel(TASK, "NOAF", CORPUS, Protocol(max_epochs=2), space)
    tuner = keras_tuner.RandomSearch(
        hypermodel, objective=OBJECTIVE, max_trials=1, directory=str(tmp_path), overwrite=True
    )
    tuner.search(verbose=0)
    scores = [trial.score for trial in tuner.oracle.get_best_trials()]
    assert len(scores) == 1 and np.all(np.isfinite(scores))


def test_an_epoch_is_that_of_the_engine(tmp_path: pathlib.Path) -> None:
    """Same initial weights, order, noise, loss and optimizer, as the protocol has them."""
    del tmp_path
    hypermodel = make(max_epochs=1)
    hyperparameters = keras_tuner.HyperParameters()
    hyperparameters.values = {
        "units": 4,
        "learning_rate": 0.01,
        "one_minus_momentum": 0.5,
        "noise_std": 0.2,
    }
    model = hypermodel.build(hyperparameters)
    values = {"units": 4, "learning_rate": 0.01, "momentum": 0.5, "noise_std": 0.2}
    trial = hypermodel.trial(hyperparameters)
    assert trial == Trial(0, "V", values, trial.seed)
    history = hypermodel.fit(hyperparameters, model, verbose=0)
    ((_, validation, _),), _ = numpy_protocol.train(TASK, CORPUS, trial, Protocol(max_epochs=1))
    assert history.history["validation"] == pytest.approx([validation], rel=1e-6)


def test_fitting_needs_data() -> None:
    hypermodel = VariantHyperModel(TASK, "V")
    hyperparameters = keras_tuner.HyperParameters()
    model = hypermodel.build(hyperparameters)
    with pytest.raises(ValueError, match="corpus"):
        hypermodel.fit(hyperparameters, model)
