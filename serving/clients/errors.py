"""The one way in which asking a model fails."""

from __future__ import annotations

from common.errors import InputError, one_line


class ServingError(InputError):
    r"""A model did not answer.

    Commands end with its message and exit status 2, as for every `InputError`.

    Args:
        code: a status code of gRPC by name, such as `INVALID_ARGUMENT`, also where HTTP was spoken.
        message: one line that names the model and where it is, what was expected and what came.
        retry_after: seconds before it makes sense to ask again, if whoever refused has said so.

    Attributes:
        code: likewise.
        retry_after: likewise.

    Example:
        >>> error = ServingError("NOT_FOUND", "model music at localhost:8500: no\nsuch version")
        >>> error.code, str(error)
        ('NOT_FOUND', 'model music at localhost:8500: no such version')
    """

    def __init__(self, code: str, message: str, *, retry_after: float = 0.0) -> None:
        # A server's text, which a terminal would obey.
        super().__init__(" ".join(one_line(message).split()))
        self.code = code
        self.retry_after = retry_after
