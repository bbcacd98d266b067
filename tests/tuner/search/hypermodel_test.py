"""The study's model under KerasTuner's own tuners."""

import pathlib

import keras_tuner
import numpy as np
import pytest

from tests.tuner.tiny import SPACE, TinyTask
from tuner.search.hypermodel import OBJECTIVE, VariantHyperModel
from tuner.training import keras_engine, network, random_streams
from tuner.training.protocol import Problem, Protocol, Trial

TASK = TinyTask()
CORPUS = TASK.load("a")


def make(variant: str = "V", max_epochs: int = 2) -> VariantHyperModel:
    return VariantHyperModel(
        TASK, variant, CORPUS, Protocol(max_epochs=max_epochs, patience=5), SPACE
    )


@pytest.mark.parametrize(
    ("tuner_class", "options"),
    [
        (keras_tuner.RandomSearch, {"max_trials": 3}),
        (keras_tuner.BayesianOptimization, {"max_trials": 4, "num_initial_points": 2}),
        (keras_tuner.Hyperband, {"max_epochs": 3, "factor": 3, "hyperband_iterations": 1}),
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
    assert len(trials) >= 3
    assert all(trial.status == "COMPLETED" and np.isfinite(trial.score) for trial in trials)
    values = tuner.get_best_hyperparameters()[0].values
    assert SPACE["units"].low <= values["units"] <= SPACE["units"].high
    # The saved weights are those of the best epoch: they give the score that was reported.
    model = tuner.get_best_models()[0]
    measured = network.Scorer(model, TASK)(CORPUS.validation).mean
    assert measured == pytest.approx(trials[0].score, rel=1e-5)


def test_diverging_trials_are_no_failures(tmp_path: pathlib.Path) -> None:
    # KerasTuner gives up after three trials in a row without a number.
    space = SPACE.with_ranges(
        {"units": (3, 4), "learning_rate": (1e37, 1e38), "momentum": (0.0, 0.1)}
    )
    hypermodel = VariantHyperModel(TASK, "NOAF", CORPUS, Protocol(max_epochs=2), space)
    tuner = keras_tuner.RandomSearch(
        hypermodel, objective=OBJECTIVE, max_trials=4, directory=str(tmp_path), overwrite=True
    )
    tuner.search(verbose=0)
    scores = [trial.score for trial in tuner.oracle.get_best_trials(4)]
    assert len(scores) == 4 and np.all(np.isfinite(scores))


def test_an_epoch_is_that_of_the_engine(tmp_path: pathlib.Path) -> None:
    """Same order, noise, loss and optimizer: equal weights stay equal."""
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
    trial = Trial(
        0, "V", {"units": 4, "learning_rate": 0.01, "momentum": 0.5, "noise_std": 0.2}, seed=1
    )
    shapes = [tuple(weight.shape) for weight in model.weights]
    model.set_weights(random_streams.initial_weights(trial.seed, shapes, 0.1))
    history = hypermodel.fit(hyperparameters, model, verbose=0)
    problem = Problem(TASK, CORPUS, Protocol(max_epochs=1))
    (outcome,) = keras_engine.Trainer(problem).train([trial])
    assert history.history["validation"] == [outcome.result.curve[1].validation]


def test_fitting_needs_data() -> None:
    hypermodel = VariantHyperModel(TASK, "V")
    hyperparameters = keras_tuner.HyperParameters()
    model = hypermodel.build(hyperparameters)
    with pytest.raises(ValueError, match="corpus"):
        hypermodel.fit(hyperparameters, model)
