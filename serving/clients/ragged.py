"""Sequences of different lengths: padded for a model, and cut to length in its outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from serving.clients.checks import signature_of
from serving.clients.errors import ServingError
from serving.clients.predictor import Array, Predictor
from serving.runtime.specs import DEFAULT_SIGNATURE, MAX_BATCH, Signature

LENGTHS = "lengths"
"""The input with the number of valid frames in each row."""

FRAMES = "frames"
"""The output with the number of valid frames, if a model computes frames from raw input."""


def pad(sequences: Sequence[npt.ArrayLike]) -> tuple[Array, npt.NDArray[np.int32]]:
    """Pads sequences into one array.

    Args:
        sequences: arrays `[time, ...]` of any lengths; the other dimensions must be equal.

    Returns:
        An array `[sequences, longest time, ...]` with zeros after the end of each sequence, and the
        lengths, int32 `[sequences]`.

    Raises:
        ValueError: if there are no sequences, one is a scalar, or they differ in another dimension.

    Example:
        >>> pad([[1, 2, 3], [4]])
        (array([[1, 2, 3], [4, 0, 0]]), array([3, 1], dtype=int32))
    """
    arrays = [np.asarray(sequence) for sequence in sequences]
    shapes = {array.shape[1:] for array in arrays if array.ndim}
    if len(shapes) != 1 or any(array.ndim == 0 for array in arrays):
        raise ValueError(
            "Expected sequences [time, ...] that differ in time only. "
            f"Received: {[array.shape for array in arrays]}"
        )
    lengths = np.array([len(array) for array in arrays], np.int32)
    padded = np.zeros((len(arrays), int(lengths.max()), *shapes.pop()), np.result_type(*arrays))
    for row, array in zip(padded, arrays, strict=True):
        row[: len(array)] = array
    return padded, lengths


def per_step(signature: Signature) -> frozenset[str]:
    """Returns the names of outputs `[batch, time, ...]`: those whose second dimension is free."""
    return frozenset(
        name
        for name, spec in signature.outputs.items()
        if spec.shape is not None and len(spec.shape) > 1 and spec.shape[1] is None
    )


def cut(
    outputs: Mapping[str, Array], lengths: npt.ArrayLike, signature: Signature
) -> list[dict[str, Any]]:
    """Splits the outputs of a batch, and cuts those of each sequence to its length.

    A server that pads several clients' requests into one batch returns outputs as long as the
    longest request.

    Args:
        outputs: arrays `[batch, ...]` by name.
        lengths: `[batch]`, number of valid frames in each row; an output `frames`, if present,
            takes precedence.
        signature: determines which outputs have a time axis.

    Returns:
        The outputs of every sequence by name: `[time, ...]`, `[...]`, or the element of an array
        `[batch]`, such as `bytes`.
    """
    steps = per_step(signature)
    counts = outputs[FRAMES] if FRAMES in outputs else np.asarray(lengths)
    return [
        {
            name: array[row, :count] if name in steps else array[row]
            for name, array in outputs.items()
        }
        for row, count in enumerate(counts.tolist())
    ]


def predict_sequences(
    predictor: Predictor,
    sequences: Sequence[npt.ArrayLike],
    signature: str = DEFAULT_SIGNATURE,
    *,
    batch: int = MAX_BATCH,
) -> list[dict[str, Any]]:
    """Runs a signature of a model on sequences of different lengths.

    Args:
        predictor: the model.
        sequences: arrays `[time, ...]`.
        signature: name of a signature with two inputs: `lengths`, and the padded sequences.
        batch: largest number of sequences per call; fewer if the model's batch size is fixed.

    Returns:
        The outputs for every sequence by name, in the order of the sequences: `[time, ...]` for
        outputs with a time axis, else `[...]`.

    Raises:
        ServingError: if the model has no such signature, the signature has other inputs, or the
            model does not answer.
        ValueError: if the sequences differ in more than time, or `batch` is not positive.
    """
    if batch < 1:
        raise ValueError(f"Expected a batch of at least one sequence. Received: {batch}")
    spec = signature_of("sequences", predictor.signatures(), signature)
    names = sorted(spec.inputs.keys() - {LENGTHS})
    if len(names) != 1 or LENGTHS not in spec.inputs:
        raise ServingError(
            "INVALID_ARGUMENT",
            f"sequences: expected a signature with the inputs {LENGTHS} and one more. "
            f"Received: {signature} with {', '.join(spec.inputs)}",
        )
    fixed = (spec.inputs[LENGTHS].shape or (None,))[0]
    batch = batch if fixed is None else min(batch, fixed)
    answers = []
    for start in range(0, len(sequences), batch):
        padded, lengths = pad(sequences[start : start + batch])
        outputs = predictor.predict({names[0]: padded, LENGTHS: lengths}, signature)
        answers += cut(outputs, lengths, spec)
    return answers
