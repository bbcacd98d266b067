"""The calls of the driver, of a driver without a GPU: `make cuda-test`.

Launches run the emulation; all else is NVIDIA's own packages and what the engine makes of them.
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.commands import ROOT
from tests.tuner import tiny
from tests.tuner.tiny import changed
from tests.tuner.training.cuda import emulated
from tests.tuner.training.cuda.emulated import CLUSTER, ONE_BLOCK, STREAMED
from tuner import load_trials
from tuner.training.cuda import compiler, device, engine, layouts
from tuner.training.cuda.backend import OutOfMemory
from tuner.training.cuda.layouts import Layout
from tuner.training.native import engine as native

pytest.importorskip("cuda.bindings", reason="the extra [cuda] is not installed: make cuda-test")
pytestmark = emulated.needs_compiler


def machine_code(layout: Layout, architecture: str) -> bytes:
    """What the driver without a GPU takes for a cubin."""
    assert architecture == "sm_90"
    return os.fsencode(emulated.library_of(layout)) + b"\0"


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The engine's own backend on that driver."""
    # NVIDIA's packages find a library that is loaded by its name.
    ctypes.CDLL(str(emulated.fake_driver("-Wl,-soname,libcuda.so.1")), mode=ctypes.RTLD_GLOBAL)
    device._driver.cache_clear()
    device._find.cache_clear()
    monkeypatch.setattr(compiler, "kept_kernel", machine_code)
    monkeypatch.setattr(layouts, "LAYOUTS", (ONE_BLOCK, CLUSTER, STREAMED))
    from tuner.training.cuda import device_backend

    monkeypatch.setattr(device_backend, "_LOCKS", [])
    yield device_backend
    for lock in device_backend._LOCKS:
        lock.close()


def test_trials_of_all_layouts_are_those_of_the_native_engine(backend: Any) -> None:
    cases = [("FGR", 5), ("V", 19), ("NP", 40), ("FGR", 11), ("V", 3), ("CIFG", 9), ("V", 20)]
    trials = [
        dataclasses.replace(changed(units=units), variant=variant, index=index)
        for index, (variant, units) in enumerate(cases)
    ]
    problem = tiny.problem()
    found = {result.trial: result for result in engine.Trainer(problem).train(trials)}
    for expected in native.Trainer(problem).train(trials):
        tiny.check_equal(found[expected.trial], expected)


def test_each_worker_takes_a_gpu_of_its_own(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_CUDA_DEVICES", "2")
    device._find.cache_clear()
    taken = [backend.take_device()._found.index for _ in range(3)]
    # Who comes last shares.
    assert taken == [0, 1, 0]


def test_memory_that_is_not_there(backend: Any) -> None:
    gpu = backend.take_device()
    with pytest.raises(OutOfMemory):
        gpu.allocate(2**31)
    address = gpu.allocate(1000)
    numbers = np.arange(250, dtype=np.float32)
    gpu.write(address, numbers)
    copy = np.zeros_like(numbers)
    gpu.read(address, copy)
    np.testing.assert_array_equal(copy, numbers)
    gpu.free(address)
    with pytest.raises(RuntimeError, match="the GPU failed: CUDA_ERROR_INVALID_VALUE"):
        gpu.free(address)


def test_shares_are_what_the_device_says(backend: Any) -> None:
    gpu = backend.take_device()
    one, cluster = gpu.layout(5, True), gpu.layout(19, False)
    # Two multiprocessors with two blocks each; one cluster of three blocks.
    assert gpu.share(one, 1000) == 1 / 4 and gpu.share(cluster, 1000) == 1


@pytest.mark.slow
def test_a_study_of_the_command(tmp_path: Path) -> None:
    """With a worker process; machine code comes out of the cache folder."""
    shutil.copy(emulated.fake_driver("-Wl,-soname,libcuda.so.1"), tmp_path / "libcuda.so.1")
    folder = tmp_path / "cache" / "cuda"
    folder.mkdir(parents=True)
    for layout in (layouts.choose(8, gates, (9, 0)) for gates in (False, True)):
        kept = compiler.path_of(layout, "sm_90", folder)
        kept.write_bytes(machine_code(layout, "sm_90"))
    arguments = ["--variants=V,FGR", "--trials=3", "--max_epochs=3", "--space=units=3:8"]
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(tmp_path),
        "LSTM_ODYSSEY_CACHE": str(tmp_path / "cache"),
    }
    tables = {}
    for name in ("cuda", "native"):
        command = tiny.study_command(tmp_path / name, *arguments, f"--engine={name}")
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        tables[name] = load_trials(tmp_path / name).sort_values(["variant", "trial"])
    assert len(tables["native"]) == 6
    assert set(tables["cuda"]["engine"]) == {"cuda"}
    for column in ("validation", "test"):
        np.testing.assert_allclose(tables["cuda"][column], tables["native"][column], rtol=1e-5)
