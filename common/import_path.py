"""Imports of objects that users name by import path: `package.module:Name`."""

from __future__ import annotations

import importlib
import operator
from typing import Any

from common.errors import reason


def of(kind: type) -> str:
    """Returns the path that `find` finds a class by.

    Example:
        >>> import collections
        >>> of(collections.Counter)
        'collections:Counter'
    """
    return f"{kind.__module__}:{kind.__qualname__}"


def find(path: str) -> Any:
    """Imports the object that a path names.

    Args:
        path: `package.module:Name`, or `package.module:Outer.Name` for a name nested in a class.

    Raises:
        ValueError: if it cannot be imported; the message says why in a few words, in one line.

    Example:
        >>> find("collections:OrderedDict").__name__
        'OrderedDict'
        >>> find("collections:Order")
        Traceback (most recent call last):
        ValueError: module collections has no Order
    """
    module, _, name = path.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
        raise ValueError("it is not of the form package.module:Name")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and f"{module}.".startswith(f"{error.name}."):
            raise ValueError(f"there is no module {error.name}") from error
        raise ValueError(f"importing {module} failed: {reason(error)}") from error
    except (Exception, SystemExit) as error:
        # A module can do anything when it is imported.
        kind = type(error).__name__
        raise ValueError(f"importing {module} failed: {kind}: {reason(error)}") from error
    try:
        return operator.attrgetter(name)(found)
    except AttributeError as error:
        raise ValueError(f"module {module} has no {name}") from error
