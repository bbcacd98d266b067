"""Cells by name, cells of users, and the number of their weights."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterator

import keras
import numpy as np
import pytest

import zoo
from tests.zoo import harness, reference
from zoo import registry

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


def test_the_nine_variants_in_the_order_of_the_paper() -> None:
    assert zoo.list_variants() == list(reference.CODES)
    zoo.list_variants().clear()
    assert zoo.list_variants() == list(reference.CODES), "the list belongs to the caller"


def test_code_in_any_case_and_name() -> None:
    for code, class_ in harness.CELLS.items():
        variant = zoo.get_variant(code)
        assert variant.code == code and class_.variant is variant
        for spec in (code, code.lower(), variant.name, f"zoo.cells:{class_.__name__}"):
            assert zoo.find_variant(spec) == code and zoo.get_variant(spec) is variant
        assert type(zoo.make_cell(variant.name)) is registry.cell_class(code) is class_
        assert registry.cell_path(code) == f"zoo.cells:{class_.__name__}"
    assert registry.variant_name("NFG") == "no forget gate" and registry.switches("nfg") is None


def test_make_cell_takes_the_arguments_of_the_cell() -> None:
    cell = zoo.make_cell("CIFG", units=64, dropout=0.5, activation="relu")
    assert cell.units == 64 and cell.dropout == 0.5
    assert cell.activation is keras.activations.relu
    assert zoo.make_cell("CIFG").units == 100


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


@pytest.fixture
def cells() -> Iterator[None]:
    """Forgets the users' cells, and before the test their module too."""
    sys.modules.pop("tests.zoo.cells", None)
    yield
    for code in set(zoo.list_variants()) - set(reference.CODES):
        registry.unregister(code)
    assert zoo.list_variants() == list(reference.CODES)


GRU = "tests.zoo.cells:GRUCell"


@pytest.mark.usefixtures("cells")
def test_a_cell_of_a_user_by_its_path() -> None:
    assert zoo.find_variant(GRU) == "GRUCell"
    # The module registers one of its own, when it is imported.
    assert zoo.list_variants() == [*reference.CODES, "MINE", "GRUCell"]
    for spec in ("GRUCell", "grucell", GRU):
        assert zoo.find_variant(spec) == "GRUCell"
    assert registry.cell_path("GRUCell") == GRU
    assert registry.switches("GRUCell") is None
    assert registry.variant_name("GRUCell") == "GRUCell"
    cell = zoo.make_cell("GRUCell", units=5)
    assert isinstance(cell, keras.layers.GRUCell)
    cell.build((None, 3))
    assert registry.count_params("GRUCell", 3, 5) == 3 * 5 * (3 + 5 + 2)
    assert registry.count_params("GRUCell", 3, 5) == sum(np.size(w) for w in cell.get_weights())
    with pytest.raises(ValueError, match=r"without switches.*got 'GRUCell'"):
        zoo.get_variant("GRUCell")


@pytest.mark.usefixtures("cells")
def test_a_cell_that_its_module_registers() -> None:
    path = "tests.zoo.cells:OwnCell"
    assert zoo.find_variant(path) == zoo.find_variant("my_own_cell") == "MINE"
    assert registry.cell_path("MINE") == path
    assert registry.variant_name("MINE") == "my own cell"
    class_ = registry.cell_class("mine")
    assert keras.saving.get_registered_name(class_) == "tests>OwnCell"
    assert keras.saving.get_registered_object("tests>OwnCell") is class_


@pytest.mark.usefixtures("cells")
def test_a_variant_of_a_user_has_the_attribute_and_the_formula() -> None:
    variant = zoo.Variant("NOGP", "no_output_gate_no_peepholes", output_gate=False, peepholes=False)

    @zoo.register("NOGP", variant=variant)
    class Cell(zoo.VariantCell):
        """One more."""

    assert zoo.get_variant("no_output_gate_no_peepholes") is registry.switches("NOGP") is variant
    assert registry.cell_class("NOGP") is Cell and Cell.variant is variant
    cell = zoo.make_cell("NOGP", units=5)
    cell.build((None, 3))
    assert registry.count_params("NOGP", 3, 5) == cell.count_params() == 3 * 5 * (3 + 5 + 1)
    # The same class again, as in a notebook, replaces what was known of it.
    assert zoo.register("NOGP2")(Cell) is Cell
    assert zoo.list_variants() == [*reference.CODES, "NOGP2"]


