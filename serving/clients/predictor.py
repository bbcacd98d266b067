"""The interface of a model that can be queried, wherever it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy.typing as npt

from serving.runtime.specs import DEFAULT_SIGNATURE, Signature

Array: TypeAlias = npt.NDArray[Any]


class Predictor(Protocol):
    """A queryable model, such as `serving.client.Client` or `serving.clients.local.LocalModel`.

    Errors of the model or of the connection to it are `serving.clients.errors.ServingError`.
    """

    def signatures(self) -> Mapping[str, Signature]:
        """Returns the signatures of the model, by name."""

    def predict(
        self, inputs: Mapping[str, npt.ArrayLike], signature: str = DEFAULT_SIGNATURE
    ) -> dict[str, Array]:
        """Runs a signature of the model.

        Args:
            inputs: an array for every input of the signature, whose first dimension is the batch.
            signature: name of the signature.

        Returns:
            An array for every output, by name. Strings are object arrays of `bytes`.

        Raises:
            ServingError: if the inputs do not match the signature, or the model does not answer.
        """


@runtime_checkable
class Versioned(Protocol):
    """A predictor of a model whose version may change."""

    def pinned(self) -> Predictor:
        """Returns a predictor that is bound to the version that answers now.

        Raises:
            ServingError: if the model does not answer.
        """
