"""The part of TensorFlow's C API that running a SavedModel needs, from the installed package.

TensorFlow's Python package, which takes seconds to import, is not imported.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from common.errors import InputError, install
from serving.runtime.specs import DTYPES, NAMES, name_of
from serving.runtime.status import Code

Pointer = ctypes.c_void_p

STRING_BYTES = 24
"""Size of a `TF_TString` in bytes."""

_NUMBER, _SIZE = ctypes.c_int, ctypes.c_size_t

# Result and argument types of each function: without them ctypes would cut pointers to 32 bits.
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "TF_AllocateTensor": (Pointer, [_NUMBER, Pointer, _NUMBER, _SIZE]),
    "TF_CloseSession": (None, [Pointer, Pointer]),
    "TF_DeleteBuffer": (None, [Pointer]),
    "TF_DeleteDeviceList": (None, [Pointer]),
    "TF_DeleteGraph": (None, [Pointer]),
    "TF_DeleteSession": (None, [Pointer, Pointer]),
    "TF_DeleteSessionOptions": (None, [Pointer]),
    "TF_DeleteStatus": (None, [Pointer]),
    "TF_DeleteTensor": (None, [Pointer]),
    "TF_DeviceListCount": (_NUMBER, [Pointer]),
    "TF_Dim": (ctypes.c_int64, [Pointer, _NUMBER]),
    "TF_GetCode": (_NUMBER, [Pointer]),
    "TF_GraphOperationByName": (Pointer, [Pointer, ctypes.c_char_p]),
    "TF_LoadSessionFromSavedModel": (
        Pointer,
        [Pointer, Pointer, ctypes.c_char_p, Pointer, _NUMBER, Pointer, Pointer, Pointer],
    ),
    "TF_Message": (ctypes.c_char_p, [Pointer]),
    "TF_NewBufferFromString": (Pointer, [ctypes.c_char_p, _SIZE]),
    "TF_NewGraph": (Pointer, []),
    "TF_NewSession": (Pointer, [Pointer, Pointer, Pointer]),
    "TF_NewSessionOptions": (Pointer, []),
    "TF_NewStatus": (Pointer, []),
    "TF_NumDims": (_NUMBER, [Pointer]),
    "TF_SessionRun": (
        None,
        [
            *(Pointer, Pointer),
            *(Pointer, Pointer, _NUMBER),
            *(Pointer, Pointer, _NUMBER),
            *(Pointer, _NUMBER),
            *(Pointer, Pointer),
        ],
    ),
    "TF_SessionListDevices": (Pointer, [Pointer, Pointer]),
    "TF_SetConfig": (None, [Pointer, ctypes.c_char_p, _SIZE, Pointer]),
    "TF_StringCopy": (None, [Pointer, ctypes.c_char_p, _SIZE]),
    "TF_StringDealloc": (None, [Pointer]),
    "TF_StringGetDataPointer": (Pointer, [Pointer]),
    "TF_StringGetSize": (_SIZE, [Pointer]),
    "TF_StringInit": (None, [Pointer]),
    "TF_TensorByteSize": (_SIZE, [Pointer]),
    "TF_TensorData": (Pointer, [Pointer]),
    "TF_TensorType": (_NUMBER, [Pointer]),
    "TF_Version": (ctypes.c_char_p, []),
}

_LONG = ("TF_CloseSession", "TF_DeleteSession", "TF_LoadSessionFromSavedModel", "TF_SessionRun")
"""Functions that release Python's interpreter lock; all others end too soon for that."""


class Output(ctypes.Structure):
    """`TF_Output`: one result of an operation."""

    _fields_ = (("oper", Pointer), ("index", _NUMBER))


