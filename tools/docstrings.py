"""How the site reads docstrings: an `Example:` section is code, as it is for doctest."""

from __future__ import annotations

import re
from typing import Any

import griffe


class Examples(griffe.Extension):
    """Renames `Example:` sections to `Examples:`, the name in Google's guide and in Griffe."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Renames the section in an object's docstring."""
        if obj.docstring:
            obj.docstring.value = re.sub(
                r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE
            )
