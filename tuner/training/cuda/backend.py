"""The interface between the engine and a device, which is CUDA or the tests' emulation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from tuner.training.cuda.layouts import Layout


class OutOfMemory(MemoryError):
    """The device has no memory left for an allocation."""


class Backend(Protocol):
    """A device. Addresses are device addresses."""

    capacity: int
    """Maximum number of trials on the device at a time."""

    def layout(self, units: int, gate_recurrence: bool) -> Layout:
        """Chooses the kernel for a network, and starts to compile it if necessary."""

    def ready(self, layout: Layout) -> bool:
        """Returns whether a kernel can be launched.

        Raises:
            RuntimeError: if it cannot be compiled.
        """

    def share(self, layout: Layout, shared_bytes: int) -> float:
        """Returns the share of the device that a trial takes, of a total of 1.

        Args:
            layout: the kernel, which must be ready.
            shared_bytes: shared memory of a block, in bytes.
        """

    def allocate(self, size: int) -> int:
        """Allocates bytes; returns their address, a multiple of 256.

        Raises:
            OutOfMemory: if not enough memory is free.
        """

    def free(self, address: int) -> None:
        """Frees allocated memory."""

    def write(self, address: int, array: np.ndarray) -> None:
        """Copies a contiguous array to the device."""

    def read(self, address: int, array: np.ndarray) -> None:
        """Fills a contiguous array from the device."""

    def launch(
        self,
        layout: Layout,
        shared_bytes: int,
        trials: Sequence[int],
        visits: int,
        nanoseconds: int,
    ) -> Any:
        """Starts to train trials, each until it is done or its time is up.

        Args:
            layout: their kernel.
            shared_bytes: shared memory of a block, in bytes.
            trials: addresses of their `structures.TrialHeader`s.
            visits: maximum number of sequences per trial.
            nanoseconds: time after which each stops, at the end of a sequence.

        Returns:
            A handle to the launch.
        """

    def finished(self, launch: Any) -> bool:
        """Returns whether a launch has ended.

        Raises:
            RuntimeError: if the device has failed.
        """
