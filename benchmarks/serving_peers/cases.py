"""Requests with their right answers, as files that every process of a benchmark reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
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

    def error(self, answer: Arrays) -> float:
        """The largest absolute difference between an answer and the right one.

        A server that puts sequences of different lengths into one batch answers all with as many
        frames as the longest has: frames that were not asked for do not count.

        Args:
            answer: arrays by name; more than are compared may be there.

        Returns:
            The difference; infinite if an output is missing, has another shape, or is not finite.

        Example:
            >>> case = Case({}, {"logits": np.array([[1.0, 2.0]])})
            >>> case.error({"logits": np.array([[1.0, 2.5]]), "h": np.zeros(3)})
            0.5
            >>> case.error({"logits": np.array([1.0, 2.0])})
            inf
            >>> Case({}, {"logits": np.zeros((1, 2, 3))}).error({"logits": np.zeros((1, 9, 3))})
            0.0
        """
        worst = 0.0
        for name, wanted in self.outputs.items():
            found = answer.get(name)
            if found is not None and found.ndim > 2:
                found = found[:, : wanted.shape[1]]
            if found is None or found.shape != wanted.shape or not np.isfinite(found).all():
                return float("inf")
            worst = max(worst, float(np.abs(found - wanted).max()))
        return worst


Cases = Mapping[str, Sequence[Case]]
"""Cases by signature."""


def save(path: Path, cases: Cases) -> None:
    """Writes cases to an `.npz` file."""
    arrays = {
        f"{signature}/{number}/{side}/{name}": array
        for signature, several in cases.items()
        for number, case in enumerate(several)
        for side, named in (("inputs", case.inputs), ("outputs", case.outputs))
        for name, array in named.items()
    }
    np.savez(path, allow_pickle=False, **arrays)


def load(path: Path) -> dict[str, list[Case]]:
    """Reads what `save` wrote."""
    found: dict[str, dict[int, dict[str, dict[str, npt.NDArray[Any]]]]] = {}
    with np.load(path) as arrays:
        for key in arrays.files:
            signature, number, side, name = key.split("/")
            sides = found.setdefault(signature, {}).setdefault(
                int(number), {"inputs": {}, "outputs": {}}
            )
            sides[side][name] = arrays[key]
    return {
        signature: [Case(**several[number]) for number in sorted(several)]
        for signature, several in found.items()
    }
