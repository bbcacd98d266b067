"""How a request fails."""

from __future__ import annotations

from serving.runtime.status import Code

_LONGEST = 1000
"""Characters of a message: gRPC sends them in a header, which may hold 8 KiB."""


class RequestError(Exception):
    """A request cannot be answered, or a model cannot be loaded.

    Attributes:
        code: what kind of failure.
        message: one line or a few for the client, cut to what a gRPC header holds.
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message if len(message) <= _LONGEST else f"{message[: _LONGEST - 3]}..."


def invalid(message: str) -> RequestError:
    """Makes the error of a malformed request."""
    return RequestError(Code.INVALID_ARGUMENT, message)
