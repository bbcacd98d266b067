"""Versions of a model on disk, and which folders the server may read at all."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from pathlib import Path

from serving.standin.errors import Code, ServingError

_LOG = logging.getLogger(__name__)

_NUMBER = re.compile(r"[+-]?[0-9]+")
_LARGEST = 2**63


def find_versions(base_path: Path) -> dict[int, Path]:
    """Finds the versions of a model: the folders whose names are whole numbers of 64 bits.

    A folder that is a link out of the base path is none: whoever may write into one model's folder
    shall not make the server read another.

    Args:
        base_path: folder of the versions.

    Returns:
        Their folders by number.

    Raises:
        OSError: if the base path cannot be read.
    """
    root = base_path.resolve(strict=True)
    found: dict[int, Path] = {}
    for entry in sorted(base_path.iterdir()):
        if not _NUMBER.fullmatch(entry.name) or not entry.is_dir():
            continue
        number = int(entry.name)
        if not -_LARGEST <= number < _LARGEST:
            continue
        if not entry.resolve().is_relative_to(root):
            _LOG.warning("%s is a link out of %s: not served", entry, base_path)
            continue
        if number in found:
            _LOG.warning("%s and %s are the same version", found[number], entry)
        found[number] = entry
    return found


class Roots:
    """The folders that a new configuration may name: those of the first one and all beneath.

    Args:
        base_paths: the first configuration's.
    """

    def __init__(self, base_paths: Iterable[Path]) -> None:
        self._roots = tuple(path.resolve() for path in base_paths)

    def check(self, name: str, base_path: Path) -> None:
        """Checks a base path that a client asks for.

        Args:
            name: the model's name.
            base_path: folder of its versions.

        Raises:
            ServingError: PERMISSION_DENIED if it is outside.
        """
        resolved = base_path.resolve()
        if not any(resolved.is_relative_to(root) for root in self._roots):
            raise ServingError(
                Code.PERMISSION_DENIED,
                f"Model {name}: expected a base path in a folder that the server was started "
                f"with. Received: {base_path}",
            )
