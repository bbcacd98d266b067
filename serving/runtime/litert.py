"""Runs the file of `serving.export --format=litert` with LiteRT's interpreter."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import InputError, reason
from serving.clients.errors import ServingError
from serving.clients.predictor import Array
from serving.runtime.model import Model, require
from serving.runtime.specs import Signature, TensorSpec


class LiteRTModel(Model):
    """A `Predictor` for a LiteRT file, one sequence per call; threads that share it take turns.

    Args:
        path: the file, `NAME.tflite`.

    Raises:
        InputError: if it is not a LiteRT file, or LiteRT is not installed.

    Example:
        >>> LiteRTModel(Path("music.tflite")).signatures().keys()  # doctest: +SKIP
        dict_keys(['chunk', 'serving_default', 'step'])
    """

    def __init__(self, path: Path) -> None:
        litert = require(path, "ai_edge_litert.interpreter", "ai-edge-litert", "litert")
        content = path.read_bytes()
        try:
            interpreter = litert.Interpreter(model_content=content, num_threads=1)
            self._runners: dict[str, Any] = {
                name: interpreter.get_signature_runner(name)
                for name in sorted(interpreter.get_signature_list())
            }
        except (RuntimeError, ValueError) as error:
            raise InputError(
                f"{path}: expected a file that LiteRT loads. Received: {reason(error)}"
            ) from error
        signatures = {
            name: Signature(_specs(runner.get_input_details()), _specs(runner.get_output_details()))
            for name, runner in self._runners.items()
        }
        super().__init__(path, signatures)
        self._lock = threading.Lock()

    def _run(self, name: str, spec: Signature, arrays: dict[str, Array]) -> dict[str, Array]:
        with self._lock:
            runner = self._runners.get(name)
            if runner is None:
                raise self._closed()
            try:
                answer = runner(**arrays)
            except (RuntimeError, ValueError) as error:
                problem = f"{self._where}: {reason(error)}"
                raise ServingError("INVALID_ARGUMENT", problem) from error
        return {output: np.asarray(answer[output]) for output in spec.outputs}

    def close(self) -> None:
        """Frees the model; later calls raise `ServingError`."""
        with self._lock:
            self._runners = {}


def _specs(details: Mapping[str, Any]) -> dict[str, TensorSpec]:
    return {
        name: TensorSpec(
            np.dtype(details[name]["dtype"]).name,
            tuple(None if size < 0 else int(size) for size in details[name]["shape_signature"]),
            name,
        )
        for name in sorted(details)
    }
