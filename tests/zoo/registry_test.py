"""Variants by name, and the number of their weights."""

from __future__ import annotations

import keras
import pytest

import zoo
from tests.zoo import harness, reference

SAME, LESS = ("V", "NIAF", "NOAF"), ("NIG", "NFG", "NOG", "CIFG")

NETWORKS = {
    # Inputs, outputs, directions, and the weights of the whole network for units of 20, 100, 200.
    "speech": (39, 61, 2, {
        SAME: (12_221, 124_861, 409_661),
        LESS: (9_781, 96_661, 313_261),
        ("NP",): (12_101, 124_261, 408_461),
        ("FGR",): (19_421, 304_861, 1_129_661),
    }),
    "handwriting": (4, 82, 2, {
        SAME: (7_482, 101_082, 362_082),
        LESS: (6_442, 79_882, 279_682),
        ("NP",): (7_362, 100_482, 360_882),
        ("FGR",): (14_682, 281_082, 1_082_082),
    }),
    "music": (88, 88, 1, {
        SAME: (10_628, 84_788, 249_488),
        LESS: (8_428, 65_788, 191_488),
        ("NP",): (10_568, 84_488, 248_888),
        ("FGR",): (14_228, 174_788, 609_488),
    }),
}  # fmt: skip

COUNTS = [
    (code, task, units, counts[index])
    for task, (_, _, _, table) in NETWORKS.items()
    for codes, counts in table.items()
    for code in codes
    for index, units in enumerate((20, 100, 200))
]


def test_the_nine_variants_in_the_order_of_the_paper() -> None:
    assert zoo.list_variants() == list(reference.CODES)
    zoo.list_variants().clear()
    assert zoo.list_variants() == list(reference.CODES), "the list belongs to the caller"


@pytest.mark.parametrize("code", reference.CODES)
def test_make_cell(code: str) -> None:
    cell = zoo.make_cell(code, units=64, dropout=0.5)
    assert type(cell) is harness.CELLS[code]
    assert cell.units == 64 and cell.dropout == 0.5
    assert zoo.make_cell(code).units == 100
    assert zoo.make_cell(code, activation="relu").activation is keras.activations.relu


@pytest.mark.parametrize("code", reference.CODES)
def test_code_in_lower_case_and_name(code: str) -> None:
    variant = zoo.get_variant(code)
    assert variant.code == code
    assert zoo.get_variant(code.lower()) is variant
    assert zoo.get_variant(variant.name) is variant
    assert type(zoo.make_cell(variant.name)) is harness.CELLS[code]
    assert harness.CELLS[code].variant is variant


def test_names_follow_the_class_names() -> None:
    for code, class_ in harness.CELLS.items():
        words = zoo.get_variant(code).name.title().replace("_", "")
        assert f"{words}Cell" == class_.__name__


@pytest.mark.parametrize(
    ("unknown", "nearest"),
    [
        ("CIGF", "CIFG"),
        ("NFGG", "NFG"),
        ("VV", "V"),
        ("noaff", "NOAF"),
        ("no_forgot_gate", "NFG"),
        ("coupled_input_forget", "CIFG"),
        ("full_gate_recurrent", "FGR"),
    ],
)
def test_unknown_variant_names_the_nearest(unknown: str, nearest: str) -> None:
    for function in (zoo.get_variant, zoo.make_cell):
        with pytest.raises(ValueError) as caught:
            function(unknown)
        message = str(caught.value)
        assert f"Did you mean '{nearest}'?" in message
        assert f"got '{unknown}'" in message
        assert ", ".join(reference.CODES) in message


@pytest.mark.parametrize("unknown", ["", None, 3, "???"])
def test_anything_else_is_an_unknown_variant(unknown: object) -> None:
    with pytest.raises(ValueError, match="expected one of V, NIG, .*Did you mean"):
        zoo.get_variant(unknown)


@pytest.mark.parametrize(("code", "task", "units", "count"), COUNTS)
def test_parameter_formula_equals_the_table(code: str, task: str, units: int, count: int) -> None:
    inputs, outputs, directions, _ = NETWORKS[task]
    recurrent = directions * zoo.get_variant(code).parameters(inputs, units)
    assert recurrent + (directions * units + 1) * outputs == count


@pytest.mark.parametrize(
    ("code", "task", "count"), [(code, task, n) for code, task, units, n in COUNTS if units == 20]
)
def test_weights_of_a_network_equal_the_table(code: str, task: str, count: int) -> None:
    inputs, outputs, directions, _ = NETWORKS[task]
    layer = keras.layers.RNN(zoo.make_cell(code, units=20), return_sequences=True)
    if directions == 2:
        layer = keras.layers.Bidirectional(layer)
    sequence = keras.Input((None, inputs))
    model = keras.Model(sequence, keras.layers.Dense(outputs)(layer(sequence)))
    trained = sum(
        int(variable.value.shape.num_elements()) for variable in model.trainable_variables
    )
    assert trained == count


@pytest.mark.parametrize("code", reference.CODES)
def test_next_step_network(code: str) -> None:
    problem = harness.make_problem(code)
    model = zoo.networks.next_step(harness.make_cell(problem, "float32"), harness.FEATURES, 2)
    kernel, bias = model.get_layer(zoo.networks.LOGITS).get_weights()
    states = [0 * state for state in problem.states]
    hidden, _ = reference.forward(code, problem.weights, problem.inputs, states)
    # Float32 against float64; logits of the order of 1.
    harness.assert_close(model(problem.inputs), hidden @ kernel + bias, 1e-6)
    names = [variable.path.split("/")[-1] for variable in model.trainable_variables]
    assert names == [*problem.weights, "kernel", "bias"]
    assert zoo.networks.RECURRENT in [layer.name for layer in model.layers]
