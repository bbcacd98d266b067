"""What runs on the JAX backend of Keras, in one process of its own."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import pathlib
import re

import keras
import numpy as np
import pytest

from common import machine
from tests.tuner import tiny
from tests.tuner.tiny_task import TinyHandwriting
from tests.zoo import harness
from tuner.training.protocol import Protocol
from zoo.registry import find_variant, unregister

ZOO = {
    "zoo/equations_test.py": ("(every_gradient_follows_the_paper and FGR)", 1),
    "zoo/oracles_test.py": ("equals_the_stock_layer_under_a_mask", 1),
    "zoo/conformance/dtype_test.py": ("(test_values and FGR and float32)", 1),
    "zoo/adaptive_layer_test.py": ("fit_counts", 1),
    "zoo/early_exit_test.py": ("(early_exit and 0.5)", 1),
    "zoo/frontends/mfcc_test.py": ("is_beyond or in_a_file", 2),
    "zoo/frontends/pen_strokes_test.py": ("(follow_the_definition and 3)", 1),
}
"""Of each file which tests, and how many: every gradient in float64 of the variant that has all
there is, its values in float32 with the cells' own tanh, for NP the stock layer under a mask, the
features. The rest of these files passes on JAX too, up to rounding, but there each call of a layer
compiles a program.
"""

GUIDED = {
    "zoo/guided_es_test.py": ("(covariance and 0.3) or (right_on_average and variable)", 2),
    "zoo/guided_es_model_test.py": ("bit_for_bit and saved", 1),
    "zoo/truncated_test.py": ("the_pieces and FGR", 1),
}
"""Guided evolutionary strategies and a truncated gradient."""

ENGINE = {"tuner/training/jax/on_jax.py": ("on_jax and not optimized", 19)}
OPTIMIZED = {
    "tuner/training/jax/on_jax.py": ("optimized or a_cell_of_keras or (two_epochs and FGR)", 5)
}
"""Compiled as well as a study's workers do it."""

_DEVICES = "--xla_force_host_platform_device_count"
_UNOPTIMIZED = os.environ.get("XLA_FLAGS", "")


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="runs on JAX already")
@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="JAX is not installed")
@pytest.mark.parametrize(
    ("files", "marked", "flags"),
    [
        (ZOO | ENGINE, "not slow", f"{_UNOPTIMIZED} {_DEVICES}=2"),
        (OPTIMIZED, "slow or not slow", machine.XLA_LOOP_FLAG),
        pytest.param(
            *(ENGINE | GUIDED, "slow or not slow", f"{_UNOPTIMIZED} {_DEVICES}=8"),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["short", "optimized", "slow"],
)
def test_on_jax(
    files: dict[str, tuple[str, int]],
    marked: str,
    flags: str,
    tmp_path: pathlib.Path,
    small_blocks: None,
) -> None:
    _train_gru(tmp_path / "gru.npz")
    printed = harness.run_python(
        *("-m", "pytest", "-v", "--import-mode=importlib", "-m", marked, "-p", "no:cacheprovider"),
        *("-o", "addopts="),
        *("-k", " or ".join(names for names, _ in files.values())),
        *(f"tests/{name}" for name in files),
        KERAS_BACKEND="jax",
        JAX_PLATFORMS="cpu",
        XLA_FLAGS=flags,
        EXPECTED=str(tmp_path / "gru.npz"),
    )
    # That all of them ran: none was skipped, renamed away or not collected.
    for name, (_, count) in files.items():
        assert len(re.findall(rf"^tests/{name}::.* PASSED", printed, re.M)) >= count, printed
    assert "skipped" not in printed, printed


def _train_gru(path: pathlib.Path) -> None:
    """Trains what engine `jax` is compared with, by engine `keras` on this backend."""
    trial = dataclasses.replace(tiny.changed(units=6), variant=find_variant("keras.layers:GRUCell"))
    protocol = Protocol(max_epochs=2, patience=2, order_seed=5, optimizer="adam")
    gru = tiny.train_one(trial, protocol, TinyHandwriting())
    unregister(trial.variant)
    weights = {str(place): weight for place, weight in enumerate(gru.weights)}
    curve = [[epoch.loss or 0, epoch.validation] for epoch in gru.result.curve]
    np.savez(path, curve=curve, test=gru.result.test.mean, **weights)
