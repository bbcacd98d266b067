"""Converts bodies of REST requests to NumPy arrays, and arrays to bodies of answers.

The rules are those of TensorFlow Serving (`json_tensor.cc`): `instances` holds rows, `inputs`
columns; the name may be omitted if there is only one input, and is if there is only one output;
strings that are not text are sent as `{"b64": ...}`; NaN and Infinity are bare tokens.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import json
import math
import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from serving.devserver.batcher import Arrays
from serving.devserver.core import check_names, check_shape
from serving.devserver.errors import invalid
from serving.devserver.settings import Limits
from serving.runtime.specs import Signature, TensorSpec

_DEEPEST = 32
_KINDS: Mapping[str, set[type]] = {"f": {int, float}, "i": {int}, "u": {int}, "b": {bool}}
_EXACT = {"float16": 2**11, "float32": 2**24, "float64": 2**53}
"""The first integer whose successor the type cannot represent."""


def load(body: bytes) -> dict[str, Any]:
    """Parses the body of a request.

    Args:
        body: JSON in UTF-8, which may contain NaN, Infinity and -Infinity.

    Raises:
        RequestError: INVALID_ARGUMENT if it is not an object with `inputs` or `instances`.
    """
    try:
        document = _parse(body)
    except RecursionError:
        raise invalid("JSON Parse error: The values are nested too deeply") from None
    except ValueError as error:
        raise invalid(f"JSON Parse error: {error}") from None
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {reprlib.repr(document)} Is not object")
    if not isinstance(document.get("signature_name", ""), str):
        raise invalid("'signature_name' key must be a string value.")
    if ("instances" in document) == ("inputs" in document):
        raise invalid("expected either the key 'inputs' or the key 'instances'")
    rows = document.get("instances", [0])
    if not isinstance(rows, list) or not rows:
        raise invalid("'instances': expected a list with at least one value")
    return document


def _parse(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        # Slower, but accepts NaN and Infinity.
        return json.loads(body.decode("utf-8"), parse_float=_finite)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:20]} is beyond every number")
    return number


def inputs_of(document: Mapping[str, Any], signature: Signature, limits: Limits) -> Arrays:
    """Converts a parsed request to arrays.

    Args:
        document: the request.
        signature: the signature that it must match.
        limits: limits of a request.

    Raises:
        RequestError: INVALID_ARGUMENT if it does not match the signature or exceeds the limits.
    """
    by_row = "instances" in document
    columns = _columns(document["instances" if by_row else "inputs"], signature, by_row=by_row)
    check_names(signature, set(columns))
    return {
        name: _array(name, columns[name], spec, limits) for name, spec in signature.inputs.items()
    }


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def _columns(values: Any, signature: Signature, *, by_row: bool) -> dict[str, Any]:
    if not _is_object(values[0] if by_row else values):
        if len(signature.inputs) != 1:
            raise invalid(
                f"expected an object with the inputs {','.join(signature.inputs)}. "
                "Received: a plain value"
            )
        if by_row and any(map(_is_object, values)):
            raise invalid("'instances': expected all of one kind. Received: lists and objects")
        return {next(iter(signature.inputs)): values}
    if not by_row:
        return dict(values)
    for position, row in enumerate(values):
        if not _is_object(row) or row.keys() != signature.inputs.keys():
            raise invalid(
                f"'instances', item {position}: expected an object with the inputs "
                f"{','.join(signature.inputs)}. Received: {reprlib.repr(row)}"
            )
    return {name: [row[name] for row in values] for name in signature.inputs}


def _array(name: str, value: Any, spec: TensorSpec, limits: Limits) -> Any:
    shape = _shape(value)
    if 0 in shape and spec.shape is not None:
        # JSON does not keep the dimensions after one of size 0.
        shape += tuple(size or 0 for size in spec.shape[len(shape) :])
    check_shape(name, shape, spec.dtype, limits)
    flat = _flat(value, shape)
    if flat is None:
        raise invalid(f'input "{name}": expected lists of one shape, {list(shape)}')
    if spec.dtype == "string":
        array = np.empty(len(flat), object)
        array[:] = [_text(name, one) for one in flat]
        return array.reshape(shape)
    dtype = spec.numpy_dtype
    wrong = set(map(type, flat)) - _KINDS[dtype.kind]
    if wrong:
        raise _no_value(name, spec, next(one for one in flat if type(one) in wrong))
    try:
        array = np.array(flat, np.float64 if dtype.kind == "f" else dtype)
    except OverflowError:
        raise _no_value(name, spec, max(flat, key=abs)) from None
    if dtype.kind == "f":
        finite = array[np.isfinite(array)]
        if finite.size and np.abs(finite).max() > np.finfo(dtype).max:
            raise _no_value(name, spec, finite[np.abs(finite).argmax()])
        inexact = (one for one in flat if type(one) is int and abs(one) > _EXACT[spec.dtype])
        for one in inexact:
            raise _no_value(name, spec, one)
    return array.astype(dtype, copy=False).reshape(shape)


def _no_value(name: str, spec: TensorSpec, value: Any) -> Exception:
    shown = reprlib.repr(value)
    return invalid(f'input "{name}": expected values of {spec.dtype}. Received: {shown}')


def _shape(value: Any) -> tuple[int, ...]:
    shape: list[int] = []
    while isinstance(value, list) and len(shape) <= _DEEPEST:
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(shape)


def _flat(value: Any, shape: tuple[int, ...]) -> Any:
    """Returns the values of nested lists as one list, or None if the lists differ in shape.

    Works on one level at a time, because that runs in C. NumPy could do it, too, but would accept
    strings as numbers, and would run out of memory for a long string among many values.
    """
    layer = [value]
    for size in shape:
        if not layer:
            break
        if set(map(type, layer)) != {list} or set(map(len, layer)) != {size}:
            return None
        layer = list(itertools.chain.from_iterable(layer))
    return None if any(type(one) is list for one in layer) else layer


def _text(name: str, value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if _is_base64(value):
        text = value["b64"]
        try:
            return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError):
            raise invalid(f'input "{name}": Unable to base64 decode') from None
    raise invalid(f'input "{name}": expected strings. Received: {reprlib.repr(value)}')


def render(outputs: Arrays, *, by_row: bool) -> bytes:
    """Writes the body of an answer.

    Args:
        outputs: arrays by name.
        by_row: whether the request had `instances`.

    Returns:
        JSON in UTF-8: `predictions` with rows, or `outputs` with columns.

    Raises:
        RequestError: INVALID_ARGUMENT if rows are wanted but the outputs differ in their number.
    """
    finite = all(array.dtype.kind != "f" or np.isfinite(array).all() for array in outputs.values())
    plain = {name: _plain(name, array, finite) for name, array in outputs.items()}
    bare = next(iter(plain.values())) if len(plain) == 1 else None
    document: dict[str, Any] = {"outputs": plain if bare is None else bare}
    if by_row:
        sizes = {array.shape[:1] for array in outputs.values()}
        if len(sizes) != 1 or () in sizes:
            raise invalid("expected outputs of one batch size for 'instances'; ask with 'inputs'")
        ((size,),) = sizes
        rows = [{name: value[row] for name, value in plain.items()} for row in range(size)]
        document = {"predictions": rows if bare is None else bare}
    if finite:
        return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return json.dumps(document).encode()


def _plain(name: str, array: Any, finite: bool) -> Any:
    if array.dtype == object:
        return _strings(array.tolist(), name.endswith("_bytes"))
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    # orjson writes float32 in the fewest digits that identify it; it needs contiguous arrays.
    if finite:
        return np.ascontiguousarray(array) if array.ndim else array[()]
    return array.tolist()


def _strings(value: Any, as_base64: bool) -> Any:
    if isinstance(value, list):
        return [_strings(entry, as_base64) for entry in value]
    if as_base64:
        return {"b64": base64.b64encode(value).decode()}
    return value.decode("utf-8", "replace")
