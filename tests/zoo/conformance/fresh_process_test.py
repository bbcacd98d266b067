"""Importing the zoo, models of its cells in files, and training on two replicas."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest

from tests import commands
from tests.zoo import harness, reference
from tests.zoo.conformance import fresh_process
from tests.zoo.conformance.saving_test import make_model

PROGRAM = fresh_process.__name__


def save(codes: tuple[str, ...], folder: pathlib.Path) -> list[str]:
    """Saves and exports a model of each variant; returns what is printed when all have passed."""
    random = np.random.default_rng(0)
    inputs = random.normal(size=(2, harness.TIME, harness.FEATURES)).astype("float32")
    expected = {}
    for code in codes:
        model = make_model(code, seed=1)
        expected[code] = harness.numpy_of(model(inputs))
        model.save(folder / f"{code}.keras")
        model.export(folder / code, verbose=False)
    np.savez(folder / "expected.npz", inputs=inputs, **expected)
    return [*(f"SavedModel {code}" for code in codes), *(f"keras {code}" for code in codes)]


def test_importing_the_zoo_imports_no_framework() -> None:
    harness.run_python("-c", f"from {PROGRAM} import check_import; check_import()")


@pytest.mark.usefixtures("small_blocks")
def test_models_are_loaded_where_they_were_not_made(tmp_path: pathlib.Path) -> None:
    printed = save(("FGR",), tmp_path)
    done = commands.Forked(fresh_process.reload, tmp_path).wait()
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == printed


@pytest.mark.slow
@pytest.mark.usefixtures("small_blocks")
def test_in_a_fresh_process_and_on_two_devices(tmp_path: pathlib.Path) -> None:
    printed = save(reference.CODES, tmp_path)
    *lines, last = harness.run_python("-m", PROGRAM, str(tmp_path)).splitlines()
    assert lines == printed
    found = json.loads(last)
    assert found["replicas"] == 2
    assert list(found["difference"]) == list(reference.CODES)
    for code in reference.CODES:
        # Float32, two updates of size 0.05: halves of a batch are summed in another order.
        assert found["difference"][code] < 1e-6, code
        assert found["change"][code] > 1e-3, code