@pytest.mark.parametrize(
    ("code", "name", "message"),
    [
        ("v", "", "expected one that is free, got 'v'.*zoo.cells:VanillaCell is registered as 'V'"),
        ("VAN", "Vanilla", "got 'VAN'.*registered as 'V'"),
        ("no_forget_gate", "", "registered as 'NFG'"),
        ("a/b", "", "expected letters, digits, - and _, and not all, got 'a/b'"),
        ("All", "", "and not all, got 'All'"),
        ("", "", "expected letters"),
        ("-x", "", "expected letters"),
    ],
)
def test_a_code_that_is_taken_or_none(code: str, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        zoo.register(code, name=name)(type("Cell", (keras.layers.GRUCell,), {}))
    assert "\n" not in str(caught.value)
    assert zoo.list_variants() == list(reference.CODES)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no_such_package.cells:Cell", "there is no module no_such_package."),
        ("tests.zoo.no_cells:Cell", "there is no module tests.zoo.no_cells."),
        ("tests.zoo.cells:Cell", "module tests.zoo.cells has no Cell."),
        ("tests.zoo.cells:", "it is not of the form package.module:Name."),
        (":Cell", "it is not of the form package.module:Name."),
        ("tests.zoo.cells:NUMBER", "NUMBER is not a class."),
        ("tests.zoo.cells:NoCell", "it has no units, state_size, call."),
        ("tests.zoo.cells:NeedsMore", "NeedsMore(1) raises TypeError"),
        ("tests.zoo.cells:LSTM", "it is a layer, not a cell."),
    ],
)
@pytest.mark.usefixtures("cells")
def test_a_path_that_leads_to_no_cell(path: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"got {path!r}")) as caught:
        zoo.find_variant(path)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("unknown", ["", None, 3, "???"])
def test_anything_else_is_an_unknown_variant(unknown: object) -> None:
    with pytest.raises(ValueError, match="expected one of V, NIG, .*Did you mean"):
        zoo.get_variant(unknown)


def test_the_formula_equals_the_table() -> None:
    for inputs, outputs, directions, table in NETWORKS.values():
        for codes, counts in table.items():
            for code, (units, count) in itertools.product(
                codes, zip((20, 100, 200), counts, strict=True)
            ):
                recurrent = directions * registry.count_params(code, inputs, units)
                assert recurrent + (directions * units + 1) * outputs == count, (code, units)


@harness.each_variant
def test_the_cell_has_as_many_weights_as_the_formula_says(code: str) -> None:
    cell = zoo.make_cell(code, units=7)
    cell.build((None, 5))
    assert cell.count_params() == registry.count_params(code, 5, 7)


@pytest.mark.parametrize("task", NETWORKS)
def test_weights_of_a_network_equal_the_table(task: str) -> None:
    inputs, outputs, directions, table = NETWORKS[task]
    for code in ("V", "FGR"):
        model = zoo.networks.network(
            zoo.make_cell(code, units=20), inputs, outputs, bidirectional=directions == 2
        )
        assert model.count_params() == next(table[codes][0] for codes in table if code in codes)


@harness.some_variants
def test_network(code: str) -> None:
    problem = harness.make_problem(code)
    model = zoo.networks.network(harness.make_cell(problem, "float32"), harness.FEATURES, 2)
    kernel, bias = model.get_layer(zoo.networks.LOGITS).get_weights()
    states = [0 * state for state in problem.states]
    hidden, _ = reference.forward(code, problem.weights, problem.inputs, states)
    # Float32 against float64; logits of the order of 1.
    harness.assert_close(model(problem.inputs), hidden @ kernel + bias, 1e-6)
    names = [variable.path.split("/")[-1] for variable in model.trainable_variables]
    assert names == [*problem.weights, "kernel", "bias"]
    assert zoo.networks.RECURRENT in [layer.name for layer in model.layers]
