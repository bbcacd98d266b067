"""Compiles the kernels with NVRTC and caches the machine code."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import time
from pathlib import Path
from typing import TextIO

from common import cache, files
from tuner.training.cuda import structures
from tuner.training.cuda.layouts import Layout

KERNELS = Path(__file__).parent / "kernels"
"""The folder of the kernels' sources."""

KERNEL = "train"
"""The name of the kernel in each program."""

_PROGRAM = """
#include "engine.cuh"

using Kernel = {code};

extern "C" __global__ void __launch_bounds__(Kernel::threads, {residents})
{name}(Trial *const *trials, int visits, int64 limit) {{
  train_trials<Kernel>(trials, visits, limit);
}}
"""
_UNUSED_SECONDS = 30 * 24 * 3600


def program(layout: Layout) -> str:
    """Returns the source text of a layout's kernel."""
    return _PROGRAM.format(code=layout.code, residents=layout.residents, name=KERNEL)


def compile_kernel(layout: Layout, architecture: str, log: TextIO | None = None) -> bytes:
    """Compiles a kernel.

    Args:
        layout: layout of the kernel.
        architecture: target architecture, such as `sm_90`.
        log: receives the assembler's report on registers.

    Returns:
        A cubin.

    Raises:
        RuntimeError: if NVRTC cannot compile it.
    """
    from cuda.core import Program, ProgramOptions

    options = ProgramOptions(
        name=layout.name,
        arch=architecture,
        std="c++17",
        include_path=str(KERNELS),
        define_macro=[(name, str(value)) for name, value in structures.DEFINITIONS.items()],
        ptxas_options=["-v"] if log else None,
    )
    try:
        compiled: bytes = Program(program(layout), "c++", options).compile("cubin", logs=log).code
    except Exception as error:
        lines = [line for line in str(error).splitlines() if "error" in line] or [str(error)]
        raise RuntimeError(f"NVRTC cannot compile {layout.name}: {lines[0].strip()}") from error
    return compiled


def path_of(layout: Layout, architecture: str, folder: Path) -> Path:
    """Returns the file of a kernel, named by sources, architecture, structures and compiler."""
    text = [program(layout), architecture, str(structures.DEFINITIONS)]
    text += [importlib.metadata.version(package) for package in ("cuda-bindings", "cuda-core")]
    text += [path.read_text(encoding="utf-8") for path in sorted(KERNELS.glob("*.cuh"))]
    digest = hashlib.sha256("\0".join(text).encode()).hexdigest()[:24]
    return folder / f"{layout.name}-{architecture}-{digest}.cubin"


def kept_kernel(layout: Layout, architecture: str) -> bytes:
    """Reads a kernel from the user's cache folder, or compiles it and stores it there.

    Files unused for a month are removed.
    """
    folder = cache.folder() / "cuda"
    path = path_of(layout, architecture, folder)
    try:
        code = path.read_bytes()
        os.utime(path)
        return code
    except OSError:
        code = compile_kernel(layout, architecture)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.write_bytes(path, code)
        for other in folder.glob("*.cubin"):
            if time.time() - other.stat().st_mtime > _UNUSED_SECONDS:
                other.unlink(missing_ok=True)
    except OSError:
        # It is compiled again next time.
        pass
    return code
