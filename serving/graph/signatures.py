"""The signatures of an exported model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from common.errors import InputError, one_line
from serving.graph.decoding import DECODINGS
from serving.graph.inference import Network, of_as_many_rows
from serving.runtime import saved_model
from serving.runtime.specs import DEFAULT_SIGNATURE, Signature

Tensor = Any
Answer = dict[str, Tensor]
"""Outputs of a signature by name."""

DEFAULT, STEP, CHUNK = DEFAULT_SIGNATURE, "step", "chunk"


@dataclasses.dataclass(frozen=True)
class Meaning:
    """The meaning of a network's inputs and outputs; empty if a card does not state it.

    Attributes:
        head: kind of the outputs, a key of `decoding.DECODINGS` or any other.
        labels: names of the outputs; for head `ctc` without the blank, which is the last. May be
            empty.
        frontend: the layer of `zoo.frontends` that computes features from raw input, as serialized
            by `keras.saving.serialize_keras_object`.
    """

    head: str = ""
    labels: Sequence[str] = ()
    frontend: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, card: Mapping[str, Any]) -> Meaning:
        """Reads a model's card, which may be an older one without some of these fields."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: card[name] for name in names if card.get(name) is not None})


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """A function that becomes a signature.

    Attributes:
        function: maps the inputs, in order, to the outputs by name.
        inputs: type, shape and name of each input.
    """

    function: Callable[..., Answer]
    inputs: Sequence[tf.TensorSpec]


def endpoints(network: Network, meaning: Meaning, batch: int | None = None) -> dict[str, Endpoint]:
    """Makes the functions of a network, by the name of their signature.

    `serving_default` accepts

    - `sequence`: float32 `[batch, time, features]`, the features that the network was trained on;
    - `lengths`: int32 `[batch]`, the number of valid frames in each sequence,

    and returns

    - `logits`: float32 `[batch, time, outputs]`;
    - `h`, `c`, unless the network also reads backward: float32 `[batch, units]`, the states after
      each sequence's last frame; full gate recurrence also has `gates` `[batch, 3 * units]`;
    - if there are labels, the output of `serving.graph.decoding.DECODINGS` for the head: `text`,
      string `[batch]`, or `classes`, string `[batch, time]`.

    Unless the network also reads backward, there are two more signatures, which resume where an
    earlier call ended; the states before a first frame are zeros:

    - `step` accepts `frame`, float32 `[batch, features]`, and the states, and returns `logits`
      `[batch, outputs]`, the states as `next_h`, `next_c` (`next_gates`), and `classes`, string
      `[batch]`, if `serving_default` has them;
    - `chunk` accepts the inputs of `serving_default` and the states, and returns `logits` `[batch,
      time, outputs]`, the states as `step` does, and `classes` as `serving_default` does.

    If there is a front end, one more signature has the name of its raw input. It accepts that
    input, float32 `[batch, time, ...]`, and `lengths` in raw frames, computes the features in the
    graph, and returns the outputs of `serving_default` and `frames`, int32 `[batch]`, the number of
    frames in each sequence's outputs.

    Values at and after a sequence's length have no effect, whatever they are: TF Serving pads with
    a tensor's first element, not with zero. Logits there are meaningless. No name is both an input
    and an output of a signature, since tf2onnx does not accept that.

    Args:
        network: the network.
        meaning: meaning of its inputs and outputs.
        batch: fixed batch size; None for a free one.

    Raises:
        InputError: if the number of labels is wrong, or the class of the front end is unknown.
    """
    outputs = network.output.units
    decoding = DECODINGS.get(meaning.head) if meaning.labels else None
    if decoding and len(meaning.labels) != outputs - decoding.unlabeled:
        raise InputError(
            f"card of the model: expected {outputs - decoding.unlabeled} labels for {outputs} "
            f"outputs of head {meaning.head}. Received: {len(meaning.labels)}"
        )
    names = list(network.forward.widths)

    def decoded(logits: Tensor, lengths: Tensor) -> Answer:
        if decoding is None:
            return {}
        return {decoding.name: decoding.decode(logits, lengths, meaning.labels)}

    def classes(logits: Tensor, lengths: Tensor) -> Answer:
        # A transcription needs the whole sequence.
        return decoded(logits, lengths) if meaning.head == "softmax" else {}

    def whole(sequence: Tensor, lengths: Tensor) -> Answer:
        logits, states = network.sequences(sequence, lengths)
        last = {} if network.backward else dict(zip(names, states, strict=True))
        return {"logits": logits, **last, **decoded(logits, lengths)}

    def chunk(sequence: Tensor, lengths: Tensor, *states: Tensor) -> Answer:
        logits, after = network.sequences(sequence, lengths, states)
        return {"logits": logits, **_next(names, after), **classes(logits, lengths)}

    def step(frame: Tensor, *states: Tensor) -> Answer:
        logits, after = network.frame(frame, states)
        one = classes(logits[:, None], tf.ones_like(logits[:, 0], tf.int32))
        named = {name: value[:, 0] for name, value in one.items()}
        return {"logits": logits, **_next(names, after), **named}

    def raw(frontend: Any) -> Callable[..., Answer]:
        def answer(given: Tensor, lengths: Tensor) -> Answer:
            features, frames = frontend(of_as_many_rows(given, lengths), lengths)
            return {**whole(features, frames), "frames": frames}

        return answer

    sequence = _inputs("sequence", batch, network.inputs)
    states = [
        tf.TensorSpec((batch, width), tf.float32, name=name)
        for name, width in network.forward.widths.items()
    ]
    frame = tf.TensorSpec((batch, network.inputs), tf.float32, name="frame")
    found = {DEFAULT: Endpoint(whole, sequence)}
    if network.backward is None:
        found[STEP] = Endpoint(step, [frame, *states])
        found[CHUNK] = Endpoint(chunk, [*sequence, *states])
    if meaning.frontend is not None:
        frontend = _frontend(meaning.frontend)
        name = frontend.raw_name
        found[name] = Endpoint(raw(frontend), _inputs(name, batch, *frontend.raw_shape))
    return found


