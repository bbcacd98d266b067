"""Every argument of every cell comes back from its configuration, also through JSON."""

from __future__ import annotations

import inspect
import json
from typing import Any

import keras

import zoo
from tests.zoo import harness

ARGUMENTS: dict[str, Any] = {
    "units": 7,
    "activation": "softsign",
    "recurrent_activation": "hard_sigmoid",
    "use_bias": False,
    "kernel_initializer": keras.initializers.RandomNormal(0.1, 0.2, seed=1),
    "recurrent_initializer": keras.initializers.RandomNormal(0.2, 0.2, seed=2),
    "bias_initializer": keras.initializers.Constant(0.3),
    "peephole_initializer": keras.initializers.RandomUniform(-0.4, 0.4, seed=3),
    "unit_forget_bias": False,
    "kernel_regularizer": keras.regularizers.L2(0.1),
    "recurrent_regularizer": keras.regularizers.L2(0.2),
    "bias_regularizer": keras.regularizers.L1(0.3),
    "peephole_regularizer": keras.regularizers.L1(0.4),
    "kernel_constraint": keras.constraints.MaxNorm(1),
    "recurrent_constraint": keras.constraints.MaxNorm(2),
    "bias_constraint": keras.constraints.NonNeg(),
    "peephole_constraint": keras.constraints.MaxNorm(4),
    "dropout": 0.1,
    "recurrent_dropout": 0.2,
    "seed": 11,
    "name": "a_name",
    "dtype": "mixed_bfloat16",
    "trainable": False,
}
"""A value other than the default for every argument."""


def settings(cell: zoo.VariantCell) -> dict[str, Any]:
    """What the cell holds, in a form that can be compared."""

    def plain(value: Any) -> Any:
        if hasattr(value, "get_config"):
            return type(value).__name__, value.get_config()
        return getattr(value, "__name__", value)

    names = [name for name in ARGUMENTS if name != "dtype"]
    return {name: plain(getattr(cell, name)) for name in names} | {"dtype": cell.dtype_policy.name}


@harness.some_variants
def test_every_argument_survives_json(code: str) -> None:
    class_ = harness.CELLS[code]
    signature = set(inspect.signature(class_.__init__).parameters) - {"self", "kwargs"}
    assert signature <= set(ARGUMENTS), "a new argument: give it a value above"
    cell, default = class_(**ARGUMENTS), class_()
    for name in ARGUMENTS:
        assert settings(cell)[name] != settings(default)[name], f"{name} is the default"

    config = json.loads(json.dumps(cell.get_config()))
    assert set(ARGUMENTS) <= set(config)
    assert config["units"] == 7 and config["seed"] == 11 and config["dropout"] == 0.1
    copy = class_.from_config(config)
    assert settings(copy) == settings(cell)
    assert copy.get_config() == cell.get_config()


@harness.some_variants
def test_layer_with_the_cell_survives_json(code: str) -> None:
    layer = keras.layers.RNN(harness.CELLS[code](**ARGUMENTS), return_sequences=True)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    # The name in the file says whose class it is, whatever module it lives in later.
    registered = config["config"]["cell"]["registered_name"]
    assert registered == f"lstm_odyssey>{harness.CELLS[code].__name__}"
    copy = keras.saving.deserialize_keras_object(config)
    assert type(copy.cell) is harness.CELLS[code]
    assert settings(copy.cell) == settings(layer.cell)


def test_defaults_are_those_of_the_stock_cell() -> None:
    ours = inspect.signature(zoo.VanillaCell.__init__).parameters
    stock = inspect.signature(keras.layers.LSTMCell.__init__).parameters
    for name, parameter in stock.items():
        if name not in ("units", "kwargs"):
            assert ours[name].default == parameter.default, name
    assert zoo.VanillaCell().units == 100
