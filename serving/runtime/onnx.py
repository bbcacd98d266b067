"""The files of `serving.export --format=onnx` in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from common.errors import InputError, install, reason
from serving.clients import checks
from serving.clients.errors import ServingError
from serving.clients.predictor import DEFAULT_SIGNATURE, Array
from serving.runtime.specs import Signature, TensorSpec

_TYPES = {"float": "float32", "double": "float64"}


class OnnxModel:
    """A `Predictor` of ONNX files, one for each signature; threads may share it.

    One core runs a call: small networks gain nothing from more, and spinning threads cost the
    others.

    Args:
        path: `NAME.onnx`, for the files `NAME.SIGNATURE.onnx`; or one of them, for all of them; or
            a single file of any name, which is `serving_default`.

    Raises:
        InputError: if there are none, or ONNX Runtime is not installed or cannot load one.

    Example:
        >>> OnnxModel(Path("music.onnx")).signatures().keys()  # doctest: +SKIP
        dict_keys(['chunk', 'serving_default', 'step'])
    """

    def __init__(self, path: Path) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise InputError(
                f"{path}: expected the package onnxruntime. "
                f"Received: not installed; run `{install('onnx')}`"
            ) from error
        self._where = f"model {path}"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        # Warnings about the graph are for whoever converted it.
        options.log_severity_level = 3
        self._sessions: dict[str, Any] = {}
        for name, file in sorted(_files(path).items()):
            try:
                self._sessions[name] = onnxruntime.InferenceSession(
                    str(file), options, providers=["CPUExecutionProvider"]
                )
            except Exception as error:
                # Its own errors have no common class.
                raise InputError(
                    f"{file}: expected a file that ONNX Runtime {onnxruntime.__version__} loads. "
                    f"Received: {reason(error)}"
                ) from error
        self._signatures = {
            name: Signature(_specs(session.get_inputs()), _specs(session.get_outputs()))
            for name, session in self._sessions.items()
        }

    def signatures(self) -> Mapping[str, Signature]:
        """What the model can be asked, by name of the signature."""
        return self._signatures

    def predict(
        self, inputs: Mapping[str, npt.ArrayLike], signature: str = DEFAULT_SIGNATURE
    ) -> dict[str, Array]:
        """Runs the model; see `serving.clients.predictor.Predictor.predict`."""
        spec = checks.signature_of(self._where, self._signatures, signature)
        arrays = checks.prepared(self._where, spec, inputs)
        session = self._sessions.get(signature)
        if session is None:
            raise ServingError("CANCELLED", f"{self._where}: the model is closed")
        names = list(spec.outputs)
        try:
            values = session.run(names, arrays)
        except Exception as error:
            # Its own errors have no common class.
            raise ServingError("INVALID_ARGUMENT", f"{self._where}: {reason(error)}") from error
        return dict(zip(names, map(_encoded, values), strict=True))

    def close(self) -> None:
        """Frees the model; what is asked afterward is a `ServingError`."""
        self._sessions = {}

    def __enter__(self) -> OnnxModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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
