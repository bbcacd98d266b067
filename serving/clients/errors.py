"""The exception for a model that cannot be queried."""

from __future__ import annotations

from common.errors import InputError, one_line


class ServingError(InputError):
    r"""A model did not answer.

    Commands print its message and exit with status 2, as for every `InputError`.

    Args:
        code: name of a gRPC status code, such as `INVALID_ARGUMENT`, even if the call was HTTP.
        message: one line: the model and its address, what was expected, and what was received.
        retry_after: seconds before it makes sense to retry, if the server has said so.

    Attributes:
        code: name of the status code.
        retry_after: seconds before it makes sense to retry; 0 if unknown.

    Example:
        >>> error = ServingError("NOT_FOUND", "model music at localhost:8500: no\nsuch version")
        >>> error.code, str(error)
        ('NOT_FOUND', 'model music at localhost:8500: no such version')
    """

    def __init__(self, code: str, message: str, *, retry_after: float = 0.0) -> None:
        # A server's text may contain control characters, which a terminal would obey.
        super().__init__(" ".join(one_line(message).split()))
        self.code = code
        self.retry_after = retry_after
