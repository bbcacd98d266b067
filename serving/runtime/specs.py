"""Inputs and outputs of signatures: names, types and shapes, wherever they were read from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

DEFAULT_SIGNATURE = "serving_default"
"""The signature that every model has."""

DTYPES: Mapping[str, int] = {
    "float16": 19,
    "float32": 1,
    "float64": 2,
    "int8": 6,
    "int16": 5,
    "int32": 3,
    "int64": 9,
    "uint8": 4,
    "uint16": 17,
    "uint32": 22,
    "uint64": 23,
    "bool": 10,
    "string": 7,
}
"""Numbers of TensorFlow's `DataType` by the name of the NumPy type; `string` is bytes."""

NAMES = {number: name for name, number in DTYPES.items()}
"""Names of the types by their number."""

_NAMES = {np.dtype(object if name == "string" else name): name for name in DTYPES}

MAX_BATCH = 32
"""Largest batch, in rows: what exports let servers combine, and what clients send by default."""


def name_of(dtype: np.dtype[Any]) -> str:
    """Returns the name of a NumPy type, a key of `DTYPES` if it is supported.

    Example:
        >>> name_of(np.dtype(object))
        'string'
    """
    # NumPy itself takes microseconds to make a name.
    return _NAMES.get(dtype) or dtype.name


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """A tensor of a signature.

    Attributes:
        dtype: a key of `DTYPES`.
        shape: size of each dimension, None for a free one; None if the rank is unknown.
        tensor: its name in the graph, such as `serving_default_sequence:0`; may be empty.
    """

    dtype: str
    shape: tuple[int | None, ...] | None
    tensor: str = ""

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """Type of a NumPy array for the tensor; strings are objects of type `bytes`."""
        return np.dtype(object if self.dtype == "string" else self.dtype)


@dataclasses.dataclass(frozen=True)
class Signature:
    """One way to call a model.

    Attributes:
        inputs: input tensors by name.
        outputs: output tensors by name.
        method: name of the method; `tensorflow/serving/predict` if it can be called here.
    """

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    method: str = "tensorflow/serving/predict"

    @classmethod
    def of(cls, signature_def: Any) -> Signature:
        """Reads a `SignatureDef`.

        Args:
            signature_def: the protocol message, as it occurs in a `MetaGraphDef` or in a server's
                metadata.

        Example:
            >>> from tensorflow.core.protobuf import meta_graph_pb2
            >>> message = meta_graph_pb2.SignatureDef()
            >>> message.inputs["lengths"].dtype = DTYPES["int32"]
            >>> message.inputs["lengths"].tensor_shape.dim.add().size = -1
            >>> Signature.of(message).inputs["lengths"]
            TensorSpec(dtype='int32', shape=(None,), tensor='')
        """
        inputs, outputs = (
            {name: _tensor_spec(infos[name]) for name in sorted(infos)}
            for infos in (signature_def.inputs, signature_def.outputs)
        )
        return cls(inputs, outputs, signature_def.method_name)


def callable_signatures(signature_defs: Mapping[str, Any]) -> dict[str, Signature]:
    """Returns the callable signatures, sorted by name.

    Args:
        signature_defs: those of a `MetaGraphDef` or of a server's metadata. Keras adds one without
            a method, which initializes the model.
    """
    return {
        name: Signature.of(signature_defs[name])
        for name in sorted(signature_defs)
        if signature_defs[name].method_name
    }


def _tensor_spec(info: Any) -> TensorSpec:
    shape = info.tensor_shape
    sizes = tuple(None if dim.size < 0 else int(dim.size) for dim in shape.dim)
    return TensorSpec(
        NAMES.get(info.dtype, f"DataType {info.dtype}"),
        None if shape.unknown_rank else sizes,
        info.name,
    )
