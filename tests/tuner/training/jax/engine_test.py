"""Engine `jax`: its tests run in a process with that backend of Keras, on several devices."""

from __future__ import annotations

import dataclasses
import importlib.util
import pathlib
import re

import numpy as np
import pytest

from tests.tuner import tiny
from tests.tuner.tiny_task import TinyHandwriting
from tests.zoo import harness
from tuner.training.protocol import Protocol
from zoo.registry import find_variant, unregister

pytestmark = pytest.mark.skipif(
    not importlib.util.find_spec("jax"), reason="JAX is not installed"
)

@pytest.mark.parametrize(
    ("marked", "devices"),
    [("not slow", 2), pytest.param("slow or not slow", 8, marks=pytest.mark.slow)],
)
def test_on_jax(marked: str, devices: int, tmp_path: pathlib.Path, small_blocks: None) -> None:
    trial = dataclasses.replace(tiny.changed(units=6), variant=find_variant("keras.layers:GRUCell"))
    protocol = Protocol(max_epochs=2, patience=2, order_seed=5, optimizer="adam")
    gru = tiny.train_one(trial, protocol, TinyHandwriting())
    unregister(trial.variant)
    weights = {str(place): weight for place, weight in enumerate(gru.weights)}
    curve = [[epoch.loss or 0, epoch.validation] for epoch in gru.result.curve]
    np.savez(tmp_path / "gru.npz", curve=curve, test=gru.result.test.mean, **weights)

    printed = harness.run_python(
        *("-m", "pytest", "-q", "--import-mode=importlib", "-m", marked, "-p", "no:cacheprovider"),
        *("-o", "addopts=", "tests/tuner/training/jax/on_jax.py"),
        KERAS_BACKEND="jax",
        JAX_PLATFORMS="cpu",
        # The programs run once: compiling them well would take longer than it saves.
        XLA_FLAGS="--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false "
        f"--xla_force_host_platform_device_count={devices}",
        EXPECTED=str(tmp_path / "gru.npz"),
    )
    ran = re.search(r"(\d+) passed", printed)
    assert ran and int(ran[1]) >= 12, printed
    assert "skipped" not in printed and "failed" not in printed, printed
