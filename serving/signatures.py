"""The signatures of an exported model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

import zoo
from serving.command_line import InputError
from serving.decoding import DECODINGS

Answer = dict[str, Any]
"""Outputs of a signature by name."""


@dataclasses.dataclass(frozen=True)
class Meaning:
    """What goes into a network and what its outputs stand for; of a card that says nothing, none.

    Attributes:
        head: what kind of outputs they are, a key of `serving.decoding.DECODINGS` or any other.
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
        return cls(**{name: card[name] for name in names if name in card})


def write_saved_model(model_path: Path, folder: Path, meaning: Meaning) -> None:
    """Writes a network of the study as a SavedModel.

    Its signature `serving_default` takes

    - `sequence`: float32 `[batch, time, features]`, the features that the network was trained on;
    - `lengths`: int32 `[batch]`, frames of each sequence that count,

    and returns

    - `logits`: float32 `[batch, time, outputs]`;
    - `h`, `c`, unless the network also reads backward: float32 `[batch, units]`, the states after
      each sequence's last frame; full gate recurrence also has `gates` `[batch, 3 * units]`;
    - what `serving.decoding.DECODINGS` has for the head, if there are labels: `text`, string
      `[batch]`, or `classes`, string `[batch, time]`.

    If there is a front end, a second signature has the name of its raw input. It takes that input,
    float32 `[batch, time, ...]`, and `lengths` in raw frames, makes the features in the graph, and
    returns the same and `frames`, int32 `[batch]`, frames of each sequence's outputs. (Not
    `lengths`: tf2onnx takes no model whose inputs and outputs share a name.)

    What stands at and after a sequence's length changes nothing, whatever it is: TF Serving pads
    with a tensor's first element, not with zero. Logits there are without meaning.

    Args:
        model_path: the `.keras` file.
        folder: where to write; an existing, empty folder.
        meaning: of the network's inputs and outputs.

    Raises:
        InputError: if the labels are too few or too many, or nobody knows the class of the front
            end.
    """
    model = keras.models.load_model(model_path)
    answer = _answer(model, meaning)
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serving_default", answer, _inputs("sequence", model.inputs[0].shape[2:])
    )
    if meaning.frontend is not None:
        frontend = _frontend(meaning.frontend)
        archive.add_endpoint(
            frontend.raw_name,
            lambda raw, lengths: _answer_to_raw(frontend, answer, raw, lengths),
            _inputs(frontend.raw_name, frontend.raw_shape),
        )
    # Gradients, which nobody asks a server for, would be a third of the graph.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    archive.write_out(str(folder), options=options, verbose=False)


def _inputs(name: str, frame: Sequence[int]) -> list[tf.TensorSpec]:
    return [
        tf.TensorSpec((None, None, *frame), tf.float32, name=name),
        tf.TensorSpec((None,), tf.int32, name="lengths"),
    ]


def _answer(model: keras.Model, meaning: Meaning) -> Callable[[Any, Any], Answer]:
    """Makes the function from features and lengths to all outputs."""
    bidirectional = isinstance(model.get_layer(zoo.networks.RECURRENT), keras.layers.Bidirectional)
    compute = _logits(model) if bidirectional else _logits_and_states(model)
    decoding = DECODINGS.get(meaning.head)
    if not meaning.labels or decoding is None:
        return compute
    outputs = model.outputs[0].shape[-1]
    if len(meaning.labels) != outputs - decoding.unlabeled:
        raise InputError(
            f"card of the model: expected {outputs - decoding.unlabeled} labels for {outputs} "
            f"outputs of head {meaning.head}. Received: {len(meaning.labels)}"
        )

    def decoded(sequence: Any, lengths: Any) -> Answer:
        answer = compute(sequence, lengths)
        return {**answer, decoding.name: decoding.decode(answer["logits"], lengths, meaning.labels)}

    return decoded


def _answer_to_raw(
    frontend: Any, answer: Callable[[Any, Any], Answer], raw: Any, lengths: Any
) -> Answer:
    features, frames = frontend(raw, lengths)
    return {**answer(features, frames), "frames": frames}


def _frontend(config: Mapping[str, Any]) -> Any:
    try:
        return keras.saving.deserialize_keras_object(dict(config))
    except (TypeError, ValueError) as error:
        name = config.get("registered_name") or config.get("class_name")
        raise InputError(
            f"card of the model: expected a front end of zoo.frontends, or one whose module is "
            f"imported and registers it with Keras. Received: {name}"
        ) from error


def _logits(model: keras.Model) -> Callable[[Any, Any], Answer]:
    def compute(sequence: Any, lengths: Any) -> Answer:
        return {"logits": zoo.networks.padded_logits(model, sequence, lengths)}

    return compute


def _logits_and_states(model: keras.Model) -> Callable[[Any, Any], Answer]:
    # The trained layer returns no states; this one shares its cell, and so its weights.
    cell = model.get_layer(zoo.networks.RECURRENT).cell
    recurrent = zoo.RNN(cell, return_sequences=True, return_state=True)
    output = model.get_layer(zoo.networks.LOGITS)
    # Made outside the endpoint, which must not make variables.
    recurrent.build((None, None, model.inputs[0].shape[-1]))

    def compute(sequence: Any, lengths: Any) -> Answer:
        mask = tf.sequence_mask(lengths, maxlen=tf.shape(sequence)[1])
        hidden, *states = recurrent(sequence, mask=mask)
        names = ("h", "c", "gates")
        return {"logits": output(hidden), **dict(zip(names, states, strict=False))}

    return compute
