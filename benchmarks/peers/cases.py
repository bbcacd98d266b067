"""Requests with their correct responses, in a file for every process, and response times."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

TOLERANCE = 1e-5
"""Maximum error of a response."""

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class Case:
    """A request and the correct response.

    Attributes:
        inputs: arrays by the names of the signature's inputs, the batch dimension first.
        outputs: arrays by the names of those outputs that are compared.
    """

    inputs: Arrays
    outputs: Arrays

    def check(self, answer: Arrays) -> None:
        """Compares a response with the correct one.

        A server that puts sequences of different lengths into one batch responds to all with as
        many frames as the longest has: additional frames are ignored.

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
"""Cases by signature, pickled in files."""


def summary(durations: Sequence[float], seconds: float) -> dict[str, float]:
    """Computes the requests answered per second, and percentiles of the latency in milliseconds.

    Raises:
        ValueError: if no request was answered.
    """
    if not durations:
        raise ValueError(f"no request was answered in {seconds:.1f} s")
    percentiles = 1e3 * np.percentile(durations, [50, 95, 99])
    numbers = [len(durations) / seconds, *(round(float(value), 6) for value in percentiles)]
    return dict(zip(("requests_per_second", "p50_ms", "p95_ms", "p99_ms"), numbers, strict=True))
