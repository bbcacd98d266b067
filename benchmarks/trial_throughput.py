"""Milliseconds a sequence and trial: the engines and their peers on the same work, in one run.

    python -m benchmarks.trial_throughput --data=auto

The work is that of `benchmarks.work` on the music task's training sequences: noise, forward, loss,
backward, Nesterov step, one sequence an update. Every implementation has a process of its own with
one thread; repeats interleave; a number is the median of its repeats after one that compiles. What
is measured is the time of a frame; the tables give it times the mean length of the sequences.

Before anything is timed, every implementation trains a few sequences without noise from the same
weights, and its loss has to be that of the `keras` engine.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from benchmarks import table
from benchmarks.implementations import IMPLEMENTATIONS, NATIVE, Implementation
from benchmarks.remote import Missing, Remote
from common import command_line

if TYPE_CHECKING:
    from benchmarks.work_files import WorkFiles

_DATA = flags.DEFINE_string("data", "auto", "Data of the music task.")
_UNITS = flags.DEFINE_list("units", ["32", "64", "128", "200"], "Sizes to measure.")
_REPEATS = flags.DEFINE_integer("repeats", 3, "Timed repeats.", lower_bound=1)
_ONLY = flags.DEFINE_list(
    "only", [], "Measure only implementations with one of these in their name; save nothing."
)

_TOLERANCE = 1e-3
_CHECKED_UNITS = 24
_SGEMM_SIZES = (512, 768, 1024)

Running = dict[Implementation, Remote]
Row = dict[str, Any]


def _print(text: str) -> None:
    print(text, flush=True)


def _check(running: Running, files: WorkFiles) -> None:
    """Compares the loss of a few updates; drops what cannot be imported.

    Raises:
        RuntimeError: if an implementation does other work than the `keras` engine.
    """
    expected = {}
    with Remote("benchmarks.peers.engine_trial:EngineTrial", engine="keras") as yardstick:
        for variant in sorted({entry.variant for entry in running}):
            yardstick.call("prepare", path=files.path("check", variant, _CHECKED_UNITS))
            expected[variant] = yardstick.call("run")["loss"]
    for entry, remote in list(running.items()):
        try:
            remote.call("prepare", path=files.path("check", entry.variant, _CHECKED_UNITS))
            loss = remote.call("run")["loss"]
        except Missing as error:
            hint = "; `make bench-peers` installs it" if entry.library == "torch" else ""
            _print(f"{entry.name}: {entry.library}: not importable, skipped ({error}){hint}")
            running.pop(entry).close()
            continue
        wanted = expected[entry.variant]
        _print(f"{entry.name:36}{entry.variant:4} loss {loss:.6f}, keras engine {wanted:.6f}")
        if not abs(loss - wanted) < _TOLERANCE * wanted:
            raise RuntimeError(f"{entry.name} does other work than the keras engine")


def _milliseconds(entry: Implementation, done: dict[str, Any], files: WorkFiles) -> float:
    """Converts a pass into milliseconds a sequence of mean length and trial."""
    frames = files.frames(entry.sequences) * done["trials"]
    return float(1e3 * done["seconds"] / frames * files.mean_length)


def _measure(
    running: Running, sgemm: Remote, units: int, files: WorkFiles
) -> tuple[dict[Implementation, float], float]:
    """Times everything at one size.

    Returns:
        The median by implementation, in milliseconds, and sgemm's best in GFLOP/s.
    """
    for entry, remote in running.items():
        remote.call("prepare", path=files.path(entry.sequences, entry.variant, units))
        remote.call("run")
    times: dict[Implementation, list[float]] = {entry: [] for entry in running}
    rates: dict[int, list[float]] = {size: [] for size in _SGEMM_SIZES}
    for _ in range(_REPEATS.value):
        for size, measured in rates.items():
            measured.append(sgemm.call("gigaflops", size=size))
        for entry, remote in running.items():
            times[entry].append(_milliseconds(entry, remote.call("run"), files))
    medians = {entry: statistics.median(measured) for entry, measured in times.items()}
    return medians, max(statistics.median(measured) for measured in rates.values())


def _rows(
    medians: dict[Implementation, float], rate: float, units: int, files: WorkFiles
) -> list[Row]:
    """Makes the table of one size."""
    ours = {entry.variant: value for entry, value in medians.items() if entry.name == NATIVE}
    rows = []
    for entry, value in medians.items():
        count = files.operations("corpus", entry.variant, units) / files.sequences("corpus")
        rows.append(
            {
                "implementation": entry.name,
                "variant": entry.variant,
                "units": units,
                "milliseconds": round(value, 4),
                "times_native": round(value / ours[entry.variant], 2) if ours else "",
                "gigaflops": round(count / value / 1e6, 2),
                "sgemm_gigaflops": round(rate, 1),
                "sgemm_share": round(count / value / 1e6 / rate, 3),
            }
        )
    return rows


def main() -> int:
    """Runs the command."""
    command_line.start_tensorflow()
    from benchmarks.work_files import WorkFiles
    from tuner.tasks.task import find_task

    corpus = find_task("music").load(_DATA.value)
    _print(f"data: {corpus.dataset}")
    chosen = [
        entry
        for entry in IMPLEMENTATIONS
        if not _ONLY.value or any(part in entry.name for part in _ONLY.value)
    ]
    rows: list[Row] = []
    running: Running = {}
    sgemm = Remote("benchmarks.peers.sgemm:Sgemm")
    with tempfile.TemporaryDirectory() as folder:
        files = WorkFiles(Path(folder), corpus.train)
        try:
            running |= {entry: entry.start() for entry in chosen}
            _check(running, files)
            for units in map(int, _UNITS.value):
                medians, rate = _measure(running, sgemm, units, files)
                rows += _rows(medians, rate, units, files)
                table.show(rows[-len(running) :])
        finally:
            for remote in (sgemm, *running.values()):
                remote.close()
    if not _ONLY.value:
        _print(f"results: {table.save('trial_throughput', rows)}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
