"""The runner of every benchmark: who does what, in turns, and what came out.

A benchmark is a table. A line of it is a `Case`: its first columns, a `Peer` that does the work,
and the work. `Runner.measure` starts every peer's process, lets all do their work once, then all
again, and so on; a number of the table is the median of the repeats, beside the least and the most.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from benchmarks import table
from benchmarks.remote import Missing, Remote, cores
from benchmarks.table import Row
from benchmarks.work_files import WorkFiles
from common import command_line
from tuner.tasks.task import Corpus, find_task

DATA = flags.DEFINE_string("data", "auto", "Data of the music task.")
UNITS = flags.DEFINE_list("units", ["32", "64", "128", "200"], "Sizes to measure.")
REPEATS = flags.DEFINE_integer("repeats", 3, "Timed repeats.", lower_bound=1)
SAVE = flags.DEFINE_boolean("save", True, "Whether to write benchmarks/results.")
ONLY = flags.DEFINE_list(
    "only", [], "Measure only lines with one of these in their first columns; save nothing."
)


@dataclasses.dataclass(frozen=True, eq=False)
class Peer:
    """A worker in its own process; see `benchmarks.peers` and `Remote`.

    Attributes:
        target: `module:Class`.
        options: arguments of the constructor.
        library: module that it needs, which may be in another environment.
        environment: environment variables of the process.
        cores: number of cores it may use.
        processes: number of processes that work at the same time, on as many cores.
    """

    target: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    library: str = "numpy"
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    cores: int = 1
    processes: int = 1


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A row of a table before it is measured: its first columns, the peer, and its work.

    `work` holds the arguments of the peer's `prepare`.
    """

    labels: Mapping[str, Any]
    peer: Peer
    work: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """A measured row of a table: the results of `run` in each repeat, averaged over processes."""

    case: Case
    runs: Sequence[Mapping[str, float]]

    @property
    def labels(self) -> Mapping[str, Any]:
        """The first columns."""
        return self.case.labels

    def median(self, key: str = "seconds") -> float:
        """Returns the median of a number over the repeats."""
        return statistics.median(run[key] for run in self.runs)

    def spread(self, key: str, name: str = "", scale: float = 1.0, digits: int = 4) -> Row:
        """Returns the columns of a number: median and, if repeated, minimum and maximum."""
        name, numbers = name or key, [scale * run[key] for run in self.runs]
        found = {name: statistics.median(numbers)}
        if len(numbers) > 1:
            found |= {f"{name}_min": min(numbers), f"{name}_max": max(numbers)}
        return {column: round(number, digits) for column, number in found.items()}


class Runner(contextlib.ExitStack):
    """Starts peers, measures in turns, and ends everything."""

    def __enter__(self) -> Runner:
        self._running: dict[Peer, list[Remote]] = {}
        self._prepared: dict[Peer, Mapping[str, Any]] = {}
        super().__enter__()
        self.folder = Path(self.enter_context(tempfile.TemporaryDirectory()))
        return self

    def corpus(self, task: str = "music") -> Corpus:
        """Loads a task's data and prints a description of it."""
        command_line.start_tensorflow()
        corpus = find_task(task).load(DATA.value if task == "music" else "auto")
        print(f"data: {corpus.dataset}", flush=True)
        return corpus

    def work_files(self) -> WorkFiles:
        """Prepares the work on the music task's training sequences."""
        return WorkFiles(self.folder, self.corpus().train)

    def measure(
        self,
        cases: Sequence[Case],
        *,
        repeats: int | None = None,
        warm_up: bool = True,
        one_at_a_time: bool = False,
    ) -> list[Measured]:
        """Measures cases in turns; those whose library is missing are left out.

        Args:
            cases: the cases, with those of the same peer next to each other.
            repeats: number of repeats; default: `--repeats`.
            warm_up: whether a run that does not count comes first.
            one_at_a_time: whether a peer ends before the next one starts, in every repeat.
        """
        runs: dict[Case, list[Row]] = {case: [] for case in cases}
        missing: set[Peer] = set()
        for _ in range(repeats or REPEATS.value):
            for case, after in zip(cases, [*cases[1:], None], strict=True):
                if case.peer in missing:
                    continue
                try:
                    runs[case].append(self._run(case, warm_up))
                except Missing as error:
                    print(f"{_name(case)}: skipped ({error})", flush=True)
                    missing.add(case.peer)
                if one_at_a_time and (after is None or after.peer is not case.peer):
                    self._prepared.pop(case.peer, None)
                    for remote in self._running.pop(case.peer):
                        remote.close()
        return [Measured(case, found) for case, found in runs.items() if found]

    def _run(self, case: Case, warm_up: bool) -> Row:
        peer = case.peer
        if peer not in self._running:
            self._running[peer] = [
                Remote(
                    peer.target,
                    python=table.interpreter(peer.library),
                    on=cores()[place : place + peer.cores],
                    environment=peer.environment,
                    **peer.options,
                )
                for place in range(peer.processes)
            ]
            for remote in self._running[peer]:
                self.callback(remote.close)
        remotes = self._running[peer]
        if self._prepared.get(peer) != case.work:
            self._prepared[peer] = case.work
            for remote in remotes:
                remote.call("prepare", **case.work)
                if warm_up:
                    remote.call("run")
        for remote in remotes:
            remote.start("run")
        results = [remote.result() for remote in remotes]
        return {key: statistics.fmean(each[key] for each in results) for key in results[0]}


def _name(case: Case) -> str:
    return ", ".join(map(str, case.labels.values()))


def chosen(cases: Iterable[Case]) -> list[Case]:
    """Selects the cases that match `--only`."""
    parts = ONLY.value or [""]
    return [case for case in cases if any(part in _name(case) for part in parts)]


def check_losses(measured: Sequence[Measured], tolerance: float = 1e-3) -> None:
    """Checks that all did the same work: that their losses equal the first one's.

    Raises:
        RuntimeError: if a loss differs.
    """
    expected = measured[0].median("loss")
    for one in measured:
        name, loss = _name(one.case), one.median("loss")
        print(f"{name}: loss {loss:.6f}, expected {expected:.6f}", flush=True)
        if not math.isclose(loss, expected, rel_tol=tolerance):
            raise RuntimeError(f"{name} does other work than the first of these")


def run(
    tables: Callable[[Runner], Iterable[tuple[str, Sequence[Row]]]],
    packages: Sequence[str] = table.PACKAGES,
) -> None:
    """Runs a benchmark as a command, and saves each table again whenever it gets more rows."""

    def main() -> int:
        found: dict[str, list[Row]] = {}
        with Runner() as bench:
            for name, rows in tables(bench):
                if rows:
                    table.show(rows)
                    found.setdefault(name, []).extend(rows)
                    if SAVE.value and not ONLY.value:
                        table.save(name, found[name], packages)
        return 0

    for flag in (DATA, UNITS, REPEATS, SAVE, ONLY):
        # Flags that --help shows.
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[flag.name])
    command_line.run(main)
