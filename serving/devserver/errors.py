"""The exception for a request that fails."""

from __future__ import annotations

from serving.runtime.status import Code

_LONGEST = 1000
"""Longest message, in characters: gRPC sends it in a header, which is limited to 8 KiB."""


class RequestError(Exception):
    """A request cannot be answered, or a model cannot be loaded.

    Attributes:
        code: kind of the failure.
        message: one or a few lines for the client, truncated to fit into a gRPC header.
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message if len(message) <= _LONGEST else f"{message[: _LONGEST - 3]}..."


def invalid(message: str) -> RequestError:
    """Makes the error for a malformed request."""
    return RequestError(Code.INVALID_ARGUMENT, message)
