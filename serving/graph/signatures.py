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
    """What goes into a network and what its outputs stand for; of a card that says nothing, none.

    Attributes:
        head: what kind of outputs they are, a key of `decoding.DECODINGS` or any other.
        labels: what they are called; of head `ctc` without the blank, which is the last. May be
            empty.
        frontend: the layer of `zoo.frontends` that makes features of raw input, as
            `keras.saving.serialize_keras_object` writes it.
    """

    head: str = ""
    labels: Sequence[str] = ()
    frontend: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, card: Mapping[str, Any]) -> Meaning:
        """Reads the card of a model, also one that was written before cards had all of these."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: card[name] for name in names if card.get(name) is not None})


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """A function that becomes a signature.

    Attributes:
        function: takes the inputs in order, returns the outputs by name.
        inputs: type, shape and name of each input.
    """

    function: Callable[..., Answer]
    inputs: Sequence[tf.TensorSpec]


def endpoints(network: Network, meaning: Meaning, batch: int | None = None) -> dict[str, Endpoint]:
    """Makes the functions of a network, by the name of their signature.

    `serving_default` takes

    - `sequence`: float32 `[batch, time, features]`, the features that the network was trained on;
    - `lengths`: int32 `[batch]`, frames of each sequence that count,

    and returns

    - `logits`: float32 `[batch, time, outputs]`;
    - `h`, `c`, unless the network also reads backward: float32 `[batch, units]`, the states after
      each sequence's last frame; full gate recurrence also has `gates` `[batch, 3 * units]`;
    - what `serving.graph.decoding.DECODINGS` has for the head, if there are labels: `text`, string
      `[batch]`, or `classes`, string `[batch, time]`.

    Unless the network also reads backward, there are two more, which go on where a call before has
    ended; zeros are the states before a first frame:

    - `step` takes `frame`, float32 `[batch, features]`, and the states, and returns `logits`
      `[batch, outputs]`, the states as `next_h`, `next_c` (`next_gates`), and `classes`, string
      `[batch]`, if `serving_default` has them;
    - `chunk` takes what `serving_default` takes and the states, and returns `logits` `[batch, time,
      outputs]`, the states as `step` does, and `classes` as `serving_default` does.

    If there is a front end, one more has the name of its raw input. It takes that input, float32
    `[batch, time, ...]`, and `lengths` in raw frames, makes the features in the graph, and returns
    what `serving_default` does and `frames`, int32 `[batch]`, frames of each sequence's outputs.

    What stands at and after a sequence's length changes nothing, whatever it is: TF Serving pads
    with a tensor's first element, not with zero. Logits there are without meaning. No name is both
    an input and an output of a signature: tf2onnx takes no such model.

    Args:
        network: the network.
        meaning: of its inputs and outputs.
        batch: size of the batch, if it is to be a fixed one.

    Raises:
        InputError: if the labels are too few or too many, or the class of the front end is
            unknown.
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
        # A text needs all of its sequence.
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
    """Writes a SavedModel; no operation of it asks for a certain device, for XLA, or for Python.

    Args:
        model: whose weights the endpoints use.
        found: the endpoints, `serving_default` first.
        folder: where to write; an existing, empty folder.

    Returns:
        The signatures, as they are in the file.
    """
    variables = [variable.value for variable in model.variables]
    # Whatever device the caller has chosen: a server may have none of that name.
    with tf.device(None):
        # Traced here: what is not, TensorFlow traces twice while it saves.
        traced = {
            name: tf.function(
                endpoint.function, list(endpoint.inputs), autograph=False
            ).get_concrete_function()
            for name, endpoint in found.items()
        }
        # A front end may have some too.
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
        # What is no configuration can fail in any layer of Keras.
        raise problem from error
    if not all(hasattr(frontend, part) for part in ("raw_name", "raw_shape", "__call__")):
        raise problem
    return frontend
