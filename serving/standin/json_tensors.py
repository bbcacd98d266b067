"""Bodies of REST requests to NumPy arrays, and arrays to bodies of answers.

The rules are those of TensorFlow Serving (`json_tensor.cc`): `instances` holds rows, `inputs`
columns; the name may be left out where there is only one input, and is where there is only one
output; strings that are no text travel as `{"b64": ...}`; NaN and Infinity are bare tokens.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import itertools
import json
import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from serving.specs import Signature, TensorSpec
from serving.standin import tensors
from serving.standin.errors import ServingError, invalid
from serving.standin.settings import Limits

_NUMPY = orjson.OPT_SERIALIZE_NUMPY
_DEEPEST = 32
_KINDS: Mapping[str, set[type]] = {"f": {int, float}, "i": {int}, "u": {int}, "b": {bool}}
_EXACT = {"float16": 2**11, "float32": 2**24, "float64": 2**53}
"""The first whole number whose successor a type cannot hold."""

_SHORT = reprlib.Repr()
_SHORT.maxlist = _SHORT.maxdict = 4


@dataclasses.dataclass(frozen=True)
class Body:
    """A parsed request.

    Attributes:
        signature_name: the signature's name, empty for the default.
        by_row: whether the values are `instances`.
        values: what stands there.
    """

    signature_name: str
    by_row: bool
    values: Any


def signature_name(body: bytes) -> str:
    """Reads the name of the signature alone.

    Args:
        body: JSON in UTF-8.

    Raises:
        ServingError: INVALID_ARGUMENT if it is none.
    """
    return _signature_name(_load(body))


def parse(body: bytes) -> Body:
    """Parses the body of a `:predict` request.

    Args:
        body: JSON in UTF-8.

    Raises:
        ServingError: INVALID_ARGUMENT if it is none or not such a request.
    """
    document = _load(body)
    name = _signature_name(document)
    if "instances" in document and "inputs" in document:
        raise invalid(
            f"JSON Value: {_show(document)} Not formatted correctly expecting only "
            "one of 'inputs' or 'instances' keys to exist "
        )
    if "instances" in document:
        rows = document["instances"]
        if not isinstance(rows, list):
            raise invalid(
                f"JSON Value: {_show(document)} Excepting 'instances' to be an list/array"
            )
        if not rows:
            raise invalid(f"JSON Value: {_show(document)} No values in 'instances' array")
        return Body(name, True, rows)
    if "inputs" in document:
        return Body(name, False, document["inputs"])
    raise invalid("Missing 'inputs' or 'instances' key")


def _signature_name(document: Any) -> str:
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {_show(document)} Is not object")
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {_show(document)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return name


def _load(body: bytes) -> Any:
    if not body.strip():
        raise invalid("JSON Parse error: The document is empty")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        # Slower, but it knows NaN and Infinity.
        return json.loads(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise invalid("JSON Parse error: The text is not UTF-8") from None
    except RecursionError:
        raise invalid("JSON Parse error: The values are nested too deeply") from None
    except ValueError as error:
        raise invalid(f"JSON Parse error: {error}") from None


def inputs_of(body: Body, signature: Signature, limits: Limits) -> dict[str, Any]:
    """Turns a parsed request into arrays.

    Args:
        body: the request.
        signature: what it should hold.
        limits: what a client may ask.

    Returns:
        NumPy arrays by name.

    Raises:
        ServingError: INVALID_ARGUMENT if it is not what the signature takes.
    """
    if not signature.inputs:
        raise invalid(f"Failed to get input map for signature: {body.signature_name or 'DEFAULT'}")
    columns = _columns_of_rows(body, signature) if body.by_row else _columns(body, signature)
    tensors.check_names(signature, set(columns))
    return {
        name: _array(name, columns[name], spec, limits) for name, spec in signature.inputs.items()
    }


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def _columns_of_rows(body: Body, signature: Signature) -> dict[str, Any]:
    rows = body.values
    if not _is_object(rows[0]):
        if len(signature.inputs) > 1:
            raise invalid(
                "instances is a plain list, but expecting list of objects as multiple "
                "input tensors required as per tensorinfo_map"
            )
        for position, row in enumerate(rows):
            if _is_object(row):
                raise invalid(
                    f"Expecting value/list but got object at item {position} of input list"
                )
        return {next(iter(signature.inputs)): rows}
    for position, row in enumerate(rows):
        if not _is_object(row):
            raise invalid(f"Expecting object but got list at item {position} of input list")
        if row.keys() != signature.inputs.keys():
            raise invalid(
                f"Failed to process element: {position} of 'instances' list. JSON object: "
                f"{_show(row)} keys must be equal to: {','.join(sorted(signature.inputs))}"
            )
    return {name: [row[name] for row in rows] for name in signature.inputs}


def _columns(body: Body, signature: Signature) -> dict[str, Any]:
    if _is_object(body.values):
        columns: dict[str, Any] = body.values
        for name in signature.inputs:
            if name not in columns:
                raise invalid(f"Missing named input: {name} in 'inputs' object.")
        return columns
    if len(signature.inputs) > 1:
        raise invalid(
            "inputs is a plain value/list, but expecting an object as multiple "
            "input tensors required as per tensorinfo_map"
        )
    return {next(iter(signature.inputs)): body.values}


def _array(name: str, value: Any, spec: TensorSpec, limits: Limits) -> Any:
    shape = _shape(value)
    tensors.check_shape(name, shape, spec, limits)
    try:
        if spec.dtype == "string":
            strings = np.empty(shape, object)
            flat: list[bytes] = []
            _explain(value, shape, 0, spec, flat)
            strings.reshape(-1)[:] = flat
            return strings
        return _numbers(value, shape, spec)
    except ServingError as error:
        raise invalid(f'input "{name}": {error.message}') from None


def _shape(value: Any) -> tuple[int, ...]:
    shape: list[int] = []
    while isinstance(value, list) and len(shape) <= _DEEPEST:
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(shape)


def _numbers(value: Any, shape: tuple[int, ...], spec: TensorSpec) -> Any:
    dtype = spec.numpy_dtype
    flat = _flat(value, shape)
    if flat is None or not set(map(type, flat)) <= _KINDS[dtype.kind]:
        _explain(value, shape, 0, spec, [])
    try:
        array = np.array(flat, np.float64 if dtype.kind == "f" else dtype)
    except OverflowError:
        raise invalid(f"JSON Value: {_show(value)} is not of expected type: {spec.dtype}") from None
    if dtype.kind == "f" and _loses(array, flat, spec.dtype):
        raise invalid(
            f"Cannot convert JSON value: {_show(value)} to {spec.dtype} without loss of precision."
        )
    return array.astype(dtype, copy=False).reshape(shape)


def _flat(value: Any, shape: tuple[int, ...]) -> Any:
    """Returns the values of nested lists as one list, or None if the lists are not of one shape.

    A layer at a time, because that runs in C. NumPy would do it, too, but would take strings for
    numbers, and for a long string among many values more memory than the machine has.
    """
    layer = [value]
    for size in shape:
        if set(map(type, layer)) != {list} or set(map(len, layer)) != {size}:
            return None
        layer = list(itertools.chain.from_iterable(layer))
    return layer


def _loses(array: Any, flat: list[Any], dtype: str) -> bool:
    finite = array[np.isfinite(array)]
    if finite.size and np.abs(finite).max() > np.finfo(dtype).max:
        return True
    return any(abs(number) > _EXACT[dtype] for number in flat if type(number) is int)


def _explain(
    value: Any, shape: tuple[int, ...], level: int, spec: TensorSpec, flat: list[Any]
) -> None:
    """Collects the values of nested lists one by one, and so finds which of them is wrong.

    Raises:
        ServingError: INVALID_ARGUMENT, in TensorFlow Serving's words.
    """
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid(
                f"JSON Value: {_show(value)} found at incorrect level: {level + 1} "
                f"in the JSON DOM. Expected at level: {len(shape)}"
            )
        flat.append(_leaf(value, spec))
        return
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    for entry in value:
        _explain(entry, shape, level + 1, spec, flat)


def _leaf(value: Any, spec: TensorSpec) -> Any:
    kind = spec.numpy_dtype.kind
    if kind == "O" and isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if kind == "O" and _is_base64(value):
        text = value["b64"]
        try:
            return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError):
            raise invalid("Unable to base64 decode") from None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if (
        (kind == "f" and is_number)
        or (kind in "iu" and is_number and isinstance(value, int))
        or (kind == "b" and isinstance(value, bool))
    ):
        return value
    raise invalid(
        f"JSON Value: {_show(value)} Type: {_TYPES.get(type(value), 'Number')} "
        f"is not of expected type: {spec.dtype}"
    )


_TYPES = {dict: "Object", list: "Array", str: "String", bool: "Boolean", type(None): "Null"}


def _show(value: Any) -> str:
    """Writes the beginning of a value for a message."""
    return _SHORT.repr(value)


def render(outputs: Mapping[str, Any], by_row: bool) -> bytes:
    """Writes the answer.

    Args:
        outputs: NumPy arrays by name.
        by_row: whether the request had `instances`.

    Returns:
        JSON in UTF-8: `predictions` of rows or `outputs` of columns.

    Raises:
        ServingError: INVALID_ARGUMENT if rows are asked for and the outputs have none in common.
    """
    finite = all(array.dtype.kind != "f" or np.isfinite(array).all() for array in outputs.values())
    plain = {name: _plain(name, array) for name, array in outputs.items()}
    if not finite:
        plain = {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in plain.items()
        }
    bare = next(iter(plain.values())) if len(plain) == 1 else None
    if by_row:
        size = _rows(outputs)
        rows = [{name: value[row] for name, value in plain.items()} for row in range(size)]
        document = {"predictions": rows if bare is None else bare}
    else:
        document = {"outputs": plain if bare is None else bare}
    if finite:
        return orjson.dumps(document, option=_NUMPY)
    return json.dumps(document).encode()


def _rows(outputs: Mapping[str, Any]) -> int:
    sizes = set()
    for name, array in outputs.items():
        if not array.ndim:
            raise invalid(f"Tensor name: {name} has no shape information ")
        sizes.add(array.shape[0])
        if len(sizes) > 1:
            raise invalid(
                f"Tensor name: {name} has inconsistent batch size: {array.shape[0]} "
                f"expecting: {(sizes - {array.shape[0]}).pop()}"
            )
    return int(sizes.pop())


def _plain(name: str, array: Any) -> Any:
    if array.dtype != object:
        # orjson writes float32 in as few digits as tell it apart; it takes no other layout.
        return np.ascontiguousarray(array) if array.ndim else array[()]
    return _strings(array.tolist(), name.endswith("_bytes"))


def _strings(value: Any, as_base64: bool) -> Any:
    if isinstance(value, list):
        return [_strings(entry, as_base64) for entry in value]
    if as_base64:
        return {"b64": base64.b64encode(value).decode()}
    return value.decode("utf-8", "replace")
