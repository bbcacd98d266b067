"""What fails, a request or the loading of a version, fails with a `Failure`, as sessions do."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from google.protobuf.message import DecodeError

from common.errors import InputError
from serving.runtime.c_api import Failure
from serving.runtime.status import Code

_LOG = logging.getLogger(__name__)


def invalid(message: str) -> Failure:
    """Makes the error for a malformed request."""
    return Failure(Code.INVALID_ARGUMENT, message)


def expired() -> Failure:
    """Makes the error for a request whose deadline has passed."""
    return Failure(Code.DEADLINE_EXCEEDED, "The deadline was exceeded.")


@contextmanager
def only_failures(what: str) -> Iterator[None]:
    """Converts all other exceptions to `Failure`; clients do not learn what was not expected.

    Args:
        what: name of the work, for the log.

    Raises:
        Failure: if the work fails.
    """
    try:
        yield
    except Failure:
        raise
    except (DecodeError, InputError, OSError) as error:
        raise invalid(str(error)) from error
    except Exception as error:
        _LOG.exception("%s failed", what)
        raise Failure(Code.INTERNAL, "Internal error.") from error