def _next(names: Sequence[str], states: Sequence[Tensor]) -> Answer:
    return {f"next_{name}": state for name, state in zip(names, states, strict=True)}


def _inputs(name: str, batch: int | None, *frame: int) -> list[tf.TensorSpec]:
    return [
        tf.TensorSpec((batch, None, *frame), tf.float32, name=name),
        tf.TensorSpec((batch,), tf.int32, name="lengths"),
    ]


def write_saved_model(
    model: keras.Model, found: Mapping[str, Endpoint], folder: Path
) -> dict[str, Signature]:
    """Writes a SavedModel whose operations do not require a certain device, XLA, or Python.

    Args:
        model: the model whose weights the endpoints use.
        found: the endpoints, `serving_default` first.
        folder: folder to write to; must exist and be empty.

    Returns:
        The signatures, as they are in the file.
    """
    variables = [variable.value for variable in model.variables]
    # Ignores the caller's device, because a server may have none of that name.
    with tf.device(None):
        # Traced here, because TensorFlow would trace twice while saving.
        traced = {
            name: tf.function(
                endpoint.function, list(endpoint.inputs), autograph=False
            ).get_concrete_function()
            for name, endpoint in found.items()
        }
        # A front end may have variables, too.
        known = set(map(id, variables))
        others = {id(v): v for function in traced.values() for v in function.variables}
        variables += sorted((others[key] for key in others.keys() - known), key=lambda v: v.name)
        root = tf.train.Checkpoint(variables=variables, **traced)
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(root, str(folder), traced, options)
    return saved_model.read_signatures(folder)


def _frontend(config: Mapping[str, Any]) -> Any:
    name = config.get("registered_name") or config.get("class_name")
    problem = InputError(
        one_line(
            f"card of the model: expected a front end of zoo.frontends, or one whose module is "
            f"imported and registers it with Keras. Received: {name}"
        )
    )
    try:
        frontend = keras.saving.deserialize_keras_object(dict(config))
    except Exception as error:
        # An invalid configuration can fail anywhere in Keras.
        raise problem from error
    if not all(hasattr(frontend, part) for part in ("raw_name", "raw_shape", "__call__")):
        raise problem
    return frontend
