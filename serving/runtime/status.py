"""Status codes of calls and states of model versions, by the names that all interfaces share."""

from __future__ import annotations

import enum

_TO_HTTP = {
    "OK": 200,
    "CANCELLED": 499,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "UNAUTHENTICATED": 401,
}
# The first of several codes with the same status; and statuses that proxies and HTTP itself use.
_FROM_HTTP = {status: name for name, status in reversed(_TO_HTTP.items())} | {
    408: "DEADLINE_EXCEEDED",
    412: "FAILED_PRECONDITION",
    413: "INVALID_ARGUMENT",
}


class Code(enum.IntEnum):
    """Codes of gRPC, `tensorflow.errors` and `StatusProto`, which have the same numbers.

    Example:
        >>> Code(8).name, Code.RESOURCE_EXHAUSTED.http, Code.of_http(503).name, Code(99).name
        ('RESOURCE_EXHAUSTED', 429, 'UNAVAILABLE', 'UNKNOWN')
    """

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16

    @classmethod
    def _missing_(cls, value: object) -> Code:
        return cls.UNKNOWN

    @property
    def http(self) -> int:
        """HTTP status that TensorFlow Serving's REST API returns for the code."""
        return _TO_HTTP.get(self.name, 500)

    @classmethod
    def of_http(cls, status: int) -> Code:
        """Returns the code for an HTTP status."""
        return cls[_FROM_HTTP.get(status, "UNKNOWN")]


class State(enum.IntEnum):
    """States of `ModelVersionStatus`, with their numbers there."""

    UNKNOWN = 0
    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50

    @classmethod
    def _missing_(cls, value: object) -> State:
        return cls.UNKNOWN
