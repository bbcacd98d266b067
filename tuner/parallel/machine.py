"""What the computer is that results were made on."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def describe() -> str:
    """Names processor, cores, memory and system.

    Example:
        >>> describe()  # doctest: +SKIP
        'AMD EPYC-Milan Processor, 2 cores, 24 GiB, Linux'
    """
    parts = [_processor(), f"{os.cpu_count()} cores"]
    # Windows has no such call.
    if hasattr(os, "sysconf"):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        parts.append(f"{memory / 2**30:.0f} GiB")
    return ", ".join([*parts, platform.system()])


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        # Not Linux: the architecture has to do.
        pass
    return platform.machine()
