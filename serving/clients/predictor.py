"""The interface of a model that can be asked, wherever it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy.typing as npt

from serving.runtime.specs import DEFAULT_SIGNATURE, Signature

Array: TypeAlias = npt.NDArray[Any]


class Predictor(Protocol):
    """A model that can be asked: `serving.client.Client` and `serving.clients.local.LocalModel`.

    Errors of the model and of the way to it are `serving.clients.errors.ServingError`.
    """

    def signatures(self) -> Mapping[str, Signature]:
        """What the model can be asked, by name of the signature."""

    def predict(
        self, inputs: Mapping[str, npt.ArrayLike], signature: str = DEFAULT_SIGNATURE
    ) -> dict[str, Array]:
        """Asks the model.

        Args:
            inputs: an array for every input of the signature, whose first dimension is the batch.
            signature: which signature to ask.

        Returns:
            An array for every output. Strings are object arrays of `bytes`.

        Raises:
            ServingError: if the inputs are not what the signature takes, or the model gives no
                answer.
        """


@runtime_checkable
class Versioned(Protocol):
    """A predictor behind which versions come and go."""

    def pinned(self) -> Predictor:
        """Makes a predictor of the version that answers now, which stays with it.

        Raises:
            ServingError: if there is no answer.
        """
