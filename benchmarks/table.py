"""Results as CSV files: two comment lines with machine and versions, then a table of rows."""

from __future__ import annotations

import csv
import importlib.metadata
import importlib.util
import io
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common import files, machine

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
"""Folder of measured times."""

STUDIES = ROOT / "docs" / "studies"
"""Folder of findings."""

PACKAGES = ("tensorflow", "keras", "keras-tuner", "numpy", "numba", "jax", "torch")
"""Packages that take part in training."""

Row = dict[str, Any]


def interpreter(library: str) -> str:
    """Returns the Python with a library: this one, or that of `make bench-ray` or `bench-peers`."""
    python = ROOT / (".venv-ray" if library == "ray" else ".venv-bench") / "bin" / "python"
    if importlib.util.find_spec(library) is None and python.exists():
        return str(python)
    return sys.executable


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        code = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"
        command = [interpreter(name), "-c", code, name]
        return subprocess.run(command, check=False, text=True, capture_output=True).stdout.strip()


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints rows, all with the same keys, as a table."""
    lines = [list(rows[0]), *([str(cell) for cell in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells), flush=True)


def save(
    name: str,
    rows: Sequence[Mapping[str, Any]],
    packages: Sequence[str] = PACKAGES,
    folder: Path = RESULTS,
) -> Path:
    """Writes rows, all with the same keys, to `<folder>/<name>.csv`, and returns the path.

    The versions are those of the packages that are installed.
    """
    found = {"python": platform.python_version(), **{each: _version(each) for each in packages}}
    versions = ", ".join(f"{each} {version}" for each, version in found.items() if version)
    text = io.StringIO(f"# machine: {machine.describe()}\n# versions: {versions}\n")
    text.seek(0, io.SEEK_END)
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path = folder / f"{name}.csv"
    files.write_text(path, text.getvalue())
    print(f"results: {path}", flush=True)
    return path


def read(path: Path) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Reads a file written by `save`: `machine` and `versions`, and the rows as strings."""
    with path.open(encoding="utf-8", newline="") as file:
        facts = dict(next(file)[2:].rstrip("\n").split(": ", 1) for _ in range(2))
        return facts, list(csv.DictReader(file))
