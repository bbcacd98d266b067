"""How the docstrings are read for the site: an `Example:` is code, as doctest has it."""

from __future__ import annotations

import re
from typing import Any

import griffe


class Examples(griffe.Extension):
    """Google's guide and Griffe call the section `Examples:`, whatever their number."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Renames the section of an object."""
        if obj.docstring:
            obj.docstring.value = re.sub(
                r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE
            )
