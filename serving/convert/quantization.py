"""Exports in 8-bit integers: what they mean for a converter, a check, and a model card.

Weights become int8, with one scale per tensor or output. `dynamic` computes in integers and finds
the scale of each activation at run time; `int8` fixes the scales beforehand, from what the network
sees in examples.
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
"""Largest difference from the Keras model, as `conversion.check` computes it.

Rounding alone stays below it: the pretrained models that come with the project differ by up to 0.09
on random sequences and by 0.03 on chorales, and their scores differ by 0.006 nats.
"""

_SCORES = (
    "validation",
    "test",
    "validation_per_sequence",
    "test_per_sequence",
    "test_grouped",
)
"""Fields of a card that hold a model's scores."""


class Data(Protocol):
    """Data of the task that a model was trained for."""

    @property
    def dataset(self) -> Mapping[str, str]:
        """Identity of the data: `name` and `sha256`."""

    @property
    def examples(self) -> Sequence[np.ndarray]:
        """Inputs that the model was trained on, float32 `[time, features]`."""

    @property
    def test(self) -> Sequence[np.ndarray]:
        """Inputs that only the final score uses, float32 `[time, features]`."""

    def score(self, logits: Sequence[np.ndarray]) -> float:
        """Computes the task's metric from the logits of `test`, `[time, outputs]` each.

        Raises:
            InputError: if the network and the task have different numbers of outputs.
        """


@dataclasses.dataclass(frozen=True)
class Quantization:
    """The requested quantization.

    Attributes:
        mode: one of `MODES`.
        data: examples, and test data to measure the score again; required by `int8`.
    """

    mode: str
    data: Data | None = None

    def examples(self, features: int) -> Sequence[np.ndarray]:
        """Returns inputs for checks, `[time, features]` each: from the data, or random numbers."""
        if self.data is not None:
            return self.data.examples
        return list(np.random.default_rng(0).normal(size=(3, 9, features)).astype(np.float32))


def prepare(conversion: Conversion, quantization: Quantization) -> Conversion:
    """Leaves out the signatures that compute features, and sets how the others are checked.

    Filters and transforms are not weights.

    Raises:
        InputError: if the data and the network have different numbers of features.
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
    """Measures the score of a converted `serving_default` on the test split of the data."""
    logits = []
    for sequence in data.test:
        request = {"sequence": sequence[None], "lengths": np.array([len(sequence)], np.int32)}
        logits.append(np.asarray(run(request)["logits"])[0])
    return data.score(logits)


def measured(
    conversion: Conversion, quantization: Quantization, run: Runner | None
) -> tuple[Conversion, str]:
    """Measures the score of a quantized model, if there are data, and puts it into the card.

    Args:
        conversion: the trained model.
        quantization: how it was quantized.
        run: runs the quantized `serving_default`; None if that was not converted.

    Returns:
        The model with the card of the quantized one, and a line about its score for people.

    Raises:
        InputError: if the data do not match the model.
    """
    score = None
    if quantization.data is not None and run is not None:
        score = measure(quantization.data, run)
    described = describe(conversion.described, quantization, score)
    return dataclasses.replace(conversion, described=described), report(described)


def describe(
    described: Mapping[str, Any], quantization: Quantization, score: float | None
) -> dict[str, Any]:
    """Makes the card of a quantized model from that of the trained one.

    Args:
        described: card of the trained model.
        quantization: how the model was quantized.
        score: score on the test split of the data; None if there are no data.

    Returns:
        The card with the new score as `test`, or None there: the old scores are not those of the
        quantized model and are moved to `quantization`, `before`.
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
    """Formats the score in a card that `describe` made, for people."""
    score, before = described["test"], described["quantization"]["before"].get("test")
    metric = described.get("metric") or {"name": "score", "unit": ""}
    was = "" if before is None else f"; before quantization {before:.4f}"
    if score is None:
        return f"test {metric['name']}: not measured, --data measures it{was}"
    where = described["quantization"]["score"].removeprefix("measured on ")
    return f"test {metric['name']}: {score:.4f} {metric['unit']} on {where}{was}".replace("  ", " ")


def megabytes(size: int) -> str:
    """Formats a file size.

    Example:
        >>> megabytes(69_627)
        '0.070 MB'
    """
    return f"{size / 1e6:.3f} MB"


def evenly_spaced(sequences: Sequence[np.ndarray], count: int) -> list[np.ndarray]:
    """Chooses evenly spaced sequences.

    Example:
        >>> [len(chosen) for chosen in evenly_spaced([np.zeros(n) for n in range(9)], 3)]
        [0, 4, 8]
    """
    places: Collection[int] = np.linspace(0, len(sequences) - 1, count).round().astype(int).tolist()
    return [sequences[place] for place in dict.fromkeys(places)]
