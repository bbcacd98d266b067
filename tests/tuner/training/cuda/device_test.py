"""What the engine `cuda` finds on a machine, and what it says where it cannot train."""

from __future__ import annotations

import ctypes
import dataclasses
import importlib.metadata
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import InputError
from tests.tuner.tiny import TRIAL, changed, problem
from tests.tuner.training.cuda import emulated
from tuner.training.cuda import device, memory
from tuner.training.engines import ENGINES, candidates, choose
from tuner.training.protocol import Protocol


def forget() -> None:
    device._driver.cache_clear()
    device._find.cache_clear()


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Nothing is known of the machine before a test, nor after it."""
    forget()
    yield
    forget()


@pytest.fixture
def no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_LIBRARY", "libcuda.so.none")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a driver, one GPU of capability 9.0, and NVIDIA's packages."""
    if emulated.needs_compiler.args[0]:
        pytest.skip(emulated.needs_compiler.kwargs["reason"])
    monkeypatch.setattr(device, "_LIBRARY", str(emulated.fake_driver()))
    monkeypatch.setattr(device, "_installed", lambda module: True)
    monkeypatch.setattr(device, "_compiler_version", lambda: "13.5.37")


def test_without_a_driver_everything_is_as_if_there_were_no_such_engine(
    no_driver: None,
) -> None:
    assert ENGINES["cuda"] not in candidates()
    assert choose("auto", problem(), TRIAL) is ENGINES["native"]
    with pytest.raises(InputError) as caught:
        choose("cuda", problem(), TRIAL)
    assert str(caught.value) == (
        "--engine=cuda: no NVIDIA driver was found (libcuda.so.none); use --engine=auto"
    )


def test_the_table_is_read_without_numpy() -> None:
    program = "import sys, tuner.training.engines; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_machine_with_a_gpu_trains_on_it_if_asked(gpu: None) -> None:
    found = device.Device(0, "Fake GPU", (9, 0), 2, 2**30)
    assert device.devices() == (found,) and device.obstacle() == ""
    assert choose("auto", problem(), TRIAL) is ENGINES["native"]
    assert choose("cuda", problem(), TRIAL) is ENGINES["cuda"]
    assert ENGINES["cuda"].workers() == 1 and ENGINES["cuda"].capacity() == 8
    # What it has no kernel for is one line.
    adam = problem(Protocol(optimizer="adam"))
    assert "no optimizer adam" in ENGINES["cuda"].obstacle(adam, TRIAL)
    gru = dataclasses.replace(TRIAL, variant="GRUCell")
    assert "not a variant of the LSTM" in ENGINES["cuda"].obstacle(problem(), gru)


@pytest.mark.parametrize(
    ("variable", "value", "obstacle"),
    [
        ("FAKE_CUDA_STATUS", "100", "the NVIDIA driver finds no GPU"),
        ("FAKE_CUDA_STATUS", "803", "the NVIDIA driver does not start (cuInit: error 803)"),
        (
            "FAKE_CUDA_CAPABILITY",
            "75",
            "it needs a GPU of compute capability 8.0 or higher. Found: Fake GPU: 7.5",
        ),
        (
            "FAKE_CUDA_VERSION",
            "12040",
            "the NVIDIA driver is made for CUDA 12.4, which is older than NVRTC 13.5.37: it needs "
            "a newer driver",
        ),
    ],
)
def test_what_a_machine_lacks_is_one_line(
    gpu: None, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, obstacle: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert device.obstacle() == obstacle
    assert ENGINES["cuda"].obstacle(problem(), TRIAL) == obstacle


def test_missing_packages_are_one_line(gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_installed", lambda module: module != "cuda.core")
    assert device.obstacle() == "cuda.core is not installed (pip install -e '.[cuda]')"
    monkeypatch.setattr(device, "_installed", lambda module: True)
    monkeypatch.setattr(device, "_compiler_version", lambda: None)
    assert device.obstacle() == "NVRTC is not installed (pip install -e '.[cuda]')"


def test_what_is_installed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device._installed("numpy.linalg") and not device._installed("no_such_package.core")

    def version(package: str) -> str:
        if package != "nvidia-cuda-nvrtc-cu12":
            raise importlib.metadata.PackageNotFoundError
        return "12.9.1"

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert device._compiler_version() == "12.9.1"


def test_a_trial_too_large_for_the_device_is_one_line(gpu: None) -> None:
    small = dataclasses.replace(device.devices()[0], memory=2**29 + 2**20)
    assert memory.obstacle(problem(), TRIAL, small) == ""
    assert memory.obstacle(problem(), changed(units=512), small) == (
        "a trial of 512 units needs 0.5 GiB of memory; Fake GPU has 0.5 GiB"
    )
    assert memory.obstacle(problem(), changed(units=4000), small) == (
        "it takes at most 2048 units, and not 4000"
    )


def test_the_devices_facts_are_the_drivers(gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_CUDA_DEVICES", "3")
    assert [each.index for each in device.devices()] == [0, 1, 2]
    assert device.count() == ENGINES["cuda"].workers() == 3
    assert isinstance(device._driver(), ctypes.CDLL) and Path(device._LIBRARY).exists()
