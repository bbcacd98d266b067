"""The value tests once more, on the JAX backend, in a process of their own."""

from __future__ import annotations

import importlib.util
import re

import keras
import pytest

from tests.zoo import harness, reference

FILES = ["equations_test.py", "oracles_test.py", "conformance/dtype_test.py"]

TESTS = "follows_the_paper or equals_the_stock_layer or (test_values and float32)"
"""Of each variant values and every gradient in float64, of some float32 with the cells' own tanh,
for NP the stock layer with and without a mask. The rest of these files passes on JAX too, but there
each call of a layer compiles a program.
"""


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="runs on JAX already")
@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="JAX is not installed")
def test_values_on_jax() -> None:
    printed = harness.run_python(
        *("-m", "pytest", "-q", "--import-mode=importlib", "-m", "not slow", "-k", TESTS),
        *("-p", "no:cacheprovider", "-o", "addopts="),
        *(f"tests/zoo/{name}" for name in FILES),
        KERAS_BACKEND="jax",
        JAX_PLATFORMS="cpu",
        # The programs run once: compiling them well would take longer than it saves.
        XLA_FLAGS="--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
    )
    # That all of them ran: none was skipped, renamed away or not collected.
    assert re.search(rf"\b{2 * len(reference.CODES) + 3 + 2} passed", printed), printed
    assert "skipped" not in printed, printed
