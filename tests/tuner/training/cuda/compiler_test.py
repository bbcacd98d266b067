"""The kernels compiled for devices that need not be there: `make cuda-test`."""

from __future__ import annotations

import io
import os
import re
import time
from pathlib import Path

import pytest

from tuner.training.cuda import compiler, structures
from tuner.training.cuda.layouts import LAYOUTS, STREAMED, Layout

ARCHITECTURES = ("sm_80", "sm_90", "sm_100", "sm_120")

MOST_SPILLED = 64
"""Bytes of registers that a function may keep in memory."""

needs_nvrtc = pytest.mark.usefixtures("nvrtc")


@pytest.fixture
def nvrtc() -> None:
    pytest.importorskip("cuda.core", reason="the extra [cuda] is not installed: make cuda-test")


def spilled(log: str) -> dict[str, int]:
    """Bytes that each function of a kernel stores, by the assembler's own words."""
    found = re.findall(r"Function properties for (\w+)\n\D*\d+ bytes stack frame, (\d+) ", log)
    return {name: int(count) for name, count in found}


def test_what_the_assembler_says_is_read() -> None:
    log = """ptxas info    : Compiling entry function 'train' for 'sm_90'
ptxas info    : Function properties for train
ptxas         .     104 bytes stack frame, 28 bytes spill stores, 72 bytes spill loads
ptxas info    : Used 128 registers, used 1 barriers
ptxas info    : Function properties for _Z6chosen
ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
"""
    assert spilled(log) == {"train": 28, "_Z6chosen": 0}


@needs_nvrtc
@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_no_layout_spills_registers(layout: Layout, architecture: str) -> None:
    if layout.blocks > 1 and architecture == "sm_80":
        pytest.skip("no clusters before 9.0")
    log = io.StringIO()
    code = compiler.compile_kernel(layout, architecture, log)
    assert code.startswith(b"\x7fELF")
    counts = spilled(log.getvalue())
    assert compiler.KERNEL in counts and len(counts) > 8
    assert {name: count for name, count in counts.items() if count > MOST_SPILLED} == {}


@needs_nvrtc
def test_machine_code_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSTM_ODYSSEY_CACHE", str(tmp_path))
    compiled: list[Layout] = []

    def compile_kernel(layout: Layout, architecture: str) -> bytes:
        compiled.append(layout)
        return layout.name.encode()

    monkeypatch.setattr(compiler, "compile_kernel", compile_kernel)
    old = tmp_path / "cuda" / "old.cubin"
    old.parent.mkdir()
    old.write_bytes(b"")
    os.utime(old, (0, time.time() - 40 * 24 * 3600))
    for layout in (STREAMED, LAYOUTS[0], STREAMED):
        assert compiler.kept_kernel(layout, "sm_90") == layout.name.encode()
    assert compiled == [STREAMED, LAYOUTS[0]] and not old.exists()
    # For another device, and of other sources, it is compiled again.
    compiler.kept_kernel(STREAMED, "sm_80")
    monkeypatch.setitem(structures.DEFINITIONS, "TRIAL_BYTES", 1)
    compiler.kept_kernel(STREAMED, "sm_90")
    assert len(compiled) == 4


@needs_nvrtc
def test_what_does_not_compile_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "KERNELS", tmp_path)
    (tmp_path / "engine.cuh").write_text("no C++\n")
    with pytest.raises(RuntimeError, match="NVRTC cannot compile streamed_8: .*error") as caught:
        compiler.compile_kernel(STREAMED, "sm_90")
    assert "\n" not in str(caught.value)
