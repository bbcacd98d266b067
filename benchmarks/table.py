"""Results as CSV, with the machine and the versions that they are true for."""

from __future__ import annotations

import csv
import importlib.metadata
import io
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from serving import files

RESULTS = Path(__file__).parent / "results"
"""Where committed results are."""


def machine() -> str:
    """Names processor, cores, memory and system."""
    model = platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        # Not Linux: the architecture has to do.
        pass
    memory = psutil.virtual_memory().total / 2**30
    return f"{model}, {psutil.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}"


def versions(packages: Sequence[str]) -> str:
    """Names the versions of Python and some packages."""
    named = [f"{name} {importlib.metadata.version(name)}" for name in packages]
    return ", ".join([f"python {platform.python_version()}", *named])


def save(name: str, rows: Sequence[dict[str, Any]]) -> Path:
    """Writes rows to `results/<name>.csv`, machine and versions in the last columns.

    Args:
        name: name of the benchmark.
        rows: measurements, all with the same keys.

    Returns:
        The file.
    """
    facts = {
        "machine": machine(),
        "versions": versions(("tensorflow", "keras", "keras-tuner", "numpy")),
    }
    text = io.StringIO()
    writer = csv.DictWriter(text, [*rows[0], *facts], lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, **facts} for row in rows)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.csv"
    files.write_text(path, text.getvalue())
    return path
