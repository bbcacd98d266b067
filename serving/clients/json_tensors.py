"""Tensors and signatures as JSON, in the format of TensorFlow Serving's REST API."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from serving.clients.predictor import Array
from serving.runtime.specs import Signature, TensorSpec, callable_signatures


def request_body(inputs: Mapping[str, Array], signature: str) -> bytes:
    """Writes a predict request in column format.

    Strings are sent in base64, since they need not be UTF-8. Non-finite numbers are written as the
    tokens NaN, Infinity and -Infinity, which are not JSON but which the server accepts.

    Args:
        inputs: arrays by name; strings are objects of type `bytes`.
        signature: name of the signature.

    Example:
        >>> request_body({"h": np.array([[0.1, 2]], np.float32)}, "step")
        b'{"signature_name":"step","inputs":{"h":[[0.1,2.0]]}}'
        >>> request_body({"h": np.array([np.nan])}, "step")
        b'{"signature_name":"step","inputs":{"h":[NaN]}}'
    """
    import orjson

    values = {name: _outgoing(array) for name, array in inputs.items()}
    body = {"signature_name": signature, "inputs": values}
    if all(array.dtype.kind != "f" or np.isfinite(array).all() for array in inputs.values()):
        return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
    body["inputs"] = {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in values.items()
    }
    return json.dumps(body, separators=(",", ":")).encode()


def _outgoing(array: Array) -> Any:
    if array.dtype != object:
        return array.astype(np.float32) if array.dtype == np.float16 else array
    encoded = np.empty(array.shape, object)
    for index, value in np.ndenumerate(array):
        encoded[index] = {"b64": base64.b64encode(value).decode("ascii")}
    return encoded.tolist()


def read_json(body: bytes) -> Any:
    """Parses a response.

    Args:
        body: JSON, which may contain the tokens NaN, Infinity and -Infinity, and strings that are
            not UTF-8: their bytes become surrogates, which `read_outputs` converts back.

    Raises:
        ValueError: if it is something else.
    """
    import orjson

    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return json.loads(body.decode("utf-8", "surrogateescape"))


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
    return {name: _incoming(outputs[name], spec) for name, spec in signature.outputs.items()}


def _incoming(value: Any, spec: TensorSpec) -> Array:
    if spec.dtype == "string":
        texts = np.array(value, object)
        array = np.empty(texts.shape, object)
        for index, text in np.ndenumerate(texts):
            array[index] = _bytes(text)
    else:
        array = np.array(value, spec.numpy_dtype)
    if array.size == 0 and spec.shape is not None:
        # JSON does not keep the dimensions after one of size 0.
        rest = (size or 0 for size in spec.shape[array.ndim :])
        array = array.reshape(*array.shape, *rest)
    return array


def _bytes(text: Any) -> bytes:
    if isinstance(text, str):
        return text.encode("utf-8", "surrogateescape")
    if isinstance(text, Mapping) and text.keys() == {"b64"}:
        return base64.b64decode(text["b64"], validate=True)
    raise ValueError(f"{type(text).__name__} in a string tensor")


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
