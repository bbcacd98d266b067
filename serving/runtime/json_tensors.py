"""Tensors and signatures as JSON, in the format of TensorFlow Serving's REST API."""

from __future__ import annotations

import base64
import itertools
import json
import math
import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from serving.clients.predictor import Array
from serving.runtime.specs import Signature, TensorSpec, callable_signatures

_KINDS: Mapping[str, set[type]] = {"f": {int, float}, "i": {int}, "u": {int}, "b": {bool}}
"""Types of values by the kind of a NumPy type."""


def request_body(inputs: Mapping[str, Array], signature: str) -> bytes:
    """Writes a predict request in column format.

    Strings are sent in base64, since they need not be UTF-8.

    Args:
        inputs: arrays by name; strings are objects of type `bytes`.
        signature: name of the signature.

    Example:
        >>> request_body({"h": np.array([[0.1, 2]], np.float32)}, "step")
        b'{"signature_name":"step","inputs":{"h":[[0.1,2.0]]}}'
        >>> request_body({"h": np.array([np.nan])}, "step")
        b'{"signature_name":"step","inputs":{"h":[NaN]}}'
    """
    values = {name: plain(array, as_base64) for name, array in inputs.items()}
    return write_json({"signature_name": signature, "inputs": values}, inputs.values())


def as_base64(value: bytes) -> dict[str, str]:
    """Encodes a string that need not be UTF-8."""
    return {"b64": base64.b64encode(value).decode("ascii")}


def plain(array: Array, text: Callable[[bytes], Any]) -> Any:
    """Converts an array to a value for `write_json`.

    Args:
        array: numbers, truth values, or objects of type `bytes`.
        text: encodes a string.
    """
    if array.dtype == object:
        return np.vectorize(text, otypes=[object])(array).tolist()
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    # orjson writes contiguous arrays, and no arrays without an axis.
    return np.ascontiguousarray(array) if array.ndim else array[()]


def write_json(document: Any, arrays: Iterable[Array]) -> bytes:
    """Writes a document in which arrays may stand.

    Non-finite numbers are written as the tokens NaN, Infinity and -Infinity, which are not JSON but
    which TensorFlow Serving accepts and writes.

    Args:
        document: the document.
        arrays: the arrays that stand in it.
    """
    import orjson

    if all(array.dtype.kind != "f" or np.isfinite(array).all() for array in arrays):
        return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    text = json.dumps(document, default=lambda value: value.tolist(), separators=(",", ":"))
    return text.encode()


def read_json(body: bytes) -> Any:
    """Parses a request or a response.

    Args:
        body: JSON, which may contain the tokens NaN, Infinity and -Infinity, and strings that are
            not UTF-8: their bytes become surrogates, which `to_bytes` converts back.

    Raises:
        ValueError: if it is something else.
    """
    import orjson

    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return json.loads(body.decode("utf-8", "surrogateescape"), parse_float=_finite)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:20]} is beyond every number")
    return number


def read_outputs(outputs: Any, signature: Signature) -> dict[str, Array]:
    """Converts the outputs of a predict response in column format to arrays.

    Args:
        outputs: value of `outputs` in the response: values by name, or the value of the only one.
        signature: determines the types; outputs that it does not have are ignored.

    Raises:
        ValueError: if an output is missing or is not a tensor of its type.
    """
    if len(signature.outputs) == 1 and not (
        isinstance(outputs, Mapping) and outputs.keys() == signature.outputs.keys()
    ):
        outputs = dict.fromkeys(signature.outputs, outputs)
    missing = [name for name in signature.outputs if name not in outputs]
    if missing:
        raise ValueError(f"no output {', '.join(missing)}")
    return {name: to_array(outputs[name], spec) for name, spec in signature.outputs.items()}


def to_array(
    value: Any, spec: TensorSpec, check: Callable[[tuple[int, ...]], None] = lambda _: None
) -> Array:
    """Converts nested lists to an array.

    Works on one level at a time, because that runs in C. NumPy could do it, too, but would accept
    strings as numbers, and would run out of memory for a long string among many values.

    Args:
        value: the lists, or a single value.
        spec: determines the type.
        check: is called with the shape before memory is allocated for it.

    Raises:
        ValueError: if the lists differ in shape, or a value is of another kind or out of range.

    Example:
        >>> to_array([[1, 2.5]], TensorSpec("float32", (None, 2)))
        array([[1. , 2.5]], dtype=float32)
    """
    shape: tuple[int, ...] = ()
    values = [value]
    while list in (kinds := set(map(type, values))):
        sizes = set(map(len, values)) if len(kinds) == 1 else set()
        if len(sizes) != 1:
            raise ValueError("expected lists of one shape")
        shape += tuple(sizes)
        values = list(itertools.chain.from_iterable(values))
    if 0 in shape and spec.shape is not None:
        # JSON does not keep the dimensions after one of size 0.
        shape += tuple(size or 0 for size in spec.shape[len(shape) :])
    check(shape)
    if spec.dtype == "string":
        array = np.empty(len(values), object)
        array[:] = [to_bytes(value) for value in values]
        return array.reshape(shape)
    dtype = spec.numpy_dtype
    wrong = kinds - _KINDS[dtype.kind]
    if wrong:
        received = next(value for value in values if type(value) in wrong)
        raise ValueError(f"expected values of {spec.dtype}. Received: {reprlib.repr(received)}")
    try:
        wide = np.array(values, np.float64 if dtype.kind == "f" else dtype)
        with np.errstate(over="ignore"):
            array = wide.astype(dtype)
        if dtype.kind == "f" and (np.isinf(array) & ~np.isinf(wide)).any():
            raise OverflowError
    except OverflowError:
        raise ValueError(f"expected values of {spec.dtype}. Received: one out of range") from None
    return array.reshape(shape)


def to_bytes(text: Any) -> bytes:
    """Decodes a string, which may be in base64.

    Raises:
        ValueError: if it is something else.
    """
    if isinstance(text, str):
        return text.encode("utf-8", "surrogateescape")
    if is_base64(text):
        # The padding is optional in TensorFlow Serving.
        return base64.b64decode(text["b64"] + "=" * (-len(text["b64"]) % 4), validate=True)
    raise ValueError(f"{type(text).__name__} in a string tensor")


def is_base64(value: Any) -> bool:
    """Returns whether a value is a string in base64."""
    return isinstance(value, Mapping) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def read_signatures(metadata: Mapping[str, Any]) -> dict[str, Signature]:
    """Reads the callable signatures, sorted by name.

    Args:
        metadata: value of `metadata` in the response.

    Raises:
        KeyError: if it contains no signatures.
        ValueError: if they have another form.
    """
    from serving.runtime import messages

    # Extracted first: as a message, metadata without the field would just have no signatures.
    document = {"signature_def": metadata["signature_def"]["signature_def"]}
    found = messages.from_json(document, messages.SignatureDefMap())
    return callable_signatures(found.signature_def)
