"""Checks of inputs against a model's signature, before they are sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from serving.clients.errors import ServingError
from serving.clients.predictor import Array
from serving.runtime.specs import Signature, TensorSpec

_T = TypeVar("_T")


def signature_of(where: str, signatures: Mapping[str, Signature], name: str) -> Signature:
    """Finds a signature by name.

    Args:
        where: the model and its address, for the error message.
        signatures: the signatures of the model, by name.
        name: name of the signature to find.

    Raises:
        ServingError: if the model has no such signature.
    """
    if name not in signatures:
        raise ServingError(
            "INVALID_ARGUMENT",
            f"{where}: expected one of the signatures {_listed(signatures)}. Received: {name!r}",
        )
    return signatures[name]


def prepared(
    where: str, signature: Signature, inputs: Mapping[str, npt.ArrayLike]
) -> dict[str, Array]:
    """Converts inputs to arrays of the types that a signature expects.

    Numbers are cast within their kind (float64 to float32, integers whose values fit to other
    integers) and to a wider kind (integers to floating point), never to a narrower one.

    Args:
        where: the model and its address, for the error message.
        signature: the signature to be called.
        inputs: arrays by name, or anything that NumPy converts to arrays.

    Returns:
        Contiguous arrays by name, in the order of the signature.

    Raises:
        ServingError: with code INVALID_ARGUMENT, if an input is missing or not in the signature, or
            has the wrong rank, the wrong size in a fixed dimension, a type that cannot be cast, or
            another batch size than the others.

    Example:
        >>> spec = TensorSpec("float32", (None, 2))
        >>> prepared("music", Signature({"frame": spec}, {}), {"frame": [[1, 2]]})
        {'frame': array([[1., 2.]], dtype=float32)}
    """
    if inputs.keys() != signature.inputs.keys():
        raise ServingError(
            "INVALID_ARGUMENT",
            f"{where}: expected the inputs {_listed(signature.inputs)}. "
            f"Received: {_listed(inputs) or 'none'}",
        )
    arrays = {
        name: _prepared(f"{where}: input {name}", spec, inputs[name])
        for name, spec in signature.inputs.items()
    }
    batches = {name: len(array) for name, array in arrays.items() if array.ndim}
    if len(set(batches.values())) > 1:
        sizes = ", ".join(f"{name} {size}" for name, size in batches.items())
        raise ServingError(
            "INVALID_ARGUMENT", f"{where}: expected inputs of one batch size. Received: {sizes}"
        )
    return arrays


def _prepared(where: str, spec: TensorSpec, value: npt.ArrayLike) -> Array:
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ServingError(
            "INVALID_ARGUMENT", f"{where}: expected an array. Received: rows of different lengths"
        ) from error
    if spec.shape is not None and not _fits(array.shape, spec.shape):
        raise ServingError(
            "INVALID_ARGUMENT",
            f"{where}: expected the shape {_shape(spec.shape)}. Received: {_shape(array.shape)}",
        )
    return np.ascontiguousarray(_cast(where, spec, array)).reshape(array.shape)


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        size == expected
        for size, expected in zip(shape, wanted, strict=True)
        if expected is not None
    )


def _cast(where: str, spec: TensorSpec, array: Array) -> Array:
    if spec.dtype == "string":
        if array.dtype.kind not in "SUO":
            raise _wrong_type(where, spec, str(array.dtype))
        return _as_bytes(where, spec, array)
    wanted = spec.numpy_dtype
    integers = array.dtype.kind in "iu" and wanted.kind in "iu"
    if not integers and not np.can_cast(array.dtype, wanted, "same_kind"):
        raise _wrong_type(where, spec, str(array.dtype))
    cast = array.astype(wanted)
    if integers and not np.array_equal(cast, array):
        raise _wrong_type(where, spec, "an integer that does not fit")
    return cast


def _as_bytes(where: str, spec: TensorSpec, array: Array) -> Array:
    strings = np.empty(array.shape, object)
    for index, value in np.ndenumerate(array):
        if not isinstance(value, str | bytes):
            raise _wrong_type(where, spec, type(value).__name__)
        strings[index] = value.encode() if isinstance(value, str) else bytes(value)
    return strings


def _wrong_type(where: str, spec: TensorSpec, received: str) -> ServingError:
    return ServingError("INVALID_ARGUMENT", f"{where}: expected {spec.dtype}. Received: {received}")


def _shape(shape: tuple[int | None, ...]) -> str:
    return f"[{', '.join('any' if size is None else str(size) for size in shape)}]"


def _listed(names: Mapping[str, _T]) -> str:
    return ", ".join(names)
