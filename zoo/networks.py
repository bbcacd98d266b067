"""From a cell to the networks of the study's tasks."""

from __future__ import annotations

from typing import Any

import keras

# Whoever reads the networks from files needs the cells too: Keras knows a class that is imported.
import zoo.cells  # noqa: F401
from zoo.layers import RNN

RECURRENT = "recurrent"
"""Name of the recurrent layer in every network."""

LOGITS = "logits"
"""Name of the output layer in every network."""


def next_step(cell: keras.layers.Layer, inputs: int, outputs: int) -> keras.Model:
    """Makes the network that predicts the next frame of a sequence from all frames so far.

        h_t = cell(x_t, h_{t-1}),  logits_t = h_t K + b

    Section 4.3 of the paper (JSB Chorales): one hidden layer, unidirectional, a sigmoid output
    layer. The network returns logits, so that the sigmoid can be taken together with the loss.

    Args:
        cell: a cell for `zoo.RNN`.
        inputs: features of an input frame.
        outputs: outputs a frame.

    Returns:
        A functional model, sequences `(batch, time, inputs)` to logits `(batch, time, outputs)`.
        Its weights are the cell's in the order in which the cell makes them, then kernel and bias
        of the output layer.

    Example:
        >>> import zoo
        >>> zoo.networks.next_step(zoo.VanillaCell(100), inputs=88, outputs=88).count_params()
        84788
    """
    return _network("next_step", cell, inputs, outputs, bidirectional=False)


def framewise(
    cell: keras.layers.Layer, inputs: int, outputs: int, *, bidirectional: bool = True
) -> keras.Model:
    """Makes the network that labels every frame of a sequence.

        f_t = cell(x_t, f_{t-1}),  b_t = cell'(x_t, b_{t+1}),  logits_t = [f_t b_t] K + b

    Section 4.1 of the paper (TIMIT): one hidden layer that reads forward and one that reads
    backward, both into one softmax.

    Args:
        cell: a cell for `zoo.RNN`. Of a bidirectional network it is only the pattern: both
            directions get cells of their own, made from its configuration.
        inputs: features of an input frame.
        outputs: outputs a frame.
        bidirectional: whether there is a layer that reads backward.

    Returns:
        A functional model, sequences `(batch, time, inputs)` to logits `(batch, time, outputs)`.
        Its weights are those of the forward cell, of the backward cell, then kernel (rows of the
        forward units first) and bias of the output layer. A mask `(batch, time)` at the end of
        sequences keeps the backward direction from reading the padding.

    Example:
        >>> import zoo
        >>> zoo.networks.framewise(zoo.VanillaCell(20), inputs=39, outputs=61).count_params()
        12221
    """
    return _network("framewise", cell, inputs, outputs, bidirectional=bidirectional)


def transcription(
    cell: keras.layers.Layer, inputs: int, outputs: int, *, bidirectional: bool = True
) -> keras.Model:
    """Makes the network that transcribes a sequence by connectionist temporal classification.

    Section 4.2 of the paper (IAM-OnDB). The network is that of `framewise`; its last output is the
    blank.

    Args:
        cell: as for `framewise`.
        inputs: features of an input frame.
        outputs: labels and the blank.
        bidirectional: as for `framewise`.

    Returns:
        As `framewise`.

    Example:
        >>> import zoo
        >>> zoo.networks.transcription(zoo.VanillaCell(20), inputs=4, outputs=82).count_params()
        7482
    """
    return _network("transcription", cell, inputs, outputs, bidirectional=bidirectional)


def padded_logits(model: keras.Model, sequences: Any, lengths: Any) -> Any:
    """Computes a network's logits of padded sequences: those of each sequence by itself.

    Args:
        model: one of this module's networks.
        sequences: tensor `(batch, time, inputs)`.
        lengths: integer tensor `(batch,)`; frames from a sequence's length on are padding, whatever
            is in them.

    Returns:
        Tensor `(batch, time, outputs)`; without meaning in the padding.
    """
    mask = keras.ops.arange(keras.ops.shape(sequences)[1]) < keras.ops.expand_dims(lengths, 1)
    hidden = model.get_layer(RECURRENT)(sequences, mask=mask)
    return model.get_layer(LOGITS)(hidden)


def _network(
    name: str, cell: keras.layers.Layer, inputs: int, outputs: int, *, bidirectional: bool
) -> keras.Model:
    sequence = keras.Input((None, inputs), name="sequence")
    recurrent = RNN(cell, return_sequences=True, name=RECURRENT)
    if bidirectional:
        recurrent = keras.layers.Bidirectional(recurrent, merge_mode="concat", name=RECURRENT)
    logits = keras.layers.Dense(outputs, name=LOGITS)(recurrent(sequence))
    return keras.Model(sequence, logits, name=name)
