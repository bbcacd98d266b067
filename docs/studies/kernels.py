"""Counts of the compiled kernels of the engine `cuda`: what can be said of them without a GPU.

    make cuda-test    # installs NVRTC and the disassembler
    .venv-cuda/bin/python -m docs.studies.kernels

Every kernel is compiled for compute capability 9.0. Registers and what is spilled are the
assembler's own words; instructions are counted in the machine code, in the loop over the steps of a
sequence forward and back, and in the loop over the frames of a gradient. How many blocks fit on a
multiprocessor follows from registers, threads and shared memory. No times: those want a GPU.
"""

from __future__ import annotations

import collections
import functools
import io
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import table
from common import command_line

if TYPE_CHECKING:
    from tuner.training.cuda.layouts import Layout

_ARCHITECTURE = "sm_90"

# Of a multiprocessor of compute capability 9.0.
_REGISTERS, _THREADS, _SHARED_BYTES = 2**16, 2048, 227 * 2**10
_RESERVED_SHARED_BYTES = 1024  # The system's, of every block.

_FUNCTION = re.compile(r"^\.?(?:text\.)?(\S*?)(?:\$_Z\d+([a-z_]+)\S*)?:$")
_LABEL = re.compile(r"^(\.L_x_\d+):")
_BRANCH = re.compile(r"\bBRA\b.*`\((\.L_x_\d+)\)")
_INSTRUCTION = re.compile(r"^\s*/\*[0-9a-f]+\*/\s+(?:@!?U?PT?\w*\s+)?([A-Z][A-Z0-9]*)")

Counts = Mapping[str, int]


def functions(disassembly: str) -> dict[str, list[str]]:
    r"""Cuts the text of `nvdisasm -c` into its functions; of templates the first comes first.

    Example:
        >>> text = "train$_Z4readI1A:\n  /*0000*/  EXIT ;\n"
        >>> functions(text)
        {'read': ['  /*0000*/  EXIT ;']}
    """
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in disassembly.splitlines():
        match = _FUNCTION.match(line)
        if match and not _LABEL.match(line):
            name = match[2] or match[1]
            lines = []
            found.setdefault(name, lines)
        else:
            lines.append(line)
    return found


def loops(lines: Sequence[str]) -> list[Counts]:
    """Counts the instructions by name of every loop of a function: where it branches back to."""
    labels = {match[1]: place for place, line in enumerate(lines) if (match := _LABEL.match(line))}
    found: list[Counts] = []
    for place, line in enumerate(lines):
        match = _BRANCH.search(line)
        start = labels.get(match[1], place) if match else place
        if start < place:
            body = map(_INSTRUCTION.match, lines[start : place + 1])
            found.append(collections.Counter(match[1] for match in body if match))
    return found


def whole(found: Sequence[Counts]) -> Counts:
    """The loop with the most multiply-adds; of several the longest."""
    return max(found, key=lambda counts: (counts.get("FFMA", 0), sum(counts.values())))


def innermost(found: Sequence[Counts]) -> Counts:
    """The loop with the largest share of multiply-adds."""
    return max(found, key=lambda counts: counts.get("FFMA", 0) / sum(counts.values()))


def resident(layout: Layout, registers: int, shared_bytes: int) -> int:
    """How many blocks of a kernel fit on a multiprocessor."""
    # Warps get registers by 256, in each of four parts of a multiprocessor.
    warps = layout.threads // 32
    each = -(-registers * 32 // 256) * 256
    by_registers = 4 * (_REGISTERS // 4 // each) // warps
    by_shared = _SHARED_BYTES // (shared_bytes + _RESERVED_SHARED_BYTES)
    return min(by_registers, by_shared, _THREADS // layout.threads)


def count(layout: Layout, disassembler: Path) -> dict[str, Any]:
    """Compiles a kernel and counts."""
    from tuner.training.cuda import compiler, structures

    log = io.StringIO()
    code = compiler.compile_kernel(layout, _ARCHITECTURE, log)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernel.cubin")
        path.write_bytes(code)
        done = subprocess.run(
            [disassembler, "-c", path], capture_output=True, text=True, check=True
        )
    found = functions(done.stdout)
    kind = "streamed" if layout.streamed else "in_registers"
    registers = int(re.findall(r"Used (\d+) registers", log.getvalue())[0])
    units = 200 if layout.streamed else layout.units
    gates = layout.states == 4
    shared_bytes = structures.SHARED_HEADER + layout.shared_bytes(units, gates)
    row = {
        "kernel": layout.name,
        "units": layout.units,
        "variants": "all" if layout.streamed else "FGR" if gates else "all but FGR",
        "blocks_a_trial": layout.blocks,
        "threads": layout.threads,
        "registers": registers,
        "most_spilled_bytes": max(map(int, re.findall(r"(\d+) bytes spill st", log.getvalue()))),
        "shared_kib": round(shared_bytes / 2**10, 1),
        "blocks_a_multiprocessor": resident(layout, registers, shared_bytes),
    }
    for name, function, choose in (
        ("forward", f"forward_{kind}", whole),
        ("backward", f"backward_{kind}", whole),
        ("gradient", "nesterov_product", innermost),
    ):
        counts = choose(loops(found[function]))
        row[f"{name}_instructions"] = sum(counts.values())
        row[f"{name}_multiply_adds"] = counts["FFMA"]
        row[f"{name}_shared_loads"] = counts.get("LDS", 0)
        row[f"{name}_shuffles"] = counts.get("SHFL", 0)
    return row


@functools.cache
def _disassembler() -> Path | None:
    folders = [Path(folder, "nvidia") for folder in sys.path if folder]
    return next((path for folder in folders for path in folder.glob("*/bin/nvdisasm")), None)


def main() -> int:
    """Runs the command."""
    from tuner.training.cuda.layouts import LAYOUTS

    disassembler = _disassembler()
    if disassembler is None:
        command_line.log("nvdisasm was not found: make cuda-test installs it")
        return 2
    rows = []
    for layout in LAYOUTS:
        rows.append(count(layout, disassembler))
        table.show(rows[-1:])
    packages = ("nvidia-cuda-nvrtc", "nvidia-cuda-nvdisasm", "cuda-core")
    table.save("kernels", rows, packages, table.STUDIES)
    return 0


if __name__ == "__main__":
    command_line.run(main)
