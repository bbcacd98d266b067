"""Exports in 8-bit integers: what that means to a converter, a check, and a model card.

Weights become int8, one scale a tensor or output. `dynamic` computes in integers with the scale of
each activation found as it comes; `int8` fixes the scales beforehand, from what the network sees
in examples.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from common.errors import InputError
from serving.convert.conversion import Conversion, Runner
from serving.graph.signatures import CHUNK, DEFAULT, STEP

MODES = ("dynamic", "int8")

TOLERANCE = 0.2
"""Largest difference from the Keras model, as `conversion.check` counts it: more is no rounding.

On random sequences the trained models that come with the project differ by up to 0.09, on chorales
by 0.03, and their scores by 0.006 nats.
"""

_SCORES = (
    "validation",
    "test",
    "validation_per_sequence",
    "test_per_sequence",
    "test_grouped",
)
"""What a card says of a model's scores."""


class Data(Protocol):
    """Data of the task that a model was trained for."""

    @property
    def dataset(self) -> Mapping[str, str]:
        """Which data they are: `name`, `sha256`."""

    @property
    def examples(self) -> Sequence[np.ndarray]:
        """Inputs that the model was trained on, float32 `[time, features]`."""

    @property
    def test(self) -> Sequence[np.ndarray]:
        """Inputs that only the final score sees, likewise."""

    def score(self, logits: Sequence[np.ndarray]) -> float:
        """Computes the task's metric from the logits of `test`, `[time, outputs]` each.

        Raises:
            InputError: if the network has other outputs than the task.
        """


@dataclasses.dataclass(frozen=True)
class Quantization:
    """What is wanted.

    Attributes:
        mode: one of `MODES`.
        data: examples, and what measures the score again; `int8` needs it.
    """

    mode: str
    data: Data | None = None

    def examples(self, features: int) -> Sequence[np.ndarray]:
        """What to ask the model, `[time, features]` each: of the data, or random numbers."""
        if self.data is not None:
            return self.data.examples
        return list(np.random.default_rng(0).normal(size=(3, 9, features)).astype(np.float32))


def prepare(conversion: Conversion, quantization: Quantization) -> Conversion:
    """Leaves out the signatures that make features, and says how the others are checked.

    Filters and transforms are not weights.

    Raises:
        InputError: if the data have another width than the network.
    """
    if quantization.data is not None:
        received, expected = quantization.data.test[0].shape[1], conversion.described["inputs"]
        if received != expected:
            raise InputError(
                f"--data: expected sequences of {expected} features, as the model has. "
                f"Received: {received}"
            )
    kept = {n: e for n, e in conversion.endpoints.items() if n in (DEFAULT, STEP, CHUNK)}
    lines = [
        f"left out: signature {name}: its features are not for 8 bits"
        for name in conversion.endpoints
        if name not in kept
    ]
    return dataclasses.replace(
        conversion,
        endpoints=kept,
        left_out=(*conversion.left_out, *lines),
        tolerance=TOLERANCE,
        examples=quantization.examples(conversion.described["inputs"]),
    )


def measure(data: Data, run: Runner) -> float:
    """Measures the score of what a signature `serving_default` answers."""
    logits = []
    for sequence in data.test:
        request = {"sequence": sequence[None], "lengths": np.array([len(sequence)], np.int32)}
        logits.append(np.asarray(run(request)["logits"])[0])
    return data.score(logits)


def measured(
    conversion: Conversion, quantization: Quantization, run: Runner | None
) -> tuple[Conversion, str]:
    """Measures a quantized model, if there are data, and says so.

    Args:
        conversion: the trained model.
        quantization: what was done to it.
        run: runs its signature `serving_default`; None if that was not converted.

    Returns:
        The model with the card of the quantized one, and a line about its score for people.

    Raises:
        InputError: if the data do not fit the model.
    """
    score = None
    if quantization.data is not None and run is not None:
        score = measure(quantization.data, run)
    described = describe(conversion.described, quantization, score)
    return dataclasses.replace(conversion, described=described), report(described)


def describe(
    described: Mapping[str, Any], quantization: Quantization, score: float | None
) -> dict[str, Any]:
    """Makes the card of the quantized model of that of the trained one.

    Args:
        described: the trained model's.
        quantization: what was done.
        score: on the test split of the data; None if there were none.

    Returns:
        The card with the new `test`, or None there: the old scores are not this model's and stand
        in `quantization`, `before`.
    """
    before = {name: described[name] for name in _SCORES if name in described}
    kept = {name: value for name, value in described.items() if name not in before}
    measured = "not measured"
    if score is not None and quantization.data is not None:
        measured = "measured on the test split of {name} [sha256 {sha256:.12}]".format(
            **quantization.data.dataset
        )
    return {
        **kept,
        "test": score,
        "quantization": {"mode": quantization.mode, "score": measured, "before": before},
    }


def report(described: Mapping[str, Any]) -> str:
    """Says the score of a card that `describe` made, for people."""
    score, before = described["test"], described["quantization"]["before"].get("test")
    metric = described.get("metric") or {"name": "score", "unit": ""}
    was = "" if before is None else f"; before quantization {before:.4f}"
    if score is None:
        return f"test {metric['name']}: not measured, --data measures it{was}"
    where = described["quantization"]["score"].removeprefix("measured on ")
    return f"test {metric['name']}: {score:.4f} {metric['unit']} on {where}{was}".replace("  ", " ")


def megabytes(size: int) -> str:
    """Writes a file's size.

    Example:
        >>> megabytes(69_627)
        '0.070 MB'
    """
    return f"{size / 1e6:.3f} MB"


def evenly_spaced(sequences: Sequence[np.ndarray], count: int) -> list[np.ndarray]:
    """Chooses some of the sequences, evenly.

    Example:
        >>> [len(chosen) for chosen in evenly_spaced([np.zeros(n) for n in range(9)], 3)]
        [0, 4, 8]
    """
    places: Collection[int] = np.linspace(0, len(sequences) - 1, count).round().astype(int).tolist()
    return [sequences[place] for place in dict.fromkeys(places)]
