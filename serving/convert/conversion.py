"""What every conversion shares: the functions to convert, and the check of the result."""

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
"""Steps that the loop over time takes in an iteration.

More run faster, and take longer to convert: of 100 units and 100 frames, ONNX Runtime needs 2.8 ms
with 1, 1.8 ms with 4 and 1.5 ms with 10, and tf2onnx 1.2 s, 1.9 s and 2.9 s.
"""

TOLERANCE, RAW_TOLERANCE = 1e-5, 1e-4
"""Largest difference from the Keras model; and where features are made of raw input, whose
logarithms and Fourier transforms every runtime computes in its own way."""

_EACH_FRAME = ("logits", "classes")
"""Outputs that have something for each frame, and nothing to say after a sequence's end."""


@dataclasses.dataclass(frozen=True)
class Conversion:
    """A model ready to be converted.

    Attributes:
        model: the model.
        endpoints: its functions, by name of the signature.
        described: its card.
        left_out: for each thing that is not converted a line that says what and why.
        tolerance: largest difference in `check`; None for those of exact conversions.
        examples: sequences `[time, features]` that `check` asks, from their beginning; None for
            random ones.
    """

    model: keras.Model
    endpoints: Mapping[str, Endpoint]
    described: Mapping[str, Any]
    left_out: tuple[str, ...]
    tolerance: float | None = None
    examples: Sequence[np.ndarray] | None = None

    def endpoint(self, name: str) -> Endpoint:
        """Finds the function of a signature.

        Raises:
            InputError: if the model has none of that name.
        """
        if name not in self.endpoints:
            raise InputError(
                f"model: expected one with the signature {name}. "
                f"Received: {', '.join(self.endpoints)}"
            )
        return self.endpoints[name]


def require(module: str, extra: str) -> None:
    """Refuses to go on without a package.

    Raises:
        InputError: if the module cannot be imported.
    """
    if importlib.util.find_spec(module) is None:
        raise InputError(
            f"--format={extra}: expected the package {module} (the extra [{extra}]). "
            "Received: an environment without it"
        )


def prepare(source: Source, *, batch: int | None, without: Collection[str]) -> Conversion:
    """Loads a model and makes its functions.

    Args:
        source: where it comes from.
        batch: size of the batch, if it is to be a fixed one.
        without: heads whose outputs are not to be decoded: their strings do not convert.

    Raises:
        InputError: if the model is none of `zoo.networks`, or the card does not fit it.
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
    """Writes the model card beside what was converted, `NAME.model_card.json`, which it returns."""
    card = path.with_name(f"{path.stem}.{model_card.JSON}")
    files.write_text(card, model_card.as_json(conversion.described))
    return card


def check(conversion: Conversion, name: str, run: Runner) -> float:
    """Compares a converted signature with the Keras model, on sequences of several lengths.

    Args:
        conversion: the model.
        name: of the signature.
        run: runs the result.

    Returns:
        The largest difference.

    Raises:
        InputError: if it is too large, or outputs are missing.
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
        # A sequence of single numbers is audio: some frames of it, as loud as speech.
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
    """Asks how examples begin; states are those before a first frame."""
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
    """Replaces logits by those that the model has for each sequence by itself."""
    logits = logits.copy()
    for row, length in enumerate(request["lengths"]):
        if length:
            alone = request["sequence"][row : row + 1, :length]
            logits[row, :length] = keras.ops.convert_to_numpy(model(alone))[0]
    return logits


def _difference(answer: np.ndarray, expected: np.ndarray, frames: np.ndarray | None) -> float:
    """Finds the largest difference, in units of the largest number if that is above 1."""
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
