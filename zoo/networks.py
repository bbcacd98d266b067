"""From a cell to the networks of the study's tasks."""

from __future__ import annotations

import keras

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
        cell: a cell for `keras.layers.RNN`.
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
    sequence = keras.Input((None, inputs), name="sequence")
    hidden = keras.layers.RNN(cell, return_sequences=True, name=RECURRENT)(sequence)
    logits = keras.layers.Dense(outputs, name=LOGITS)(hidden)
    return keras.Model(sequence, logits, name="next_step")
