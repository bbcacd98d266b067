"""The engine `cuda` without a GPU: its kernels compiled by g++, a thread of a block a fiber."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pytest

from common import cache
from tuner.training.cuda import engine, structures
from tuner.training.cuda.backend import OutOfMemory
from tuner.training.cuda.compiler import KERNELS
from tuner.training.cuda.layouts import Layout
from tuner.training.protocol import Problem

HERE = Path(__file__).parent / "emulation"

ONE_BLOCK = Layout(1, 1, 8, states=4)
"""Up to 8 units with the gate recurrence."""

CLUSTER = Layout(1, 2, 4, blocks=3)
"""Up to 24 units in three blocks."""

STREAMED = Layout(0, 2)
"""Any number of units."""

needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="g++ is missing, which compiles the kernels for the CPU"
)

_GUARD = 256
_OPTIONS = (
    *("-std=c++17", "-O1", "-shared", "-fPIC", "-w"),
    # As the device rounds; and fibers jump between stacks.
    *("-ffp-contract=off", "-fno-strict-aliasing", "-U_FORTIFY_SOURCE"),
)
_PROGRAM = """
#define EMULATION "emulation.h"
#include "engine.cuh"

using Kernel = {code};

extern "C" void launch(
    Trial *const *trials, int count, int visits, int shared_bytes, unsigned order) {{
  for (int trial = 0; trial < count; ++trial)
    emulation::run_cluster(
        trial * Kernel::blocks, Kernel::blocks, Kernel::threads, shared_bytes, order,
        [=] {{ train_trials<Kernel>(trials, visits, 0); }});
}}
"""


def _build(
    source: str, sources: Sequence[Path], options: Sequence[str], folders: Sequence[Path] = ()
) -> Path:
    """Compiles a library, once a machine: it stays in the user's cache folder."""
    text = [source, *options, *(path.read_text() for path in sources)]
    digest = hashlib.sha256("\0".join(text).encode()).hexdigest()[:24]
    library = cache.folder() / "emulation" / f"{digest}.so"
    library.parent.mkdir(parents=True, exist_ok=True)
    # Test processes beside each other want the same ones.
    with filelock.FileLock(library.with_suffix(".lock")):
        if library.exists():
            return library
        with tempfile.TemporaryDirectory(dir=library.parent) as temporary:
            program, made = Path(temporary, "program.cpp"), Path(temporary, "program.so")
            program.write_text(source)
            include = [f"-I{folder}" for folder in folders]
            command = ["g++", *_OPTIONS, *options, *include, program, "-o", made, "-ldl"]
            subprocess.run(command, check=True)
            os.replace(made, library)
    return library


def library_of(layout: Layout, folder: Path = KERNELS) -> Path:
    """Compiles a kernel for the CPU."""
    definitions = [f"-D{name}={value}" for name, value in structures.DEFINITIONS.items()]
    sources = [*sorted(folder.glob("*.cuh")), HERE / "emulation.h"]
    program = _PROGRAM.format(code=layout.code)
    return _build(program, sources, definitions, [folder, HERE])


def fake_driver(*options: str) -> Path:
    """Compiles a driver without a GPU."""
    return _build((HERE / "fake_driver.cpp").read_text(), [], options)


@functools.cache
def compile_kernel(layout: Layout, folder: Path = KERNELS) -> Callable[..., None]:
    """Loads a kernel that is compiled for the CPU."""
    launch: Callable[..., None] = ctypes.CDLL(str(library_of(layout, folder))).launch
    return launch


class Emulation:
    """A `tuner.training.cuda.backend.Backend` whose memory is NumPy's.

    Memory begins as NaN, and so do the places around each piece: nobody may write there.
    """

    capacity = 3

    def __init__(
        self, layout: Layout, order: int = 0, sources: Path = KERNELS, size: int = 2**30
    ) -> None:
        self._layout, self._order, self._sources = layout, order, sources
        self.free_bytes = size
        self._pieces: dict[int, np.ndarray] = {}
        self.launches = 0

    def layout(self, units: int, gate_recurrence: bool) -> Layout:
        assert units <= self._layout.units
        assert self._layout.streamed or gate_recurrence == (self._layout.states == 4)
        return self._layout

    def ready(self, layout: Layout) -> bool:
        return True

    def share(self, layout: Layout, shared_bytes: int) -> float:
        return 0.4

    def allocate(self, size: int) -> int:
        if size > self.free_bytes:
            raise OutOfMemory
        self.free_bytes -= size
        piece = np.full(size + 2 * _GUARD, 255, np.uint8)
        address = piece.ctypes.data + _GUARD
        self._pieces[address] = piece
        return address

    def free(self, address: int) -> None:
        piece = self._pieces.pop(address)
        self.free_bytes += len(piece) - 2 * _GUARD
        self._check_piece(piece)

    @staticmethod
    def _check_piece(piece: np.ndarray) -> None:
        assert (piece[:_GUARD] == 255).all() and (piece[-_GUARD:] == 255).all()

    def write(self, address: int, array: np.ndarray) -> None:
        ctypes.memmove(address, array.ctypes.data, array.nbytes)

    def read(self, address: int, array: np.ndarray) -> None:
        ctypes.memmove(array.ctypes.data, address, array.nbytes)

    def launch(
        self,
        layout: Layout,
        shared_bytes: int,
        trials: Sequence[int],
        visits: int,
        nanoseconds: int,
    ) -> Any:
        self.launches += 1
        addresses = (ctypes.c_uint64 * len(trials))(*trials)
        compile_kernel(layout, self._sources)(
            addresses, len(trials), visits, shared_bytes, self._order
        )

    def finished(self, launch: Any) -> bool:
        return True

    def check(self) -> None:
        """Checks that nothing was written beside what was allocated."""
        for piece in self._pieces.values():
            self._check_piece(piece)


def trainer(layout: Layout, **options: Any) -> Callable[[Problem], engine.Trainer]:
    """Makes trainers that run on the emulation."""
    return lambda problem: engine.Trainer(problem, Emulation(layout, **options))
