"""What all conversions share: the functions to convert, and the check of the result."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from common import files
from common.errors import InputError
from serving.graph.decoding import DECODINGS
from serving.graph.inference import Network
from serving.graph.signatures import CHUNK, DEFAULT, STEP, Endpoint, Meaning, endpoints
from serving.publish import model_card, versions
from serving.publish.sources import Source

Runner = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]
"""Runs a converted signature."""

STEPS = 4
"""Time steps per iteration of the loop over time.

More steps run faster but take longer to convert: for 100 units and 100 frames, ONNX Runtime needs
2.8 ms with 1, 1.8 ms with 4 and 1.5 ms with 10, and tf2onnx 1.2 s, 1.9 s and 2.9 s.
"""

TOLERANCE, RAW_TOLERANCE = 1e-5, 1e-4
"""Largest difference from the Keras model; the second one is for signatures that compute features
from raw input, since every runtime computes logarithms and Fourier transforms in its own way."""

_EACH_FRAME = ("logits", "classes")
"""Outputs with a value per frame, which are meaningless after the end of a sequence."""


@dataclasses.dataclass(frozen=True)
class Conversion:
    """A model prepared for conversion.

    Attributes:
        model: the model.
        endpoints: functions of the model, by name of the signature.
        described: card of the model.
        left_out: a line for each part that is not converted; it says what and why.
        tolerance: largest difference that `check` accepts; None for that of exact conversions.
        examples: sequences `[time, features]` whose beginnings `check` runs; None for random
            sequences.
    """

    model: keras.Model
    endpoints: Mapping[str, Endpoint]
    described: Mapping[str, Any]
    left_out: tuple[str, ...]
    tolerance: float | None = None
    examples: Sequence[np.ndarray] | None = None

    def endpoint(self, name: str) -> Endpoint:
        """Returns the function of a signature.

        Raises:
            InputError: if the model has no signature of that name.
        """
        if name not in self.endpoints:
            raise InputError(
                f"model: expected one with the signature {name}. "
                f"Received: {', '.join(self.endpoints)}"
            )
        return self.endpoints[name]


def require(module: str, extra: str) -> None:
    """Checks that a package is installed.

    Raises:
        InputError: if the module cannot be found.
    """
    if importlib.util.find_spec(module) is None:
        raise InputError(
            f"--format={extra}: expected the package {module} (the extra [{extra}]). "
            "Received: an environment without it"
        )


def prepare(source: Source, *, batch: int | None, without: Collection[str]) -> Conversion:
    """Loads a model and makes its functions.

    Args:
        source: where the model comes from.
        batch: fixed batch size; None for a free one.
        without: heads whose outputs are not decoded, because their strings cannot be converted.

    Raises:
        InputError: if the model is not one of `zoo.networks`, or the card does not match it.
    """
    model = versions.load(source)
    network = Network.of(model, str(source.keras_file), STEPS)
    meaning = Meaning.of(source.card)
    left_out = []
    if meaning.labels and meaning.head in without:
        name = DECODINGS[meaning.head].name
        left_out.append(f"left out: output {name}, strings that the format cannot make")
        meaning = dataclasses.replace(meaning, labels=())
    return Conversion(
        model,
        endpoints(network, meaning, batch),
        model_card.describe(source, model, network),
        tuple(left_out),
    )


def write_card(conversion: Conversion, path: Path) -> Path:
    """Writes the card, `NAME.model_card.json`, next to the converted file; returns its path."""
    card = path.with_name(f"{path.stem}.{model_card.JSON}")
    files.write_text(card, model_card.as_json(conversion.described))
    return card


def check(conversion: Conversion, name: str, run: Runner) -> float:
    """Compares a converted signature with the Keras model, on sequences of several lengths.

    Args:
        conversion: the model.
        name: name of the signature.
        run: runs the converted signature.

    Returns:
        The largest difference.

    Raises:
        InputError: if the difference is too large, or the outputs have other names.
    """
    endpoint = conversion.endpoints[name]
    limit = conversion.tolerance or (TOLERANCE if name in (DEFAULT, STEP, CHUNK) else RAW_TOLERANCE)
    generator = np.random.default_rng(0)
    worst = 0.0
    for batch, time in ((1, 1), (endpoint.inputs[0].shape[0] or 3, 9)):
        request = _request(endpoint, batch, time, generator)
        if conversion.examples is not None:
            request = {**request, **_beginnings(endpoint, conversion.examples, batch, time)}
        tensors = map(tf.constant, request.values())
        expected = {key: np.asarray(value) for key, value in endpoint.function(*tensors).items()}
        if name == DEFAULT:
            expected["logits"] = _by_keras(conversion.model, request, expected["logits"])
        answer = run(request)
        if set(answer) != set(expected):
            raise _refused(name, ", ".join(sorted(expected)), ", ".join(sorted(answer)))
        frames = expected.get("frames", request.get("lengths"))
        for key, value in expected.items():
            counted = frames if key in _EACH_FRAME else None
            worst = max(worst, _difference(np.asarray(answer[key]), value, counted))
    if not worst <= limit:
        raise _refused(name, f"at most {limit:g} from the Keras model", f"{worst:.2g}")
    return worst


def _request(
    endpoint: Endpoint, batch: int, time: int, generator: np.random.Generator
) -> dict[str, np.ndarray]:
    request = {}
    for spec in endpoint.inputs:
        # A sequence of single numbers is audio: draw enough for some frames, as loud as speech.
        audio = spec.shape.rank == 2 and spec.shape[1] is None
        free = (batch, 400 * time if audio else time)
        sizes = [free[axis] if size is None else size for axis, size in enumerate(spec.shape)]
        drawn = generator.normal(scale=1_000 if audio else 1, size=sizes)
        request[spec.name] = drawn.astype(spec.dtype.as_numpy_dtype)
    if "lengths" in request:
        longest = request[endpoint.inputs[0].name].shape[1]
        request["lengths"] = generator.integers(longest // 2, longest + 1, batch).astype(np.int32)
        request["lengths"][0] = longest
    return request


def _beginnings(
    endpoint: Endpoint, examples: Sequence[np.ndarray], batch: int, time: int
) -> dict[str, np.ndarray]:
    """Makes inputs from the beginnings of examples; the states are those before a first frame."""
    rows = [examples[row % len(examples)] for row in range(batch)]
    sequence = np.stack([np.resize(row, (time, row.shape[1])) for row in rows])
    states = {
        spec.name: np.zeros((batch, spec.shape[1]), np.float32)
        for spec in endpoint.inputs
        if spec.name not in ("sequence", "frame", "lengths")
    }
    asked = {"sequence": sequence, "frame": sequence[:, 0]}
    return states | {spec.name: asked[spec.name] for spec in endpoint.inputs if spec.name in asked}


def _by_keras(
    model: keras.Model, request: Mapping[str, np.ndarray], logits: np.ndarray
) -> np.ndarray:
    """Replaces logits with those of the Keras model for each sequence on its own."""
    logits = logits.copy()
    for row, length in enumerate(request["lengths"]):
        if length:
            alone = request["sequence"][row : row + 1, :length]
            logits[row, :length] = keras.ops.convert_to_numpy(model(alone))[0]
    return logits


def _difference(answer: np.ndarray, expected: np.ndarray, frames: np.ndarray | None) -> float:
    """Computes the largest difference, relative to the largest expected number if above 1."""
    if answer.shape != expected.shape:
        return np.inf
    parts = [(answer, expected)]
    if frames is not None:
        rows = zip(answer, expected, frames, strict=True)
        parts = [(a[:count], e[:count]) for a, e, count in rows]
    if expected.dtype == object:
        return 0.0 if all(_texts(a) == _texts(e) for a, e in parts) else np.inf
    differences = [np.max(np.abs(a - e), initial=0.0) for a, e in parts]
    largest = max(np.max(np.abs(e), initial=1.0) for _, e in parts)
    return float(np.max(differences) / largest)


def _texts(strings: np.ndarray) -> list[str]:
    return [text.decode() if isinstance(text, bytes) else str(text) for text in strings.ravel()]


def _refused(name: str, expected: str, received: str) -> InputError:
    return InputError(
        f"--format: expected of the converted signature {name}: {expected}. Received: {received}"
    )
