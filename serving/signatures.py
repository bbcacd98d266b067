"""The signatures of an exported model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

import zoo


def write_saved_model(model_path: Path, folder: Path) -> None:
    """Writes a network of the study as a SavedModel.

    Its signature `serving_default` takes

    - `sequence`: float32 `[batch, time, features]`;
    - `lengths`: int32 `[batch]`, frames of each sequence that count,

    and returns

    - `logits`: float32 `[batch, time, outputs]`;
    - `h`, `c`, unless the network also reads backward: float32 `[batch, units]`, the states after
      each sequence's last frame; full gate recurrence also has `gates` `[batch, 3 * units]`.

    Frames at and after a sequence's length change nothing, whatever is in them: TF Serving pads
    with a tensor's first element, not with zero. Logits there are without meaning.

    Args:
        model_path: the `.keras` file.
        folder: where to write; an existing, empty folder.
    """
    model = keras.models.load_model(model_path)
    features = model.inputs[0].shape[-1]
    bidirectional = isinstance(model.get_layer(zoo.networks.RECURRENT), keras.layers.Bidirectional)
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serving_default",
        _logits(model) if bidirectional else _logits_and_states(model, features),
        input_signature=[
            tf.TensorSpec((None, None, features), tf.float32, name="sequence"),
            tf.TensorSpec((None,), tf.int32, name="lengths"),
        ],
    )
    archive.write_out(str(folder), verbose=False)


def _logits(model: keras.Model) -> Callable[[Any, Any], dict[str, Any]]:
    def serving_default(sequence: Any, lengths: Any) -> dict[str, Any]:
        return {"logits": zoo.networks.padded_logits(model, sequence, lengths)}

    return serving_default


def _logits_and_states(
    model: keras.Model, features: int
) -> Callable[[Any, Any], dict[str, Any]]:
    cell = model.get_layer(zoo.networks.RECURRENT).cell
    # The trained layer returns no states; this one shares its cell, and so its weights.
    recurrent = keras.layers.RNN(cell, return_sequences=True, return_state=True)
    output = model.get_layer(zoo.networks.LOGITS)
    # Made outside the endpoint, which must not make variables.
    recurrent.build((None, None, features))

    def serving_default(sequence: Any, lengths: Any) -> dict[str, Any]:
        mask = tf.sequence_mask(lengths, maxlen=tf.shape(sequence)[1])
        hidden, *states = recurrent(sequence, mask=mask)
        names = ("h", "c", "gates")
        return {"logits": output(hidden), **dict(zip(names, states, strict=False))}

    return serving_default
