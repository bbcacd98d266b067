"""Where the installed commands start: `odyssey-run` and its like.

The packages `common`, `serving`, `tuner` and `zoo` have names that others like, too. Before a
command imports any of them, this module, whose name is the distribution's own, makes sure that
Python finds those of the distribution.
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
"""The packages that it installs beside this module."""


def hidden() -> str:
    """Says which other package hides one of ours; empty if none does.

    Such as a folder `common` that `PYTHONPATH` names.
    """
    here = os.path.dirname(os.path.abspath(__file__))
    for room in ROOMS:
        spec = importlib.util.find_spec(room)
        folders = [*(spec.submodule_search_locations or ["no package"])] if spec else ["nothing"]
        if os.path.abspath(folders[0]) != os.path.join(here, room):
            return f"{folders[0]}; rename it, or leave its folder out of PYTHONPATH"
    return ""


def _changed(own: importlib.metadata.Distribution) -> Iterator[str]:
    """Yields the files of the distribution that have another size than it came with."""
    for file in own.files or ():
        if file.parts[0] in ROOMS and file.size is not None:
            path = str(own.locate_file(file))
            if not os.path.exists(path) or os.path.getsize(path) != file.size:
                yield str(file)


def overwritten() -> str:
    """Says which other distribution has overwritten files of ours; empty if none has.

    pip lets the last one win and says nothing.
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
        script: its name, of `common.command_line.SCRIPTS`.
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
