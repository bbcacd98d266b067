"""Requests with their right answers, what answers took, and a file of both for every process."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

TOLERANCE = 1e-5
"""How far an answer may be from the right one."""

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class Case:
    """A request and what has to come back.

    Attributes:
        inputs: arrays by the names of the signature's inputs, the batch dimension first.
        outputs: likewise, of those outputs that are compared.
    """

    inputs: Arrays
    outputs: Arrays

    def check(self, answer: Arrays) -> None:
        """Compares an answer with the right one.

        A server that puts sequences of different lengths into one batch answers all with as many
        frames as the longest has: frames that were not asked for do not count.

        Raises:
            ValueError: if an output is missing, has another shape, is not finite, or too far off.
        """
        for name, wanted in self.outputs.items():
            found = answer.get(name)
            if found is not None and found.ndim > 2:
                found = found[:, : wanted.shape[1]]
            if found is None or found.shape != wanted.shape:
                raise ValueError(f"{name}: an answer is missing or has another shape")
            error = np.abs(found - wanted).max()
            if not error <= TOLERANCE:
                raise ValueError(f"{name}: an answer is wrong by {error}")


Cases = Mapping[str, Sequence[Case]]
"""Cases by signature, in files by `pickle`."""


def summary(durations: Sequence[float], seconds: float) -> dict[str, float]:
    """Requests answered a second, and percentiles of the milliseconds to an answer.

    Raises:
        ValueError: if nothing was answered.
    """
    if not durations:
        raise ValueError(f"no request was answered in {seconds:.1f} s")
    percentiles = 1e3 * np.percentile(durations, [50, 95, 99])
    numbers = [len(durations) / seconds, *(round(float(value), 6) for value in percentiles)]
    return dict(zip(("requests_per_second", "p50_ms", "p95_ms", "p99_ms"), numbers, strict=True))
