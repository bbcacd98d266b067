"""Networks of the study, built from a cell."""

from __future__ import annotations

from typing import Any

import keras

# Loading a network from a file needs the cells: Keras finds only classes that are imported.
import zoo.cells  # noqa: F401
from zoo.adaptive_cell import DepthAdaptiveCell
from zoo.adaptive_layer import AdaptiveRNN
from zoo.layers import RNN

RECURRENT = "recurrent"
"""Name of the recurrent layer in every network."""

LOGITS = "logits"
"""Name of the output layer in every network."""


def network(
    cell: keras.layers.Layer,
    inputs: int,
    outputs: int,
    *,
    bidirectional: bool = False,
    ponder_price: float = 0.0,
    name: str = "network",
) -> keras.Model:
    """Builds a network with one hidden layer from a cell.

        f_t = cell(x_t, f_{t-1}),  b_t = cell'(x_t, b_{t+1}),  logits_t = [f_t b_t] K + b

    As in section 4 of the paper: without the backward layer, it predicts the next frame from all
    frames so far (JSB Chorales); with it, it labels every frame (TIMIT) or transcribes by
    connectionist temporal classification, where the last output is the blank (IAM-OnDB). It returns
    logits, so that the sigmoid or softmax can be computed together with the loss.

    Args:
        cell: a cell for `zoo.RNN`. For a bidirectional network, it is only a template: each
            direction gets its own cell, created from the configuration of this one.
        inputs: number of features per input frame.
        outputs: number of outputs per frame.
        bidirectional: whether to add a layer that reads backward.
        ponder_price: what an inner step adds to the loss, see `zoo.AdaptiveRNN`; ignored for cells
            that are not depth-adaptive.
        name: name of the model.

    Returns:
        A functional model from sequences `(batch, time, inputs)` to logits `(batch, time,
        outputs)`. Its weights are those of the cell in the order in which it creates them, those of
        the backward cell, then kernel (rows of the forward units first) and bias of the output
        layer. A mask `(batch, time)` at the end of sequences keeps the backward direction from
        reading the padding.

    Example:
        >>> import zoo
        >>> network(zoo.VanillaCell(100), inputs=88, outputs=88).count_params()
        84788
        >>> network(zoo.VanillaCell(20), inputs=39, outputs=61, bidirectional=True).count_params()
        12221
    """
    sequence = keras.Input((None, inputs), name="sequence")
    recurrent: Any
    if ponder_price and isinstance(cell, DepthAdaptiveCell):
        recurrent = AdaptiveRNN(cell, ponder_price, return_sequences=True, name=RECURRENT)
    else:
        recurrent = RNN(cell, return_sequences=True, name=RECURRENT)
    if bidirectional:
        recurrent = keras.layers.Bidirectional(recurrent, merge_mode="concat", name=RECURRENT)
    logits = keras.layers.Dense(outputs, name=LOGITS)(recurrent(sequence))
    return keras.Model(sequence, logits, name=name)


def padded_logits(model: keras.Model, sequences: Any, lengths: Any) -> Any:
    """Computes a network's logits for padded sequences, equal to those without padding.

    Args:
        model: one of this module's networks.
        sequences: tensor `(batch, time, inputs)`.
        lengths: integer tensor `(batch,)`; frames at and after a sequence's length are padding,
            whatever their values.

    Returns:
        Tensor `(batch, time, outputs)`; values in the padding are meaningless.
    """
    mask = keras.ops.arange(keras.ops.shape(sequences)[1]) < keras.ops.expand_dims(lengths, 1)
    hidden = model.get_layer(RECURRENT)(sequences, mask=mask)
    return model.get_layer(LOGITS)(hidden)
