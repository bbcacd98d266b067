"""The value tests once more, on the JAX backend, in a process of their own."""

from __future__ import annotations

import importlib.util
import re

import keras
import pytest

from tests.zoo import harness

FILES = [
    "equations_test.py",
    "identities_test.py",
    "oracles_test.py",
    "conformance/dtype_test.py",
]


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="runs on JAX already")
@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="JAX is not installed")
def test_values_on_jax() -> None:
    printed = harness.run_python(
        *("-m", "pytest", "-q", "--import-mode=importlib"),
        *("-p", "no:cacheprovider", "-o", "addopts="),
        *(f"tests/zoo/{name}" for name in FILES),
        KERAS_BACKEND="jax",
        JAX_PLATFORMS="cpu",
    )
    # That all nine variants ran, and were not skipped or deselected.
    passed = re.search(r"(\d+) passed", printed)
    assert passed and int(passed[1]) > 9 * 8, printed
    assert "skipped" not in printed or "1 skipped" in printed, printed
