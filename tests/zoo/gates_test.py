"""The cells of all switches: none twice, none missing, classes of their own."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest

import zoo
from tests.zoo import harness
from zoo import gates, registry
from zoo.variants import VARIANTS


def what_it_computes(variant: zoo.Variant) -> tuple:
    """The switches that have an effect."""
    named = dataclasses.asdict(variant)
    return (
        *(named[name] for name in ("input_gate", "forget_gate", "output_gate", "coupled")),
        *(named[name] for name in ("input_activation", "output_activation")),
        variant.peephole_gates,
        variant.recurrent_gates,
    )


def test_every_function_of_the_switches_is_there_once() -> None:
    computed = [what_it_computes(cell) for cell in gates.CELLS.values()]
    assert len(computed) == len(set(computed)) == 148
    assert set(computed) == {what_it_computes(one) for one in harness.legal_variants()}
    assert [gates.code_of(cell) for cell in gates.CELLS.values()] == list(gates.CELLS)
    partial = [cell for cell in gates.CELLS.values() if cell.gate_recurrence]
    assert len(gates.PLAIN) == 84 == 148 - len(partial) + 8


def test_the_papers_nine_and_what_is_next_to_them() -> None:
    assert {code: gates.code_of(variant) for code, variant in VARIANTS.items()} == {
        "V": "ifo_gh_p", "NIG": "fo_gh_p", "NFG": "io_gh_p", "NOG": "if_gh_p", "NIAF": "ifo_h_p",
        "NOAF": "ifo_g_p", "CIFG": "ico_gh_p", "NP": "ifo_gh_x", "FGR": "ifo_gh_pr",
    }  # fmt: skip
    for code, variant in VARIANTS.items():
        cell = gates.CELLS[gates.code_of(variant)]
        assert dataclasses.replace(cell, code=code, name=variant.name) == variant


def test_a_cell_is_found_built_saved_and_read(tmp_path) -> None:
    code = zoo.find_variant("zoo.gates:ic_h_p")
    assert code == "ic_h_p" and registry.cell_path(code) == "zoo.gates:ic_h_p"
    assert zoo.get_variant(code) == gates.CELLS[code]
    model = keras.Sequential([keras.Input((5, 3)), keras.layers.RNN(gates.ic_h_p(4))])
    assert model.count_params() == gates.CELLS[code].count_params(3, 4) == 2 * 4 * 8 + 4
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.layers[0].cell.variant == gates.CELLS[code]
    inputs = np.random.default_rng(1).normal(size=(2, 5, 3)).astype("float32")
    np.testing.assert_array_equal(again(inputs), model(inputs))
    registry.unregister(code)
    assert registry.switches(zoo.find_variant("zoo.gates:ic_h_p")) == gates.CELLS[code]
    registry.unregister(code)
    with pytest.raises(AttributeError, match=r"zoo.gates has no ic_h_pp"):
        _ = gates.ic_h_pp


def test_lists_of_cells_are_found_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "FEW", ["io_g_x", "x_gh_x"], raising=False)
    found = registry.find_variants(["zoo.gates:FEW", " np ", "zoo.gates:x_gh_x", "V"])
    assert found == ["V", "NP", "io_g_x", "x_gh_x"]
    for code in found[2:]:
        registry.unregister(code)
    monkeypatch.setattr(gates, "FEW", ["io_g_x", "absent"])
    with pytest.raises(ValueError, match=r"'zoo.gates:absent': module zoo.gates has no absent"):
        registry.find_variants(["zoo.gates:FEW"])
    registry.unregister("io_g_x")
    with pytest.raises(ValueError, match=r"NoForgetGateCel.*zoo.cells has no NoForgetGateCel"):
        registry.find_variants(["zoo.cells:NoForgetGateCel"])
