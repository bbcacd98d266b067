"""Which engine trains a trial, and how long it may take."""

import dataclasses
import importlib.util
from collections.abc import Callable, Iterator

import keras
import pytest

import zoo
from common.errors import InputError
from tests.tuner import tiny
from tests.tuner.tiny import PROTOCOL, TRIAL, changed, problem
from tuner.tasks.task import find_task
from tuner.training import keras_engine
from tuner.training.engines import ENGINES, choose, count_params
from tuner.training.native import engine as native
from tuner.training.optimizers import OPTIMIZERS, Optimizer
from tuner.training.protocol import Protocol, Trial
from zoo import registry

ADAM = problem(Protocol(optimizer="adam"))


@pytest.fixture
def cell() -> Iterator[Callable[[str], Trial]]:
    """Makes a trial of a user's cell, which is forgotten after the test."""
    codes = []

    def make(path: str) -> Trial:
        codes.append(registry.find_variant(path))
        return dataclasses.replace(TRIAL, variant=codes[-1])

    yield make
    for code in codes:
        registry.unregister(code)


def test_what_native_cannot_train_is_trained_by_others(
    monkeypatch: pytest.MonkeyPatch, cell: Callable[[str], Trial]
) -> None:
    gru = cell("keras.layers:GRUCell")
    assert choose("auto", problem(), TRIAL) is ENGINES["native"]
    assert choose("auto", ADAM, TRIAL) is choose("auto", problem(), gru) is ENGINES["jax"]
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: None)
        for trial in (TRIAL, gru):
            assert choose("auto", problem(), trial) is ENGINES["keras"]
    for name in ("native", "jax", "keras"):
        assert choose(name, problem(), TRIAL).name == name


class Dropping(keras.layers.GRUCell):
    """A cell that draws random numbers."""

    def __init__(self, units: int) -> None:
        super().__init__(units, dropout=0.5)


class Normed(keras.layers.SimpleRNNCell):
    """A cell that remembers something besides its states."""

    def build(self, shape: tuple[int, ...]) -> None:
        super().build(shape)
        self.mean = self.add_weight(shape=(), trainable=False, name="mean")


@pytest.mark.parametrize(
    ("path", "obstacle"),
    [
        (f"{__name__}:Dropping", "Dropping keeps more than weights and states"),
        (f"{__name__}:Normed", "Normed keeps more than weights and states"),
        ("tests.tuner.training.tensorflow_cell:Bound", "the module of Bound uses tensorflow"),
    ],
)
def test_what_jax_cannot_train(
    path: str, obstacle: str, cell: Callable[[str], Trial]
) -> None:
    trial = cell(path)
    with pytest.raises(InputError, match=f"--engine=jax: {obstacle}; use --engine=auto"):
        choose("jax", problem(), trial)
    assert choose("auto", problem(), trial) is ENGINES["keras"]


@pytest.mark.parametrize(
    ("asked", "trial", "obstacle"),
    [
        (ADAM, TRIAL, "no optimizer adam"),
        (problem(), dataclasses.replace(TRIAL, variant="OWN"), "OWN is not a variant of the LSTM"),
    ],
)
def test_a_named_engine_that_cannot_train_a_trial_is_one_line(
    asked: object, trial: object, obstacle: str
) -> None:
    with pytest.raises(InputError, match=f"--engine=native: .*{obstacle}") as caught:
        choose("native", asked, trial)
    assert "\n" not in str(caught.value)


def test_an_optimizer_of_keras_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Optimizer("adagrad", "Adagrad", lambda trial: keras.optimizers.Adagrad())
    monkeypatch.setitem(OPTIMIZERS, "adagrad", row)
    given = problem(Protocol(optimizer="adagrad"))
    with pytest.raises(InputError, match="--engine=jax: it has no optimizer adagrad"):
        choose("jax", given, TRIAL)
    assert choose("auto", given, TRIAL) is ENGINES["keras"]


def test_trainers_are_imported_by_name() -> None:
    assert isinstance(ENGINES["keras"].trainer(problem()), keras_engine.Trainer)
    assert isinstance(ENGINES["native"].trainer(problem()), native.Trainer)


@pytest.mark.parametrize("code", ["V", "CIFG", "FGR"])
@pytest.mark.parametrize("units", [20, 100])
def test_parameters_are_those_of_the_network(code: str, units: int) -> None:
    model = zoo.networks.network(
        zoo.make_cell(code, units=units), 88, 88, bidirectional=False
    )
    music = dataclasses.replace(problem(), task=find_task("music"))
    assert count_params(music, tiny.of_size(code, units)) == model.count_params()


class Framed(zoo.DepthAdaptiveCell):
    """Passes most of its arguments on."""

    def __init__(self, units: int, form: str = "shared", **arguments: object) -> None:
        super().__init__(units, form=form, **arguments)


def test_hyperparameters_that_a_cell_has_an_argument_for(cell: Callable[[str], Trial]) -> None:
    values = {"max_depth": 2, "temperature": 0.5, "learning_rate": 1.0, "forget_bias": 1.0, "no": 3}
    for path in ("DA-V", f"{__name__}:Framed"):
        assert changed(cell(path), **values).options == (("max_depth", 2), ("temperature", 0.5))
    gru = changed(cell("keras.layers:GRUCell"), **values)
    assert gru.options == changed(TRIAL, **values).options == ()
    deep, group = changed(cell("DT-V"), units=5, max_depth=3), ENGINES["jax"].group
    flat = changed(deep, max_depth=1)
    one, more = (count_params(problem(), trial) for trial in (flat, deep))
    assert one == count_params(problem(), changed(units=5)) == more - 2 * (4 * 5 * 5 + 7 * 5)
    assert group(flat) != group(deep) == group(changed(deep, ponder_price=0.3))


def test_larger_and_longer_trials_take_longer() -> None:
    music = dataclasses.replace(problem(Protocol()), task=find_task("music"))
    shorter = dataclasses.replace(music, protocol=PROTOCOL)
    small, large = changed(units=20), changed(units=200)
    for engine in ENGINES.values():
        assert engine.seconds(music, large) > engine.seconds(music, small)
        assert engine.seconds(music, small) > engine.seconds(shorter, small)
    seconds = [each.seconds(music, small) for each in ENGINES.values()]
    # The fastest first.
    assert seconds == sorted(seconds) and seconds[-1] > 10 * seconds[0]


def test_optimizers_get_rate_and_momentum() -> None:
    """Of a trial with learning rate 0.05 and momentum 0.6."""
    made = {name: row.make(TRIAL) for name, row in OPTIMIZERS.items()}
    rates = {name: float(optimizer.learning_rate) for name, optimizer in made.items()}
    assert rates == pytest.approx({"nesterov": 0.02, "sgd": 0.02, "adam": 0.05, "rmsprop": 0.02})
    assert made["nesterov"].nesterov and not made["sgd"].nesterov
    assert made["nesterov"].momentum == made["sgd"].momentum == made["rmsprop"].momentum == 0.6
    assert made["adam"].beta_1 == 0.6
    assert [name for name, row in OPTIMIZERS.items() if row.native] == ["nesterov"]
