"""An NVIDIA GPU as a `tuner.training.cuda.backend.Backend`, controlled through its driver."""

from __future__ import annotations

import concurrent.futures
import ctypes
import dataclasses
import fcntl
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.machine import cores

# Kernels in more streams than the host has connections to the device would wait for each other.
os.environ.setdefault("CUDA_DEVICE_MAX_CONNECTIONS", "32")

from cuda.bindings import driver

from tuner.training.cuda import compiler, device, layouts
from tuner.training.cuda.backend import OutOfMemory
from tuner.training.cuda.layouts import Layout

_PARAMETERS = (ctypes.c_uint64, ctypes.c_int32, ctypes.c_int64)


def _check(result: tuple[Any, ...]) -> Any:
    """Returns the value from a result of the driver.

    Raises:
        OutOfMemory: if the device has no memory left.
        RuntimeError: if anything else failed.
    """
    status, *values = result
    if status == driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY:
        raise OutOfMemory
    if status != driver.CUresult.CUDA_SUCCESS:
        raise RuntimeError(f"the GPU failed: {driver.CUresult(status).name}")
    return values[0] if values else None


@dataclasses.dataclass
class _Launch:
    """A running launch: its stream, the event after it, and where its trials' addresses are."""

    stream: Any
    event: Any
    addresses: int


