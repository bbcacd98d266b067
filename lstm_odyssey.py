"""Entry points of the installed commands, such as `odyssey-run`.

The names of the packages `common`, `serving`, `tuner` and `zoo` are common elsewhere, too. Before a
command imports any of them, this module, whose name is unique to the distribution, checks that
Python finds the distribution's own packages.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Iterator

DISTRIBUTION = "lstm-odyssey"
"""The name by which pip knows the project."""

ROOMS = ("common", "serving", "tuner", "zoo")
"""The packages that it installs next to this module."""


def hidden() -> str:
    """Says which other package hides one of ours; empty if none does.

    An example is a folder `common` in a directory that `PYTHONPATH` names.
    """
    here = os.path.dirname(os.path.abspath(__file__))
    for room in ROOMS:
        spec = importlib.util.find_spec(room)
        folders = [*(spec.submodule_search_locations or ["no package"])] if spec else ["nothing"]
        if os.path.abspath(folders[0]) != os.path.join(here, room):
            return f"{folders[0]}; rename it, or leave its folder out of PYTHONPATH"
    return ""


def _changed(own: importlib.metadata.Distribution) -> Iterator[str]:
    """Yields the distribution's files that are missing or have changed in size."""
    for file in own.files or ():
        if file.parts[0] in ROOMS and file.size is not None:
            path = str(own.locate_file(file))
            if not os.path.exists(path) or os.path.getsize(path) != file.size:
                yield str(file)


def overwritten() -> str:
    """Says which other distribution has overwritten files of ours; empty if none has.

    With pip the last one installed wins, without a message.
    """
    try:
        changed = {*_changed(importlib.metadata.distribution(DISTRIBUTION))}
    except importlib.metadata.PackageNotFoundError:
        return ""  # A checkout.
    for other in importlib.metadata.distributions() if changed else ():
        name = other.metadata["Name"]
        shared = changed.intersection(map(str, other.files or ()))
        if shared and name != DISTRIBUTION:
            return f"{min(shared)} of {name} {other.version}; give each an environment of its own"
    return ""


def start(script: str) -> None:
    """Runs a command.

    Args:
        script: its name, a key of `common.command_line.SCRIPTS`.
    """
    obstacle = overwritten() or hidden()
    if obstacle:
        print(
            f"error: expected the packages {', '.join(ROOMS)} of {DISTRIBUTION}. "
            f"Received: {obstacle}",
            file=sys.stderr,
        )
        sys.exit(2)
    from common import command_line

    command_line.run_script(script)


run, report, compare, shrink, trials, export, serve, client, compose = (
    functools.partial(start, f"odyssey-{name}")
    for name in (
        "run", "report", "compare", "shrink", "trials", "export", "serve", "client", "compose"
    )
)  # fmt: skip
