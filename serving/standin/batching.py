"""Requests that meet in one batch, by TensorFlow's own batch scheduler.

A signature of a SavedModel is one call of a function in the graph. Beside it stands, for each shape
of inputs that comes along, a `BatchFunction` operation with the same function: it gathers what
different threads feed it, runs the function once, and hands each thread its rows. That scheduler is
the one under TensorFlow Serving's batching, too.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from serving.standin.errors import invalid
from serving.standin.settings import Batching

_LOG = logging.getLogger(__name__)

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")

MAX_QUEUES = 64
"""Shapes of one signature that are batched; requests of further shapes run by themselves, because
no operation of a session can be taken away again."""

_Shape = tuple[tuple[int, ...], ...]


def bucket(length: int) -> int:
    """Returns the length that a sequence is padded to.

    Four lengths for each power of two: few queues, and at most a quarter of the work for nothing.

    Args:
        length: time steps of the sequence.

    Example:
        >>> [bucket(length) for length in (0, 3, 5, 9, 61, 100, 113)]
        [0, 3, 5, 10, 64, 112, 128]
    """
    if length <= 4:
        return length
    step: int = 1 << max((length - 1).bit_length() - 3, 0)
    return -(-length // step) * step


class Queues:
    """The batch queues of one signature, one for each shape of a request.

    Args:
        graph: the session's graph.
        signature: the signature's name.
        inputs: its placeholders by name.
        outputs: its output tensors by name.
        call: the operation that calls its function.
        batching: the parameters.
    """

    def __init__(
        self,
        graph: Any,
        signature: str,
        inputs: Mapping[str, Any],
        outputs: Mapping[str, Any],
        call: Any,
        batching: Batching,
    ) -> None:
        self._graph, self._signature, self._call = graph, signature, call
        self._outputs, self._batching = outputs, batching
        self._free = {
            name: [axis for axis in range(1, len(tensor.shape)) if tensor.shape[axis] is None]
            for name, tensor in inputs.items()
        }
        self._by_shape: dict[_Shape, Mapping[str, Any]] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(
        cls,
        graph: Any,
        signature: str,
        inputs: Mapping[str, Any],
        outputs: Mapping[str, Any],
        batching: Batching,
    ) -> Queues | None:
        """Makes the queues of a signature, or None (and a line in the log) if it has none.

        Args:
            graph: the session's graph.
            signature: the signature's name.
            inputs: its placeholders by name.
            outputs: its output tensors by name.
            batching: the parameters.
        """
        why = _obstacle(inputs, outputs)
        if why:
            _LOG.info("signature %s is not batched: %s", signature, why)
            return None
        call = next(iter(outputs.values())).op
        return cls(graph, signature, inputs, outputs, call, batching)

    def prepare(self, arrays: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Chooses the queue of a request.

        Args:
            arrays: its inputs by name.

        Returns:
            What to feed, padded where the parameters say so, and the tensors to fetch by name of
            the output. Outputs of padded inputs stay padded, as TensorFlow Serving leaves them.

        Raises:
            ServingError: INVALID_ARGUMENT if the inputs are no batch, or too large a one.
        """
        sizes = {array.shape[0] for array in arrays.values()}
        if len(sizes) > 1:
            raise invalid("Batching Run() input tensors must have equal 0th-dimension size")
        size = sizes.pop()
        if size > self._batching.max_batch_size:
            raise invalid(
                f"Task size {size} is larger than maximum input batch size "
                f"{self._batching.max_batch_size}"
            )
        if not size:
            return arrays, self._outputs
        if self._batching.pad_variable_length_inputs:
            arrays = {name: _pad(array, self._free[name]) for name, array in arrays.items()}
        shape = tuple(arrays[name].shape[1:] for name in self._free)
        fetches = self._by_shape.get(shape)
        return arrays, self._add(shape) if fetches is None else fetches

    def _add(self, shape: _Shape) -> Mapping[str, Any]:
        with self._lock:
            if shape in self._by_shape:
                return self._by_shape[shape]
            if len(self._by_shape) >= MAX_QUEUES:
                return self._outputs
            placeholders = len(self._free)
            with self._graph.as_default(), tf.device(None):
                results = tf.raw_ops.BatchFunction(
                    in_tensors=list(self._call.inputs[:placeholders]),
                    captured_tensors=list(self._call.inputs[placeholders:]),
                    f=self._call.get_attr("f"),
                    Tout=self._call.get_attr("Tout"),
                    num_batch_threads=self._batching.num_batch_threads,
                    max_batch_size=self._batching.max_batch_size,
                    batch_timeout_micros=self._batching.batch_timeout_micros,
                    max_enqueued_batches=self._batching.max_enqueued_batches,
                    allowed_batch_sizes=list(self._batching.allowed_batch_sizes),
                    # One pool of threads for the signature; it goes with the session.
                    shared_name=self._signature,
                    batching_queue=repr(shape),
                )
            fetches = {name: results[tensor.value_index] for name, tensor in self._outputs.items()}
            self._by_shape[shape] = fetches
            return fetches


def _obstacle(inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> str:
    """Says why a signature cannot be batched; empty if it can."""
    calls = {tensor.op.name: tensor.op for tensor in outputs.values()}
    if len(calls) != 1 or next(iter(calls.values())).type not in _CALLS:
        return "it is not one function call"
    for name, tensor in inputs.items():
        if tensor.shape.rank is None or not tensor.shape.rank:
            return f"input {name} has no batch dimension"
    call = next(iter(calls.values()))
    fed: Sequence[Any] = call.inputs[: len(inputs)]
    if {tensor.name for tensor in fed} != {tensor.name for tensor in inputs.values()}:
        return "its function does not take exactly the inputs"
    return ""


def _pad(array: Any, axes: Sequence[int]) -> Any:
    """Pads the free dimensions of an input with its first element, as TensorFlow Serving does."""
    widths = [(0, 0)] * array.ndim
    for axis in axes:
        widths[axis] = (0, bucket(array.shape[axis]) - array.shape[axis])
    if not any(after for _, after in widths) or not array.size:
        return array
    return np.pad(array, widths, constant_values=array.flat[0])
