"""`TensorProto` to NumPy and back; what a client sends is checked before memory is taken for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from serving.specs import DTYPES, Signature, TensorSpec
from serving.standin.errors import invalid
from serving.standin.settings import Limits

_FIELDS: Mapping[str, str] = {
    "float16": "half_val",
    "float32": "float_val",
    "float64": "double_val",
    "int8": "int_val",
    "int16": "int_val",
    "int32": "int_val",
    "int64": "int64_val",
    "uint8": "int_val",
    "uint16": "int_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    "bool": "bool_val",
    "string": "string_val",
}
_ALL_FIELDS = sorted({*_FIELDS.values(), "scomplex_val", "dcomplex_val", "resource_handle_val"})
_NAMES = {number: name for name, number in DTYPES.items()}
_POINTER = 8
"""Bytes that NumPy takes for each string of an array, besides the string."""


def check_names(signature: Signature, sent: set[str]) -> None:
    """Checks that exactly a signature's inputs were sent.

    Args:
        signature: the signature.
        sent: names of the inputs that were.

    Raises:
        ServingError: INVALID_ARGUMENT, in TensorFlow Serving's words.
    """
    wanted = set(signature.inputs)
    if sent == wanted:
        return
    extra, missing = sorted(sent - wanted), sorted(wanted - sent)
    if len(sent) == len(wanted):
        raise invalid(
            f"input tensor alias not found in signature: {extra[0]}. "
            f"Inputs expected to be in the set {{{','.join(sorted(wanted))}}}."
        )
    raise invalid(
        f"input size does not match signature: {len(sent)}!={len(wanted)} "
        f"len({{{','.join(sorted(sent))}}}) != len({{{','.join(sorted(wanted))}}}). "
        f"Sent extra: {{{','.join(extra)}}}. Missing but required: {{{','.join(missing)}}}."
    )


def check_shape(name: str, shape: tuple[int, ...], spec: TensorSpec, limits: Limits) -> int:
    """Checks the shape of an input.

    Args:
        name: the input's name.
        shape: its shape as sent.
        spec: what the signature says.
        limits: what a client may ask.

    Returns:
        Bytes of the tensor.

    Raises:
        ServingError: INVALID_ARGUMENT.
    """
    if min(shape, default=0) < 0:
        raise invalid(f'input "{name}": expected sizes of at least 0. Received: {_text(shape)}')
    if spec.shape is not None and (
        len(shape) != len(spec.shape)
        or any(want not in (None, size) for want, size in zip(spec.shape, shape, strict=True))
    ):
        raise invalid(
            f'input "{name}": expected shape {_text(spec.shape)}. Received: {_text(shape)}'
        )
    free = [
        size
        for axis, size in enumerate(shape)
        if axis > 0 and (spec.shape is None or spec.shape[axis] is None)
    ]
    if max(free, default=0) > limits.max_sequence_length:
        raise invalid(
            f'input "{name}": expected at most {limits.max_sequence_length} steps. '
            f"Received: {max(free)}"
        )
    item = _POINTER if spec.dtype == "string" else np.dtype(spec.dtype).itemsize
    size = math.prod(shape) * item
    if size > limits.max_message_bytes:
        raise invalid(
            f'input "{name}": expected at most {limits.max_message_bytes} bytes. '
            f"Received: shape {_text(shape)}, {size} bytes"
        )
    return size


def _text(shape: tuple[int | None, ...]) -> str:
    return f"[{','.join('?' if size is None else str(size) for size in shape)}]"


def inputs_of(protos: Mapping[str, Any], signature: Signature, limits: Limits) -> dict[str, Any]:
    """Turns the inputs of a `PredictRequest` into arrays.

    Args:
        protos: `TensorProto` messages by name.
        signature: what they should be.
        limits: what a client may ask.

    Returns:
        NumPy arrays by name; they may share memory with the messages.

    Raises:
        ServingError: INVALID_ARGUMENT if they are not what the signature takes.
    """
    check_names(signature, set(protos))
    arrays, total = {}, 0
    for name, spec in signature.inputs.items():
        proto = protos[name]
        received = _NAMES.get(proto.dtype, f"DataType {proto.dtype}")
        if received != spec.dtype:
            raise invalid(f'input "{name}": expected {spec.dtype}. Received: {received}')
        if proto.tensor_shape.unknown_rank:
            raise invalid(f'input "{name}": expected a shape. Received: unknown_rank')
        shape = tuple(dim.size for dim in proto.tensor_shape.dim)
        total += check_shape(name, shape, spec, limits)
        if total > limits.max_message_bytes:
            raise invalid(f"expected inputs of at most {limits.max_message_bytes} bytes in all")
        arrays[name] = _array(name, proto, spec, shape)
    return arrays


def _array(name: str, proto: Any, spec: TensorSpec, shape: tuple[int, ...]) -> Any:
    content, count = proto.tensor_content, math.prod(shape)
    dtype = spec.numpy_dtype
    if content and spec.dtype != "string":
        if len(content) != count * dtype.itemsize:
            raise invalid(
                f'input "{name}": expected {count * dtype.itemsize} bytes of tensor_content for '
                f"shape {_text(shape)}. Received: {len(content)}"
            )
        return np.frombuffer(content, dtype).reshape(shape)
    field = _FIELDS[spec.dtype]
    others = [other for other in _ALL_FIELDS if other != field and len(getattr(proto, other))]
    if content or others:
        raise invalid(
            f'input "{name}": expected values of {spec.dtype} in {field}. '
            f"Received: {'tensor_content' if content else others[0]}"
        )
    values = getattr(proto, field)
    if len(values) > count or (spec.dtype == "string" and len(values) < count):
        raise invalid(
            f'input "{name}": expected {count} values for shape {_text(shape)}. '
            f"Received: {len(values)}"
        )
    # As TensorFlow reads it: the last value stands for all that are left out, none for zeros.
    array = np.zeros(count, dtype)
    if len(values):
        array[: len(values)] = _values(name, values, spec, dtype)
        array[len(values) :] = array[len(values) - 1]
    return array.reshape(shape)


def _values(name: str, values: Any, spec: TensorSpec, dtype: np.dtype[Any]) -> Any:
    if spec.dtype == "string":
        # Assigned as a list, strings of one length would become a two-dimensional array.
        strings = np.empty(len(values), object)
        strings[:] = list(values)
        return strings
    if spec.dtype == "float16":
        return _narrow(name, values, np.dtype(np.uint16)).view(np.float16)
    if dtype.kind in "iu":
        return _narrow(name, values, dtype)
    return np.fromiter(values, dtype, len(values))


def _narrow(name: str, values: Any, dtype: np.dtype[Any]) -> Any:
    wide = np.fromiter(values, np.uint64 if dtype == np.uint64 else np.int64, len(values))
    bounds = np.iinfo(dtype)
    if wide.min() < bounds.min or wide.max() > bounds.max:
        raise invalid(f'input "{name}": expected values of {dtype}. Received: one out of range')
    return wide.astype(dtype)


def fill(proto: Any, array: Any, as_content: bool) -> None:
    """Writes an array into a `TensorProto`.

    Args:
        proto: an empty message.
        array: NumPy array; strings are objects, each of type `bytes`.
        as_content: whether numbers go into `tensor_content` instead of a repeated field.
    """
    dtype = "string" if array.dtype == object else array.dtype.name
    proto.dtype = DTYPES[dtype]
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if dtype == "string":
        proto.string_val.extend(array.ravel().tolist())
    elif as_content:
        proto.tensor_content = array.tobytes()
    else:
        flat = array.ravel()
        values = flat.view(np.uint16) if dtype == "float16" else flat
        getattr(proto, _FIELDS[dtype]).extend(values.tolist())
