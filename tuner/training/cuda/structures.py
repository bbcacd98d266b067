"""The structures shared by the host and the kernels: `kernels/structures.cuh` for Python."""

from __future__ import annotations

import ctypes

import numpy as np

TRAIN, VALIDATE, TEST, DONE = range(4)
"""Phases of a trial."""

PARTS = ("read", "project", "forward", "head", "backward", "update")
"""The parts of the work on a sequence, which are timed separately."""


class Split(ctypes.Structure):
    """A split of the task in device memory."""

    _fields_ = (
        *((name, ctypes.c_uint64) for name in ("inputs", "rows", "indices", "starts", "lengths")),
        *((name, ctypes.c_uint64) for name in ("target_starts", "target_counts")),
        ("count", ctypes.c_int64),
    )


SIZES = (
    "inputs",
    "input_row",
    "outputs",
    "output_row",
    "head",
    "directions",
    "max_epochs",
    "patience",
    "max_frames",
    "max_states",
)
"""The sizes in a `ProblemHeader`."""


class ProblemHeader(ctypes.Structure):
    """The data and sizes that all trials share."""

    _fields_ = (
        ("train", Split),
        ("validation", Split),
        ("test", Split),
        ("order", ctypes.c_uint64),
        *((name, ctypes.c_int32) for name in SIZES),
    )


class Control(ctypes.Structure):
    """The progress of a trial."""

    _fields_ = (
        ("best", ctypes.c_double),
        ("began", ctypes.c_int64),
        ("cycles", ctypes.c_int64 * len(PARTS)),
        ("marked", ctypes.c_int64),
        *(
            (name, ctypes.c_int32)
            for name in (
                "phase",
                "position",
                "epoch",
                "finished",
                "best_epoch",
                "diverged",
                "improved",
                "visits",
                "decoded",
                "padding",
            )
        ),
    )


_ARRAYS = (
    "problem",
    "control",
    "weights",
    "velocities",
    "best",
    "output_transposed",
    "inputs",
    "gates",
    "cells",
    "tanh_cells",
    "states",
    "hidden_grads",
    "logits",
    "partials",
    "losses",
    "scores",
    "epochs",
    "normalizers",
    "paths",
    "decoded",
    "distances",
    "classes",
    "keys",
)


class TrialHeader(ctypes.Structure):
    """The addresses of a trial's arrays, and its settings."""

    _fields_ = (
        *((name, ctypes.c_uint64) for name in _ARRAYS),
        *((name, ctypes.c_float) for name in ("rate", "momentum", "noise")),
        *(
            (name, ctypes.c_int32)
            for name in ("units", "padded", "switches", "max_frames", "padding")
        ),
    )


SHARED_HEADER = -(-ctypes.sizeof(TrialHeader) // 16) * 16
"""Bytes at the beginning of a block's shared memory, for a copy of the trial's header."""

DEFINITIONS = {
    "TRIAL_BYTES": ctypes.sizeof(TrialHeader),
    "PROBLEM_BYTES": ctypes.sizeof(ProblemHeader),
    "CONTROL_BYTES": ctypes.sizeof(Control),
}
"""Macros with which the kernels check that their structures match these."""


def bytes_of(structure: ctypes.Structure) -> np.ndarray:
    """Returns a view of a structure's bytes, uint8; writing to it changes the structure."""
    return np.frombuffer(memoryview(structure).cast("B"), np.uint8)
