"""The file of `serving.export --format=litert` in LiteRT's interpreter."""

from __future__ import annotations

import threading
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


class LiteRTModel:
    """A `Predictor` of a LiteRT file, of one sequence a call; threads that share it take turns.

    Args:
        path: `NAME.tflite`.

    Raises:
        InputError: if it is no such file, or LiteRT is not installed.

    Example:
        >>> LiteRTModel(Path("music.tflite")).signatures().keys()  # doctest: +SKIP
        dict_keys(['chunk', 'serving_default', 'step'])
    """

    def __init__(self, path: Path) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise InputError(
                f"{path}: expected the package ai-edge-litert. "
                f"Received: not installed; run `{install('litert')}`"
            ) from error
        self._where = f"model {path}"
        content = path.read_bytes()
        try:
            interpreter = Interpreter(model_content=content, num_threads=1)
            self._runners: dict[str, Any] = {
                name: interpreter.get_signature_runner(name)
                for name in sorted(interpreter.get_signature_list())
            }
        except (RuntimeError, ValueError) as error:
            raise InputError(
                f"{path}: expected a file that LiteRT loads. Received: {reason(error)}"
            ) from error
        self._signatures = {
            name: Signature(_specs(runner.get_input_details()), _specs(runner.get_output_details()))
            for name, runner in self._runners.items()
        }
        self._lock = threading.Lock()

    def signatures(self) -> Mapping[str, Signature]:
        """What the model can be asked, by name of the signature."""
        return self._signatures

    def predict(
        self, inputs: Mapping[str, npt.ArrayLike], signature: str = DEFAULT_SIGNATURE
    ) -> dict[str, Array]:
        """Runs the model; see `serving.clients.predictor.Predictor.predict`."""
        spec = checks.signature_of(self._where, self._signatures, signature)
        arrays = checks.prepared(self._where, spec, inputs)
        with self._lock:
            runner = self._runners.get(signature)
            if runner is None:
                raise ServingError("CANCELLED", f"{self._where}: the model is closed")
            try:
                answer = runner(**arrays)
            except (RuntimeError, ValueError) as error:
                problem = f"{self._where}: {reason(error)}"
                raise ServingError("INVALID_ARGUMENT", problem) from error
        return {name: np.asarray(answer[name]) for name in spec.outputs}

    def close(self) -> None:
        """Frees the model; what is asked afterward is a `ServingError`."""
        with self._lock:
            self._runners = {}

    def __enter__(self) -> LiteRTModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _specs(details: Mapping[str, Any]) -> dict[str, TensorSpec]:
    return {
        name: TensorSpec(
            np.dtype(details[name]["dtype"]).name,
            tuple(None if size < 0 else int(size) for size in details[name]["shape_signature"]),
            name,
        )
        for name in sorted(details)
    }
