"""Importing the zoo, models of its cells in files, and training on two replicas."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest

from tests.zoo import harness, reference
from tests.zoo.conformance.saving_test import make_model

PROGRAM = pathlib.Path(__file__).with_name("fresh_process.py")


@pytest.mark.parametrize(
    ("codes", "mirror"),
    # Gradients on two replicas are compared in distribute_test by default.
    [(("FGR",), []), pytest.param(reference.CODES, ["mirrored"], marks=pytest.mark.slow)],
    ids=["one", "all"],
)
@pytest.mark.usefixtures("small_blocks")
def test_in_a_fresh_process(
    codes: tuple[str, ...], mirror: list[str], tmp_path: pathlib.Path
) -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(2, harness.TIME, harness.FEATURES)).astype("float32")
    expected = {}
    for code in codes:
        model = make_model(code, seed=1)
        expected[code] = harness.numpy_of(model(inputs))
        model.save(tmp_path / f"{code}.keras")
        model.export(tmp_path / code, verbose=False)
    np.savez(tmp_path / "expected.npz", inputs=inputs, **expected)
    printed = harness.run_python(str(PROGRAM), str(tmp_path), *mirror).splitlines()
    last = printed.pop() if mirror else ""
    assert printed == [*(f"SavedModel {code}" for code in codes), *(f"keras {c}" for c in codes)]
    if not mirror:
        return

    found = json.loads(last)
    assert found["replicas"] == 2
    assert list(found["difference"]) == list(codes)
    for code in codes:
        # Float32, two updates of size 0.05: halves of a batch are summed in another order.
        assert found["difference"][code] < 1e-6, code
        assert found["change"][code] > 1e-3, code
