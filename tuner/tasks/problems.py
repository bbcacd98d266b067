"""The one way in which a file of data is refused: one line that names it."""

from __future__ import annotations

from pathlib import Path

from serving.command_line import InputError
from serving.media.problems import one_line


def unusable(source: str | Path, problem: str) -> InputError:
    """Makes the error for data that cannot be used.

    Args:
        source: the file or folder.
        problem: what was expected and what came.

    Example:
        >>> str(unusable("chorales.json", "expected a dictionary. Received: list"))
        '--data: chorales.json: expected a dictionary. Received: list'
    """
    return InputError(one_line(f"--data: {source}: {problem}"))
