"""Inputs and outputs of a signature: names, types and shapes, wherever they were read from."""

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
"""Numbers of TensorFlow's `DataType`, by NumPy's name of the type; `string` is bytes."""

NAMES = {number: name for name, number in DTYPES.items()}
"""The other way around."""

MAX_BATCH = 32
"""Rows of a batch: what exports let a server put together, and so what clients send at most."""


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """A tensor of a signature.

    Attributes:
        dtype: a key of `DTYPES`.
        shape: size of each dimension, None where it is free; None if even their number is.
        tensor: its name in the graph, such as `serving_default_sequence:0`; may be empty.
    """

    dtype: str
    shape: tuple[int | None, ...] | None
    tensor: str = ""

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """The type of a NumPy array of it; strings are objects, each of type `bytes`."""
        return np.dtype(object if self.dtype == "string" else self.dtype)


@dataclasses.dataclass(frozen=True)
class Signature:
    """One way to call a model.

    Attributes:
        inputs: tensors by name.
        outputs: likewise.
        method: the method's name; `tensorflow/serving/predict` for all that can be called here.
    """

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    method: str = "tensorflow/serving/predict"

    @classmethod
    def of(cls, signature_def: Any) -> Signature:
        """Reads a `SignatureDef`.

        Args:
            signature_def: the protocol message, as a `MetaGraphDef` or the server's metadata has
                it.

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
    """Reads the signatures that can be called, sorted by name.

    Args:
        signature_defs: of a `MetaGraphDef` or of a server's metadata. Keras adds one without a
            method, which initializes the model.
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
