"""Counting in disassembled kernels."""

from __future__ import annotations

import importlib

import pytest

from tuner.training.cuda.layouts import LAYOUTS

kernels = importlib.import_module("docs.studies.kernels")

TEXT = """
\t.section\t.text.train,"ax",@progbits
.text.train:
        /*0000*/                   LDC R1, c[0x0][0x28] ;
$train$_Z20forward_in_registersI11InRegistersILi8EEEv:
.L_x_1:
        /*0010*/                   LDS.128 R4, [R2] ;
.L_x_2:
        /*0020*/                   FFMA R4, R5, R6, R7 ;
        /*0030*/              @!P0 FFMA R4, R5, R6, R7 ;
        /*0040*/               @P1 BRA `(.L_x_2) ;
        /*0050*/              @!PT SHFL.BFLY PT, R4, R5, 0x8, 0x1f ;
        /*0060*/               @P0 BRA.U `(.L_x_1) ;
        /*0070*/                   BRA `(.L_x_3) ;
.L_x_3:
        /*0080*/                   EXIT ;
$train$_Z4readI1AEv:
        /*0090*/                   EXIT ;
"""


def test_loops_are_counted() -> None:
    found = kernels.functions(TEXT)
    assert [name for name in found if name] == ["train", "forward_in_registers", "read"]
    inner, outer = kernels.loops(found["forward_in_registers"])
    assert inner == {"FFMA": 2, "BRA": 1}
    assert outer == {"LDS": 1, "FFMA": 2, "BRA": 2, "SHFL": 1}
    assert kernels.whole([inner, outer]) == outer and kernels.innermost([inner, outer]) == inner
    assert kernels.loops(found["read"]) == []


@pytest.mark.parametrize(
    ("layout", "registers", "blocks"),
    [(LAYOUTS[0], 128, 4), (LAYOUTS[1], 168, 2), (LAYOUTS[2], 128, 2), (LAYOUTS[3], 168, 1)],
)
def test_blocks_of_a_multiprocessor(layout: object, registers: int, blocks: int) -> None:
    assert kernels.resident(layout, registers, 40 * 2**10) == blocks
    assert kernels.resident(layout, registers, 100 * 2**10) == min(blocks, 2)