class Gpu:
    """A GPU that trains for this process.

    Attributes:
        capacity: maximum number of trials on it at a time.
    """

    def __init__(self, found: device.Device) -> None:
        """Retains the GPU's primary context.

        Args:
            found: the GPU.

        Raises:
            RuntimeError: if the driver fails.
        """
        self.capacity = device.TRIALS_A_MULTIPROCESSOR * found.multiprocessors
        self._found = found
        _check(driver.cuInit(0))
        self._device = _check(driver.cuDeviceGet(found.index))
        self._context = _check(driver.cuDevicePrimaryCtxRetain(self._device))
        _check(driver.cuCtxSetCurrent(self._context))
        # Freed memory stays in the pool; otherwise it would go to the system at every wait.
        pool = _check(driver.cuDeviceGetDefaultMemPool(self._device))
        threshold = driver.CUmemPool_attribute.CU_MEMPOOL_ATTR_RELEASE_THRESHOLD
        _check(driver.cuMemPoolSetAttribute(pool, threshold, driver.cuuint64_t(2**64 - 1)))
        self._copies = self._new_stream()
        self._streams: list[Any] = []
        self._threads = concurrent.futures.ThreadPoolExecutor(cores())
        self._code: dict[Layout, concurrent.futures.Future[bytes]] = {}
        self._kernels: dict[Layout, Any] = {}
        self._shares: dict[tuple[Layout, int], float] = {}

    @staticmethod
    def _new_stream() -> Any:
        return _check(driver.cuStreamCreate(driver.CUstream_flags.CU_STREAM_NON_BLOCKING))

    def layout(self, units: int, gate_recurrence: bool) -> Layout:
        """Chooses a kernel and starts to compile it; see `Backend.layout`."""
        layout = layouts.choose(units, gate_recurrence, self._found.capability)
        if layout not in self._code:
            architecture = "sm_" + "".join(map(str, self._found.capability))
            self._code[layout] = self._threads.submit(compiler.kept_kernel, layout, architecture)
        return layout

    def ready(self, layout: Layout) -> bool:
        """Returns whether a kernel is compiled; see `Backend.ready`."""
        return self._code[layout].done()

    def _kernel(self, layout: Layout) -> Any:
        if layout not in self._kernels:
            module = _check(driver.cuModuleLoadData(self._code[layout].result()))
            self._kernels[layout] = _check(
                driver.cuModuleGetFunction(module, compiler.KERNEL.encode())
            )
        return self._kernels[layout]

    def _configuration(self, layout: Layout, shared_bytes: int, trials: int, stream: Any) -> Any:
        configuration = driver.CUlaunchConfig()
        configuration.gridDimX = layout.blocks * trials
        configuration.blockDimX = layout.threads
        configuration.gridDimY = configuration.gridDimZ = 1
        configuration.blockDimY = configuration.blockDimZ = 1
        configuration.sharedMemBytes = shared_bytes
        configuration.hStream = stream
        if layout.blocks > 1:
            attribute = driver.CUlaunchAttribute()
            attribute.id = driver.CUlaunchAttributeID.CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION
            attribute.value.clusterDim.x = layout.blocks
            attribute.value.clusterDim.y = attribute.value.clusterDim.z = 1
            configuration.attrs = [attribute]
            configuration.numAttrs = 1
        return configuration

    def share(self, layout: Layout, shared_bytes: int) -> float:
        """Returns the share of the device that a trial takes; see `Backend.share`."""
        key = (layout, shared_bytes)
        if key not in self._shares:
            kernel = self._kernel(layout)
            limit = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
            _check(driver.cuFuncSetAttribute(kernel, limit, shared_bytes))
            if layout.blocks > 1:
                configuration = self._configuration(layout, shared_bytes, 1, self._copies)
                at_once = _check(driver.cuOccupancyMaxActiveClusters(kernel, configuration))
            else:
                resident = driver.cuOccupancyMaxActiveBlocksPerMultiprocessor
                blocks = _check(resident(kernel, layout.threads, shared_bytes))
                at_once = blocks * self._found.multiprocessors
            if not at_once:
                raise RuntimeError(f"{self._found.name} has no room for the kernel {layout.name}")
            self._shares[key] = 1 / at_once
        return self._shares[key]

    def allocate(self, size: int) -> int:
        """Allocates device memory; see `Backend.allocate`."""
        # Not with `cuMemAlloc`, whose counterpart waits until the whole device is idle.
        address = _check(driver.cuMemAllocAsync(size, self._copies))
        _check(driver.cuStreamSynchronize(self._copies))
        return int(address)

    def free(self, address: int) -> None:
        """Frees device memory."""
        _check(driver.cuMemFreeAsync(address, self._copies))

    def write(self, address: int, array: np.ndarray) -> None:
        """Copies an array to the device."""
        _check(driver.cuMemcpyHtoDAsync(address, array.ctypes.data, array.nbytes, self._copies))
        _check(driver.cuStreamSynchronize(self._copies))

    def read(self, address: int, array: np.ndarray) -> None:
        """Fills an array from the device."""
        _check(driver.cuMemcpyDtoHAsync(array.ctypes.data, address, array.nbytes, self._copies))
        _check(driver.cuStreamSynchronize(self._copies))

    def launch(
        self,
        layout: Layout,
        shared_bytes: int,
        trials: Sequence[int],
        visits: int,
        nanoseconds: int,
    ) -> _Launch:
        """Starts to train trials; see `Backend.launch`."""
        array = np.array(trials, np.uint64)
        addresses = self.allocate(array.nbytes)
        self.write(addresses, array)
        stream = self._streams.pop() if self._streams else self._new_stream()
        kernel = self._kernel(layout)
        limit = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        _check(driver.cuFuncSetAttribute(kernel, limit, shared_bytes))
        configuration = self._configuration(layout, shared_bytes, len(trials), stream)
        arguments = ((addresses, visits, nanoseconds), _PARAMETERS)
        _check(driver.cuLaunchKernelEx(configuration, kernel, arguments, 0))
        event = _check(driver.cuEventCreate(driver.CUevent_flags.CU_EVENT_DISABLE_TIMING))
        _check(driver.cuEventRecord(event, stream))
        return _Launch(stream, event, addresses)

    def finished(self, launch: _Launch) -> bool:
        """Returns whether a launch has ended; see `Backend.finished`."""
        (status,) = driver.cuEventQuery(launch.event)
        if status == driver.CUresult.CUDA_ERROR_NOT_READY:
            return False
        _check((status,))
        _check(driver.cuEventDestroy(launch.event))
        self.free(launch.addresses)
        self._streams.append(launch.stream)
        return True


# Open files whose locks show which GPUs this process has taken.
_LOCKS: list[Any] = []


def take_device() -> Gpu:
    """Takes the first GPU that no other worker of this user has taken, else the first one.

    Raises:
        RuntimeError: if there is none, or the driver fails.
    """
    found = device.devices()
    if not found:
        raise RuntimeError(device.obstacle())
    for each in found:
        name = f"lstm-odyssey-gpu-{os.getuid()}-{each.index}.lock"
        file = open(Path(tempfile.gettempdir(), name), "a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            continue
        _LOCKS.append(file)
        return Gpu(each)
    return Gpu(found[0])
