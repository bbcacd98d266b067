"""Results as CSV, with the machine and the versions that they are true for."""

from __future__ import annotations

import csv
import importlib.metadata
import io
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.remote import interpreter
from common import files, machine

RESULTS = Path(__file__).parent / "results"
"""Where committed results are."""

PACKAGES = ("tensorflow", "keras", "keras-tuner", "numpy", "numba", "jax", "torch")
"""What takes part in training."""


_VERSION = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"


def versions(packages: Sequence[str]) -> str:
    """Names the versions of Python and some packages, of those that are installed."""
    named = [f"python {platform.python_version()}"]
    for name in packages:
        try:
            named.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            command = [interpreter(name), "-c", _VERSION, name]
            done = subprocess.run(command, check=False, text=True, capture_output=True)
            if not done.returncode:
                named.append(f"{name} {done.stdout.strip()}")
    return ", ".join(named)


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Prints rows as a table.

    Args:
        rows: measurements, all with the same keys.

    Example:
        >>> show([{"units": 32, "name": "V"}, {"units": 200, "name": "FGR"}])
        units  name
           32  V
          200  FGR
    """
    for line in [list(rows[0]), *(list(row.values()) for row in rows)]:
        cells = []
        for place, (name, value) in enumerate(zip(rows[0], line, strict=True)):
            column = [name, *(str(list(row.values())[place]) for row in rows)]
            width = max(map(len, column))
            text = isinstance(rows[0][name], str)
            cells.append(str(value).ljust(width) if text else str(value).rjust(width))
        print("  ".join(cells).rstrip(), flush=True)


def save(name: str, rows: Sequence[dict[str, Any]], packages: Sequence[str] = PACKAGES) -> Path:
    """Writes rows to `results/<name>.csv`, machine and versions in the last columns.

    Args:
        name: name of the benchmark.
        rows: measurements, all with the same keys.
        packages: whose versions matter.

    Returns:
        The file.
    """
    facts = {
        "machine": machine.describe(),
        "versions": versions(packages),
    }
    text = io.StringIO()
    writer = csv.DictWriter(text, [*rows[0], *facts], lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, **facts} for row in rows)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.csv"
    files.write_text(path, text.getvalue())
    return path
