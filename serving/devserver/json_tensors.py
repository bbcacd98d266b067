"""Converts bodies of REST requests to NumPy arrays, and arrays to bodies of answers.

The rules are those of TensorFlow Serving (`json_tensor.cc`): `instances` holds rows, `inputs`
columns; the name may be omitted if there is only one input, and is if there is only one output;
strings that are not text are sent as `{"b64": ...}`; NaN and Infinity are bare tokens.
"""

from __future__ import annotations

import itertools
import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from serving.devserver.batcher import Arrays
from serving.devserver.core import check_names, check_shape
from serving.devserver.errors import invalid
from serving.devserver.settings import Limits
from serving.runtime import json_tensors
from serving.runtime.specs import Signature, TensorSpec

_KINDS: Mapping[str, set[type]] = {"f": {int, float}, "i": {int}, "u": {int}, "b": {bool}}


def load(body: bytes) -> dict[str, Any]:
    """Parses the body of a request.

    Args:
        body: JSON in UTF-8, which may contain NaN, Infinity and -Infinity.

    Raises:
        Failure: INVALID_ARGUMENT if it is not an object with `inputs` or `instances`.
    """
    try:
        document = json_tensors.read_json(body)
    except (RecursionError, ValueError) as error:
        raise invalid(f"JSON Parse error: {error}") from error
    if not isinstance(document, dict) or ("instances" in document) == ("inputs" in document):
        raise invalid("expected an object with either the key 'inputs' or the key 'instances'")
    if not isinstance(document.get("signature_name", ""), str):
        raise invalid("'signature_name': expected a string")
    rows = document.get("instances", [0])
    if not isinstance(rows, list) or not rows:
        raise invalid("'instances': expected a list with at least one value")
    return document


def inputs_of(document: Mapping[str, Any], signature: Signature, limits: Limits) -> Arrays:
    """Converts a parsed request to arrays.

    Args:
        document: the request.
        signature: the signature that it must match.
        limits: limits of a request.

    Raises:
        Failure: INVALID_ARGUMENT if it does not match the signature or exceeds the limits.
    """
    columns = _columns(document, signature)
    return {
        name: _array(name, columns[name], spec, limits) for name, spec in signature.inputs.items()
    }


def _columns(document: Mapping[str, Any], signature: Signature) -> dict[str, Any]:
    by_row = "instances" in document
    rows = document["instances"] if by_row else [document["inputs"]]
    named = [isinstance(row, dict) and not json_tensors.is_base64(row) for row in rows]
    if not any(named) and len(signature.inputs) == 1:
        return dict.fromkeys(signature.inputs, rows if by_row else rows[0])
    if not all(named):
        raise invalid("expected objects with the inputs by name. Received: plain values")
    for row in rows:
        check_names(signature, row)
    return {name: [row[name] for row in rows] for name in rows[0]} if by_row else rows[0]


def _array(name: str, value: Any, spec: TensorSpec, limits: Limits) -> Any:
    try:
        shape, values = _flattened(value)
        if 0 in shape and spec.shape is not None:
            # JSON does not keep the dimensions after one of size 0.
            shape += tuple(size or 0 for size in spec.shape[len(shape) :])
        check_shape(name, shape, spec, limits)
        return _converted(values, spec).reshape(shape)
    except (OverflowError, ValueError) as error:
        raise invalid(f'input "{name}": {error}') from error


def _flattened(value: Any) -> tuple[tuple[int, ...], list[Any]]:
    """Returns the shape of nested lists, and their values as one list.

    Works on one level at a time, because that runs in C. NumPy could do it, too, but would accept
    strings as numbers, and would run out of memory for a long string among many values.

    Raises:
        ValueError: if the lists differ in shape.
    """
    shape: tuple[int, ...] = ()
    layer = [value]
    while list in (kinds := set(map(type, layer))):
        sizes = set(map(len, layer)) if len(kinds) == 1 else set()
        if len(sizes) != 1:
            raise ValueError("expected lists of one shape")
        shape += tuple(sizes)
        layer = list(itertools.chain.from_iterable(layer))
    return shape, layer


def _converted(values: list[Any], spec: TensorSpec) -> Any:
    """Makes a flat array.

    Raises:
        OverflowError: if a number is beyond the type's range.
        ValueError: as above, or if a value is of another kind.
    """
    dtype = spec.numpy_dtype
    if spec.dtype == "string":
        strings = np.empty(len(values), dtype)
        strings[:] = [json_tensors.to_bytes(value) for value in values]
        return strings
    wrong = set(map(type, values)) - _KINDS[dtype.kind]
    if wrong:
        received = next(value for value in values if type(value) in wrong)
        raise ValueError(f"expected values of {spec.dtype}. Received: {reprlib.repr(received)}")
    wide = np.array(values, np.float64 if dtype.kind == "f" else dtype)
    with np.errstate(over="ignore"):
        array = wide.astype(dtype)
    if dtype.kind == "f" and (np.isinf(array) & ~np.isinf(wide)).any():
        raise ValueError(f"expected values of {spec.dtype}. Received: one out of range")
    return array


def render(outputs: Arrays, *, by_row: bool) -> bytes:
    """Writes the body of an answer.

    Args:
        outputs: arrays by name.
        by_row: whether the request had `instances`.

    Returns:
        JSON in UTF-8: `predictions` with rows, or `outputs` with columns.

    Raises:
        Failure: INVALID_ARGUMENT if rows are wanted but the outputs differ in their number.
    """
    sizes = {array.shape[:1] for array in outputs.values()}
    if by_row and (len(sizes) != 1 or () in sizes):
        raise invalid("expected outputs of one batch size for 'instances'; ask with 'inputs'")
    plain: dict[str, Any] = {
        name: json_tensors.plain(
            array, json_tensors.as_base64 if name.endswith("_bytes") else _text
        )
        for name, array in outputs.items()
    }
    value: Any = plain
    if len(plain) == 1:
        (value,) = plain.values()
    elif by_row:
        rows = zip(*plain.values(), strict=True)
        value = [dict(zip(plain, row, strict=True)) for row in rows]
    key = "predictions" if by_row else "outputs"
    return json_tensors.write_json({key: value}, outputs.values())


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