class Failure(Exception):
    """A call failed.

    Attributes:
        code: the `TF_Code`, whose numbers are those of gRPC.
        cause: what failed, in one line, without the place in the graph that TensorFlow adds.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = Code(code)
        lines = [line for line in message.splitlines() if line and not line[0].isspace()]
        self.cause = lines[0].strip() if lines else "unknown"


def _paths() -> list[Path]:
    spec = importlib.util.find_spec("tensorflow")
    places = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    found = [
        path
        for name in ("framework", "cc")
        for place in places
        for path in sorted(place.glob(f"libtensorflow_{name}.*"))[:1]
    ]
    if len(found) != 2:
        raise InputError(
            "SavedModel: expected the package tensorflow with its C library (Linux, macOS). "
            f"Received: {'one without it' if places else 'not installed'}; "
            f"run `{install('serving')}`"
        )
    return found


@functools.cache
def library() -> Any:
    """Loads the library, once.

    Returns:
        An object with the functions as attributes.

    Raises:
        InputError: if TensorFlow is not installed, or lacks its C library.
    """
    # Not RTLD_GLOBAL: Python's own modules would find TensorFlow's copy of OpenSSL, and crash.
    paths = [str(path) for path in _paths()]
    for path in paths:
        shared = ctypes.CDLL(path, mode=ctypes.RTLD_LOCAL)
    brief = ctypes.PyDLL(paths[-1], mode=ctypes.RTLD_LOCAL)

    class Functions:
        pass

    functions = Functions()
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(shared if name in _LONG else brief, name)
        function.restype, function.argtypes = result, arguments
        setattr(functions, name, function)
    return functions


def raise_failure(status: int) -> None:
    """Raises `Failure` if the last call with this status failed."""
    functions = library()
    code = functions.TF_GetCode(status)
    if code:
        raise Failure(code, functions.TF_Message(status).decode("utf-8", "replace"))


def to_tensor(array: npt.NDArray[Any]) -> int:
    """Copies an array into a new `TF_Tensor`.

    Args:
        array: an array of a type in `serving.runtime.specs.DTYPES`; strings are `bytes` objects.
    """
    array = np.asarray(array, order="C")
    functions, is_text = library(), array.dtype.hasobject
    dims = (ctypes.c_int64 * array.ndim)(*array.shape)
    size = array.size * STRING_BYTES if is_text else array.nbytes
    number = DTYPES[name_of(array.dtype)]
    tensor: int = functions.TF_AllocateTensor(number, dims, array.ndim, size)
    data = functions.TF_TensorData(tensor)
    if is_text:
        for index, value in enumerate(array.ravel().tolist()):
            place = data + index * STRING_BYTES
            functions.TF_StringInit(place)
            functions.TF_StringCopy(place, value, len(value))
    elif size:
        ctypes.memmove(data, array.ctypes.data, size)
    return tensor


def to_array(tensor: int) -> npt.NDArray[Any]:
    """Copies a `TF_Tensor` into a new array.

    Raises:
        Failure: UNIMPLEMENTED if NumPy has no such type.
    """
    functions = library()
    number = functions.TF_TensorType(tensor)
    if number not in NAMES:
        raise Failure(Code.UNIMPLEMENTED, f"DataType {number} is none that can be answered")
    shape = [functions.TF_Dim(tensor, axis) for axis in range(functions.TF_NumDims(tensor))]
    if NAMES[number] == "string":
        return _texts(functions, functions.TF_TensorData(tensor), shape)
    array = np.empty(shape, NAMES[number])
    if array.nbytes:
        ctypes.memmove(array.ctypes.data, functions.TF_TensorData(tensor), array.nbytes)
    return array


def _texts(functions: Any, data: int, shape: Sequence[int]) -> npt.NDArray[Any]:
    array = np.empty(math.prod(shape), object)
    for index in range(len(array)):
        place = data + index * STRING_BYTES
        size = functions.TF_StringGetSize(place)
        pointer = functions.TF_StringGetDataPointer(place)
        array[index] = ctypes.string_at(pointer, size) if size else b""
    return array.reshape(shape)


def delete(tensor: int) -> None:
    """Frees a tensor, including the strings in it."""
    functions = library()
    if functions.TF_TensorType(tensor) == DTYPES["string"]:
        data = functions.TF_TensorData(tensor)
        count = functions.TF_TensorByteSize(tensor) // STRING_BYTES
        for index in range(count):
            functions.TF_StringDealloc(data + index * STRING_BYTES)
    functions.TF_DeleteTensor(tensor)
