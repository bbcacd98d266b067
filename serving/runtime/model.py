"""What every exported model that runs in this process has in common, whatever runs it."""

from __future__ import annotations

import abc
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy.typing as npt

from common.errors import InputError, install
from serving.clients import checks
from serving.clients.errors import ServingError
from serving.clients.predictor import Array
from serving.runtime.specs import DEFAULT_SIGNATURE, Signature


class Model(abc.ABC):
    """A `serving.clients.predictor.Predictor`; inputs are checked before they are run.

    Args:
        path: of the model, for error texts.
        signatures: what it can be asked, by name.
    """

    def __init__(self, path: Path, signatures: Mapping[str, Signature]) -> None:
        self._where = f"model {path}"
        self._signatures = signatures

    def signatures(self) -> Mapping[str, Signature]:
        """What the model can be asked, by name of the signature."""
        return self._signatures

    def predict(
        self, inputs: Mapping[str, npt.ArrayLike], signature: str = DEFAULT_SIGNATURE
    ) -> dict[str, Array]:
        """Runs the model; see `serving.clients.predictor.Predictor.predict`."""
        spec = checks.signature_of(self._where, self._signatures, signature)
        return self._run(signature, spec, checks.prepared(self._where, spec, inputs))

    @abc.abstractmethod
    def _run(self, name: str, spec: Signature, arrays: dict[str, Array]) -> dict[str, Array]:
        """Runs a signature.

        Args:
            name: of the signature.
            spec: what it takes and returns.
            arrays: its inputs.

        Raises:
            ServingError: if the runtime fails, or the model is closed.
        """

    def _closed(self) -> ServingError:
        return ServingError("CANCELLED", f"{self._where}: the model is closed")

    @abc.abstractmethod
    def close(self) -> None:
        """Frees the model; what is asked afterward is a `ServingError`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def require(path: Path, module: str, package: str, extra: str) -> Any:
    """Imports what runs a model.

    Args:
        path: of the model.
        module: that is imported.
        package: that has it, as pip calls it.
        extra: of this project, that brings it.

    Raises:
        InputError: if it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"{path}: expected the package {package}. "
            f"Received: not installed; run `{install(extra)}`"
        ) from error
