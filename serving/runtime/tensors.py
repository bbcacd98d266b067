"""Converts `TensorProto` messages to NumPy arrays and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from serving.runtime.specs import DTYPES, NAMES, name_of

_FIELDS = {
    "float16": "half_val",
    "float32": "float_val",
    "float64": "double_val",
    "int64": "int64_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    "bool": "bool_val",
    "string": "string_val",
    **dict.fromkeys(("int8", "int16", "int32", "uint8", "uint16"), "int_val"),
}
# On the wire, repeated fixed-size numbers are contiguous bytes: number of the field, type.
_PACKED = {"float32": (5, "<f4"), "float64": (6, "<f8")}
_NO_VALUES = ("dtype", "tensor_shape", "version_number")


def shape_of(proto: Any) -> tuple[int, ...]:
    """Reads the shape of a tensor, but not its values.

    Raises:
        ValueError: if the tensor has no shape, or a negative size.
    """
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise ValueError("expected a shape of known sizes")
    return shape


def dtype_of(proto: Any) -> str:
    """Returns the type of a tensor: a key of `specs.DTYPES`, or a description of any other."""
    return NAMES.get(proto.dtype, f"DataType {proto.dtype}")


def to_array(proto: Any) -> npt.NDArray[Any]:
    """Converts a tensor to an array.

    As in TensorFlow, the last value of a repeated field stands for all values that are left out,
    and an empty field stands for zeros.

    Args:
        proto: a `TensorProto`, ours or TensorFlow's.

    Returns:
        The array, which may share the message's memory; strings are objects of type `bytes`.

    Raises:
        ValueError: if type, shape and values do not match.

    Example:
        >>> from serving.runtime.messages import TensorProto
        >>> proto = TensorProto(dtype=DTYPES["int32"], int_val=[1, 2])
        >>> proto.tensor_shape.dim.add().size = 3
        >>> to_array(proto)
        array([1, 2, 2], dtype=int32)
    """
    name, shape = dtype_of(proto), shape_of(proto)
    if name not in _FIELDS:
        raise ValueError(f"expected a tensor of numbers, truth values or strings. Received: {name}")
    dtype = np.dtype(object if name == "string" else name)
    content, count = proto.tensor_content, math.prod(shape)
    if content and name != "string":
        if len(content) != count * dtype.itemsize:
            raise ValueError(
                f"expected {count * dtype.itemsize} bytes of tensor_content for the shape "
                f"{list(shape)}. Received: {len(content)}"
            )
        return np.frombuffer(content, dtype).reshape(shape)
    field = _FIELDS[name]
    for other, _ in proto.ListFields():
        if other.name != field and other.name not in _NO_VALUES:
            raise ValueError(f"expected values of {name} in {field}. Received: {other.name}")
    values = getattr(proto, field)
    if len(values) > count or (name == "string" and len(values) < count):
        raise ValueError(
            f"expected {count} values for the shape {list(shape)}. Received: {len(values)}"
        )
    array = np.zeros(count, dtype)
    if len(values):
        array[: len(values)] = _values(values, dtype)
        array[len(values) :] = array[len(values) - 1]
    return array.reshape(shape)


def _as_varint(value: int) -> bytes:
    content = bytearray()
    while value > 127:
        content.append(value & 127 | 128)
        value >>= 7
    return bytes([*content, value])


def _values(values: Any, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if dtype.hasobject:
        # Assigned as a list, strings of one length would become a two-dimensional array.
        strings = np.empty(len(values), object)
        strings[:] = list(values)
        return strings
    if dtype == np.float16:
        return _narrow(values, np.dtype(np.uint16)).view(np.float16)
    if dtype.kind in "iu" and dtype.itemsize < 4:
        return _narrow(values, dtype)
    return np.array(values, dtype)


def _narrow(values: Any, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    wide = np.array(values, np.int64)
    bounds = np.iinfo(dtype)
    if wide.min() < bounds.min or wide.max() > bounds.max:
        raise ValueError(f"expected values of {dtype}. Received: one out of range")
    return wide.astype(dtype)


def fill(proto: Any, array: npt.NDArray[Any], *, as_content: bool) -> None:
    """Writes an array into a `TensorProto`.

    Args:
        proto: an empty message.
        array: an array of a type in `serving.runtime.specs.DTYPES`; strings are `bytes` objects.
        as_content: whether numbers are written to `tensor_content`, as clients do, instead of a
            repeated field, as TensorFlow Serving does.

    Raises:
        KeyError: if messages do not support the type.
    """
    name = name_of(array.dtype)
    proto.dtype = DTYPES[name]
    for size in array.shape:
        proto.tensor_shape.dim.add().size = size
    if name == "string":
        proto.string_val.extend(array.ravel().tolist())
    elif as_content:
        proto.tensor_content = array.tobytes()
    elif name in _PACKED:
        number, dtype = _PACKED[name]
        content = array.astype(dtype, copy=False).tobytes()
        head = _as_varint(number << 3 | 2) + _as_varint(len(content))
        proto.MergeFromString(head + content)
    else:
        flat = array.ravel()
        values = flat.view(np.uint16) if name == "float16" else flat
        getattr(proto, _FIELDS[name]).extend(values.tolist())
