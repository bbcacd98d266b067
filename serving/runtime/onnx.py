"""Runs the files of `serving.export --format=onnx` with ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from common.errors import InputError, reason
from serving.clients.errors import ServingError
from serving.clients.predictor import Array
from serving.runtime.model import Model, require
from serving.runtime.specs import DEFAULT_SIGNATURE, Signature, TensorSpec

_TYPES = {"float": "float32", "double": "float64"}


class OnnxModel(Model):
    """A `Predictor` for ONNX files, one per signature; threads may share it.

    A call runs on one core: small networks gain nothing from more, and spinning threads slow down
    the others.

    Args:
        path: `NAME.onnx`, for the files `NAME.SIGNATURE.onnx`; or one of them, for all of them; or
            a single file of any name, which is used as `serving_default`.

    Raises:
        InputError: if there are no such files, or ONNX Runtime is not installed or cannot load one.

    Example:
        >>> OnnxModel(Path("music.onnx")).signatures().keys()  # doctest: +SKIP
        dict_keys(['chunk', 'serving_default', 'step'])
    """

    def __init__(self, path: Path) -> None:
        onnxruntime = require(path, "onnxruntime", "onnxruntime", "onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        # Warnings about the graph concern its conversion.
        options.log_severity_level = 3
        self._sessions: dict[str, Any] = {}
        for name, file in sorted(_files(path).items()):
            try:
                self._sessions[name] = onnxruntime.InferenceSession(
                    str(file), options, providers=["CPUExecutionProvider"]
                )
            except Exception as error:
                # ONNX Runtime's errors have no common base class.
                raise InputError(
                    f"{file}: expected a file that ONNX Runtime {onnxruntime.__version__} loads. "
                    f"Received: {reason(error)}"
                ) from error
        signatures = {
            name: Signature(_specs(session.get_inputs()), _specs(session.get_outputs()))
            for name, session in self._sessions.items()
        }
        super().__init__(path, signatures)

    def _run(self, name: str, spec: Signature, arrays: dict[str, Array]) -> dict[str, Array]:
        session = self._sessions.get(name)
        if session is None:
            raise self._closed()
        names = list(spec.outputs)
        try:
            values = session.run(names, arrays)
        except Exception as error:
            # ONNX Runtime's errors have no common base class.
            raise ServingError("INVALID_ARGUMENT", f"{self._where}: {reason(error)}") from error
        return dict(zip(names, map(_encoded, values), strict=True))

    def close(self) -> None:
        """Frees the model; later calls raise `ServingError`."""
        self._sessions = {}


def _files(path: Path) -> dict[str, Path]:
    """Finds the file of each signature."""
    for name in (path.stem, path.stem.rpartition(".")[0]):
        prefix = f"{name}."
        found = {
            file.name.removeprefix(prefix).removesuffix(".onnx"): file
            for file in path.parent.glob("*.onnx")
            if name and file.name.startswith(prefix) and file.stem != name
        }
        if DEFAULT_SIGNATURE in found:
            return found
    if path.is_file():
        return {DEFAULT_SIGNATURE: path}
    raise InputError(
        f"{path}: expected the files {path.stem}.{DEFAULT_SIGNATURE}.onnx and so on, as "
        "serving.export writes them. Received: none"
    )


def _specs(values: Any) -> dict[str, TensorSpec]:
    specs = {}
    for value in sorted(values, key=lambda value: str(value.name)):
        # Such as `tensor(float)`.
        kind = value.type.removeprefix("tensor(").removesuffix(")")
        sizes = tuple(size if isinstance(size, int) else None for size in value.shape)
        specs[value.name] = TensorSpec(_TYPES.get(kind, kind), sizes, value.name)
    return specs


def _encoded(value: Any) -> Array:
    array: Array = np.asarray(value)
    if array.dtype.kind not in "OU":
        return array
    encoded = np.empty(array.shape, object)
    for index, text in np.ndenumerate(array):
        encoded[index] = str(text).encode()
    return encoded
