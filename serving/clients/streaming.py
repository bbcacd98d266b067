"""Streaming, frame by frame: the server keeps no state between calls, so the client does."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from serving.clients.errors import ServingError
from serving.clients.predictor import Array, Predictor, Versioned
from serving.runtime.specs import Signature

STEP, CHUNK = "step", "chunk"
"""Signatures that accept states and return the next ones."""

_DATA = {"frame", "sequence", "lengths"}
_NEXT = "next_"


class Stream:
    """Sequences in progress, one for each row of a batch; threads may not share it.

    The states of a model are found in its signature: every input other than `frame`, `sequence` and
    `lengths` is a state, and the output `next_NAME` is its next value. All states start as zeros.

    States of one version mean nothing to another: a stream stays with the version that serves when
    it starts, and fails with NOT_FOUND once that version is gone.

    Args:
        predictor: the model; it must only read forward, so that it has the signatures `step` and
            `chunk`.
        batch: number of parallel sequences.

    Raises:
        ServingError: if the model has neither signature.

    Example:
        >>> stream = Stream(Client("localhost:8500", "music"))  # doctest: +SKIP
        >>> logits = stream.chunk(roll[None])["logits"][:, -1]  # doctest: +SKIP
        >>> while True:  # doctest: +SKIP
        ...     logits = stream.step(sample(logits))["logits"]
    """

    def __init__(self, predictor: Predictor, batch: int = 1) -> None:
        if batch < 1:
            raise ValueError(f"Expected a batch of at least one sequence. Received: {batch}")
        self.batch = batch
        predictor = predictor.pinned() if isinstance(predictor, Versioned) else predictor
        self._predictor = predictor
        signatures = predictor.signatures()
        streaming = [name for name in (STEP, CHUNK) if name in signatures]
        if not streaming:
            raise ServingError(
                "INVALID_ARGUMENT",
                f"streaming: expected a model with the signature {STEP} or {CHUNK}, as a network "
                f"that reads forward only has. Received: {', '.join(signatures) or 'none'}",
            )
        self._zeros = _zero_states(streaming[0], signatures[streaming[0]], batch)
        self._states = self._zeros

    @property
    def states(self) -> dict[str, Array]:
        """The states by name, each `[batch, ...]`; assign to it to resume from saved states."""
        return {name: state.copy() for name, state in self._states.items()}

    @states.setter
    def states(self, states: Mapping[str, npt.ArrayLike]) -> None:
        received = {name: np.asarray(state) for name, state in states.items()}
        wanted = {name: zeros.shape for name, zeros in self._zeros.items()}
        shapes = {name: state.shape for name, state in received.items()}
        if shapes != wanted:
            raise ValueError(f"Expected states of the shapes {wanted}. Received: {shapes}")
        self._states = {
            name: np.array(received[name], zeros.dtype) for name, zeros in self._zeros.items()
        }

    def reset(self) -> None:
        """Starts new sequences: sets all states to zero."""
        self._states = self._zeros

    def step(self, frame: npt.ArrayLike) -> dict[str, Array]:
        """Reads the next frame of every sequence.

        Args:
            frame: `[batch, features]`.

        Returns:
            The outputs for this frame, such as `logits` `[batch, outputs]`, without the states.

        Raises:
            ServingError: if the model does not answer; the states are then unchanged.
        """
        return self._advance({"frame": frame}, STEP)

    def chunk(
        self, sequence: npt.ArrayLike, lengths: npt.ArrayLike | None = None
    ) -> dict[str, Array]:
        """Reads several frames of every sequence at once.

        Args:
            sequence: `[batch, time, features]`.
            lengths: `[batch]`, number of valid frames in each row; if not given, all are valid.

        Returns:
            The outputs for these frames, such as `logits` `[batch, time, outputs]`, without the
            states.

        Raises:
            ServingError: if the model does not answer; the states are then unchanged.
        """
        sequence = np.asarray(sequence)
        if lengths is None:
            lengths = np.full(sequence.shape[:1], sequence.shape[1] if sequence.ndim > 1 else 0)
        return self._advance({"sequence": sequence, "lengths": lengths}, CHUNK)

    def _advance(self, data: Mapping[str, npt.ArrayLike], signature: str) -> dict[str, Array]:
        outputs = self._predictor.predict({**data, **self._states}, signature)
        self._states = {name: outputs.pop(f"{_NEXT}{name}") for name in self._states}
        return outputs


def _zero_states(name: str, signature: Signature, batch: int) -> dict[str, Array]:
    """Returns the states before the first frame.

    Raises:
        ServingError: if a state has no next value, or a free dimension other than the batch.
    """
    zeros = {}
    for state in signature.inputs.keys() - _DATA:
        spec = signature.inputs[state]
        sizes = None if spec.shape is None else spec.shape[1:]
        if sizes is None or None in sizes or f"{_NEXT}{state}" not in signature.outputs:
            raise ServingError(
                "INVALID_ARGUMENT",
                f"signature {name}: expected the input {state} to be a state of a known size with "
                f"an output {_NEXT}{state}. Received: {spec.shape} and the outputs "
                f"{', '.join(signature.outputs)}",
            )
        zeros[state] = np.zeros((batch, *(size or 0 for size in sizes)), spec.numpy_dtype)
    return dict(sorted(zeros.items()))
