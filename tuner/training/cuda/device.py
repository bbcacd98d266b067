"""The machine's NVIDIA GPUs, and why they cannot train; uses the driver alone, without NumPy."""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import importlib.metadata
import importlib.util

from common.errors import install

_LIBRARY = "libcuda.so.1"
_PACKAGES = ("cuda.core", "cuda.bindings")
_COMPILERS = ("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12")

_MULTIPROCESSORS, _MAJOR, _MINOR = 16, 75, 76  # Of cuDeviceGetAttribute.
_NO_DEVICE = 100

LEAST_CAPABILITY = (8, 0)
"""Minimum compute capability of the kernels, which copy to shared memory asynchronously."""

TRIALS_A_MULTIPROCESSOR = 4
"""Maximum number of trials at a time on a multiprocessor, if they are small."""


@dataclasses.dataclass(frozen=True)
class Device:
    """A GPU.

    Attributes:
        index: its index among the devices that the driver lists.
        name: its model.
        capability: compute capability, such as (9, 0).
        multiprocessors: number of its multiprocessors.
        memory: size of its memory in bytes.
    """

    index: int
    name: str
    capability: tuple[int, int]
    multiprocessors: int
    memory: int

    @property
    def able(self) -> bool:
        """Whether it can run the kernels."""
        return self.capability >= LEAST_CAPABILITY


@functools.cache
def _driver() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(_LIBRARY)
    except OSError:
        return None


@functools.cache
def _find() -> tuple[tuple[Device, ...], tuple[int, int], str]:
    """Returns the devices, the driver's CUDA version, and what is wrong; empty if nothing is."""
    driver = _driver()
    if driver is None:
        return (), (0, 0), f"no NVIDIA driver was found ({_LIBRARY})"
    status = driver.cuInit(0)
    if status == _NO_DEVICE:
        return (), (0, 0), "the NVIDIA driver finds no GPU"
    if status:
        return (), (0, 0), f"the NVIDIA driver does not start (cuInit: error {status})"

    def integer(function: str, *arguments: int) -> int:
        value = ctypes.c_int()
        driver[function](ctypes.byref(value), *arguments)
        return value.value

    version = integer("cuDriverGetVersion")
    found = []
    for index in range(integer("cuDeviceGetCount")):
        handle = integer("cuDeviceGet", index)
        name, memory = ctypes.create_string_buffer(100), ctypes.c_size_t()
        driver.cuDeviceGetName(name, len(name), handle)
        driver.cuDeviceTotalMem_v2(ctypes.byref(memory), handle)
        major, minor, multiprocessors = (
            integer("cuDeviceGetAttribute", attribute, handle)
            for attribute in (_MAJOR, _MINOR, _MULTIPROCESSORS)
        )
        text = name.value.decode(errors="replace")
        found.append(Device(index, text, (major, minor), multiprocessors, memory.value))
    return tuple(found), (version // 1000, version % 1000 // 10), ""


def devices() -> tuple[Device, ...]:
    """Returns the GPUs that can run the kernels."""
    return tuple(device for device in _find()[0] if device.able)


def _compiler_version() -> str | None:
    for package in _COMPILERS:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def obstacle() -> str:
    """Returns why the machine cannot train on a GPU, in one line; empty if it can."""
    found, version, wrong = _find()
    if wrong:
        return wrong
    if not devices():
        least = ".".join(map(str, LEAST_CAPABILITY))
        names = ", ".join(f"{each.name}: {'.'.join(map(str, each.capability))}" for each in found)
        return f"it needs a GPU of compute capability {least} or higher. Found: {names or 'none'}"
    missing = [module for module in _PACKAGES if not _installed(module)]
    compiler = _compiler_version()
    if missing or compiler is None:
        what = missing[0] if missing else "NVRTC"
        return f"{what} is not installed ({install('cuda')})"
    if version[0] < int(compiler.split(".")[0]):
        return (
            f"the NVIDIA driver is made for CUDA {version[0]}.{version[1]}, which is older than "
            f"NVRTC {compiler}: it needs a newer driver"
        )
    return ""


def count() -> int:
    """Returns the number of GPUs that can train."""
    return len(devices())


def smallest() -> Device:
    """Returns the GPU with the least memory; there must be one."""
    return min(devices(), key=lambda device: device.memory)


def multiprocessors() -> int:
    """Returns the smallest number of multiprocessors of a GPU; 0 if there is none."""
    return min((device.multiprocessors for device in devices()), default=0)


def capacity() -> int:
    """Returns the maximum number of trials that a worker may have on its GPU."""
    return TRIALS_A_MULTIPROCESSOR * max(1, multiprocessors())
