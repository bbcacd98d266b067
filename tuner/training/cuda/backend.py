"""What the engine needs of a device: the seam between it and CUDA, or the tests' emulation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from tuner.training.cuda.layouts import Layout


class OutOfMemory(MemoryError):
    """The device has no memory left for an allocation."""


class Backend(Protocol):
    """A device. Addresses are its own."""

    capacity: int
    """How many trials may lie on the device at a time."""

    def layout(self, units: int, gate_recurrence: bool) -> Layout:
        """Chooses the kernel of a network, and begins to compile it if that is not done."""

    def ready(self, layout: Layout) -> bool:
        """Whether a kernel can be launched.

        Raises:
            RuntimeError: if it cannot be compiled.
        """

    def share(self, layout: Layout, shared_bytes: int) -> float:
        """What a trial takes of the device, which is 1; of a kernel that is ready.

        Args:
            layout: the kernel.
            shared_bytes: shared memory of a block.
        """

    def allocate(self, size: int) -> int:
        """Allocates bytes; returns their address, a multiple of 256.

        Raises:
            OutOfMemory: if there are not so many.
        """

    def free(self, address: int) -> None:
        """Gives back what was allocated."""

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
        """Starts to train trials, each until it is done or its time is over.

        Args:
            layout: their kernel.
            shared_bytes: shared memory of a block.
            trials: addresses of the `memory.TrialHeader`s.
            visits: most sequences of each.
            nanoseconds: time after which each stops, at the end of a sequence.

        Returns:
            Names the launch.
        """

    def finished(self, launch: Any) -> bool:
        """Whether a launch has ended.

        Raises:
            RuntimeError: if the device has failed.
        """
