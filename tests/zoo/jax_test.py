"""The value tests once more, on the JAX backend, in a process of their own."""

from __future__ import annotations

import importlib.util
import re

import keras
import pytest

from tests.zoo import harness

FILES = {
    "equations_test.py": ("(every_gradient_follows_the_paper and FGR)", 1),
    "oracles_test.py": ("equals_the_stock_layer_under_a_mask", 1),
    "conformance/dtype_test.py": ("(test_values and FGR and float32)", 1),
    "frontends/mfcc_test.py": ("is_beyond or in_a_file", 2),
    "frontends/pen_strokes_test.py": ("(follow_the_definition and 3) or dropped", 2),
}
"""Of each file which tests, and how many: every gradient in float64 of the variant that has all
there is, its values in float32 with the cells' own tanh, for NP the stock layer under a mask, the
features. The rest of these files passes on JAX too, but there each call of a layer compiles a
program.
"""


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="runs on JAX already")
@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="JAX is not installed")
def test_values_on_jax() -> None:
    printed = harness.run_python(
        *("-m", "pytest", "-q", "--import-mode=importlib", "-m", "not slow"),
        *("-k", " or ".join(names for names, _ in FILES.values())),
        *("-p", "no:cacheprovider", "-o", "addopts="),
        *(f"tests/zoo/{name}" for name in FILES),
        KERAS_BACKEND="jax",
        JAX_PLATFORMS="cpu",
        # The programs run once: compiling them well would take longer than it saves.
        XLA_FLAGS="--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
    )
    # That all of them ran: none was skipped, renamed away or not collected.
    assert re.search(rf"\b{sum(count for _, count in FILES.values())} passed", printed), printed
    assert "skipped" not in printed, printed
