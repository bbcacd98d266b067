"""What all exported models that run in this process have in common, whatever runs them."""

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
    """A `serving.clients.predictor.Predictor` that checks inputs before it runs them.

    Args:
        path: path of the model, for error messages.
        signatures: signatures of the model, by name.
    """

    def __init__(self, path: Path, signatures: Mapping[str, Signature]) -> None:
        self._where = f"model {path}"
        self._signatures = signatures

    def signatures(self) -> Mapping[str, Signature]:
        """Returns the signatures of the model, by name."""
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
            name: name of the signature.
            spec: inputs and outputs of the signature.
            arrays: inputs by name.

        Raises:
            ServingError: if the runtime fails, or the model is closed.
        """

    def _closed(self) -> ServingError:
        return ServingError("CANCELLED", f"{self._where}: the model is closed")

    @abc.abstractmethod
    def close(self) -> None:
        """Frees the model; later calls raise `ServingError`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def require(path: Path, module: str, package: str, extra: str) -> Any:
    """Imports the module that runs a model.

    Args:
        path: path of the model, for the error message.
        module: name of the module.
        package: name of the module's package for pip.
        extra: extra of this project that installs the package.

    Raises:
        InputError: if the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"{path}: expected the package {package}. "
            f"Received: not installed; run `{install(extra)}`"
        ) from error
