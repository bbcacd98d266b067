"""The machine: its hardware, what a process may use of it, and an environment for one core."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")

_THREADS = (
    "MKL_NUM_THREADS",
    # XLA's thread pool.
    "NPROC",
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def describe() -> str:
    """Names processor, cores, memory and system.

    Example:
        >>> describe()  # doctest: +SKIP
        'AMD EPYC-Milan Processor, 2 cores, 24 GiB, Linux'
    """
    parts = [_processor(), f"{os.cpu_count()} cores"]
    if size := memory():
        parts.append(f"{size / 2**30:.0f} GiB")
    return ", ".join([*parts, platform.system()])


def memory() -> int:
    """Returns the machine's memory in bytes; 0 if it cannot be determined, as on Windows."""
    if not hasattr(os, "sysconf"):
        return 0
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        # Not Linux: fall back to the architecture.
        pass
    return platform.machine()


def cores() -> int:
    """Counts the cores that this process may use, by its affinity and control group quota."""
    if hasattr(os, "sched_getaffinity"):
        usable = len(os.sched_getaffinity(0))
    else:
        usable = os.cpu_count() or 1
    return max(1, min(usable, _quota(usable)))


def _quota(unlimited: int) -> int:
    """Returns the whole cores in the quota of the control group (v2 or v1); Linux only."""
    for names in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):
        try:
            words = " ".join((_CGROUP / name).read_text(encoding="ascii") for name in names)
            quota, period = map(int, words.split())
        except (OSError, ValueError):
            # There is no such file, or it says `max`.
            continue
        if quota > 0 and period > 0:
            return quota // period
    return unlimited


XLA_LOOP_FLAG = "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=600000"
"""Lets XLA compile a loop over time into one function, if a step reads less than 600 kB.

On CPUs XLA otherwise dispatches every operation of every step at run time, which takes longer than
the operations of a small network. A release of XLA that does not know the option ignores it.
"""


def single_threaded_environment(keras_backend: str) -> dict[str, str]:
    """Returns the environment for a process that should use only one core.

    That process can import from wherever this process can.

    Args:
        keras_backend: Keras' name for the backend of the process, if it uses one.
    """
    flags = [os.environ.get("XLA_FLAGS", ""), "--xla_cpu_multi_thread_eigen=false"]
    if keras_backend == "jax":
        flags.append(XLA_LOOP_FLAG)
    return {
        **os.environ,
        **dict.fromkeys(_THREADS, "1"),
        "KERAS_BACKEND": keras_backend,
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
        "PYTHONUNBUFFERED": "1",
        "XLA_FLAGS": " ".join(flags),
        # Processes on one accelerator share its memory.
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    }
