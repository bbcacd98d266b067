"""The progress display of a study: a live view in a terminal, plain lines elsewhere."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import rich.console
import rich.live
import rich.table
import rich.text

from common.text import duration
from tuner.parallel.messages import EpochEnd, WorkerDied
from tuner.study.presets import StudyConfig
from tuner.training.protocol import Failure, Trial, TrialRecord


def console() -> rich.console.Console:
    """Returns a console for standard output, as a study writes to it."""
    # A notebook asks its commands for colors, but it is not a terminal.
    terminal = None if sys.stdout.isatty() else False
    return rich.console.Console(soft_wrap=True, highlight=False, force_terminal=terminal)


@dataclasses.dataclass
class Work:
    """Counts and costs of trials, from which the time left is estimated.

    Attributes:
        total: number of all trials.
        ended: number of ended trials, including failed ones.
        failed: number of failed trials.
        ended_here: number of trials that ended in this process.
        running: number of running trials.
        cost_done: cost of the training done in this process, in seconds or another unit.
        cost_left: maximum cost of the remaining training.
        started: when this process began, in seconds of `time.monotonic`.
    """

    total: int = 0
    ended: int = 0
    failed: int = 0
    ended_here: int = 0
    running: int = 0
    cost_done: float = 0.0
    cost_left: float = 0.0
    started: float = 0.0

    @classmethod
    def sum(cls, parts: Sequence[Work]) -> Work:
        """Adds up the work of studies that run at the same time."""
        names = [field.name for field in dataclasses.fields(cls)]
        sums: dict[str, Any] = {name: sum(getattr(part, name) for part in parts) for name in names}
        return cls(**sums | {"started": min(part.started for part in parts)})

    def headline(self) -> str:
        """Describes in one line how much is done, how fast it goes and how much time is left."""
        failed = f", {self.failed} failed" if self.failed else ""
        running = f", {self.running} running" if self.running else ""
        return f"{self.ended} of {self.total} trials{failed}{running}{self._left()}"

    def _left(self) -> str:
        if not self.cost_done or self.ended == self.total:
            return ""
        seconds = time.monotonic() - self.started
        rate = f"{self.ended_here * 3600 / seconds:.1f} trials/h, " if self.ended_here else ""
        return f", {rate}{duration(self.cost_left * seconds / self.cost_done)} left"


class Progress:
    """Displays the progress of a study; a `tuner.study.study.Observer`.

    Example:
        ```python
        progress = Progress(config, cost, console())
        with live([progress]):
            study.run(pool, progress)
        ```
    """

    def __init__(
        self,
        config: StudyConfig,
        cost: Callable[[Trial], float],
        console: rich.console.Console,
        name: str = "",
    ) -> None:
        """Prepares the view.

        Args:
            config: the configuration of the study.
            cost: returns the maximum duration of a trial, in any unit: long trials run first, so
                the number of trials alone says little about the time left.
            console: the console to write to.
            name: identifies the study among others that run at the same time.
        """
        self.console = console
        self._prefix = f"{name} " if name else ""
        self._config = config
        self._max_epochs = config.problem.protocol.max_epochs
        self._cost = cost
        self._best: dict[str, TrialRecord] = {}
        self._counts: dict[str, int] = {}
        # In the order in which they were started.
        self._running: dict[Trial, str] = {}
        # The epoch before the first one that was run here, and the last one.
        self._epochs: dict[Trial, tuple[int, int]] = {}
        self._work = Work(started=time.monotonic())

    def begin(self, done: Sequence[TrialRecord | Failure], remaining: Sequence[Trial]) -> None:
        """Counts the trials that are done and those that remain."""
        for record in done:
            self._count(record)
        # An adaptive sampler has not proposed all of its trials yet.
        wanted = len(self._config.variants) * self._config.trials
        self._work.total = max(self._work.ended + len(remaining), wanted)
        self._work.cost_left = sum(map(self._cost, remaining))
        self._work.started = time.monotonic()
        if self._work.ended:
            failed = f", {self._work.failed} of them failed" if self._work.failed else ""
            self._say(f"{self._done()} are already done{failed}")

    def propose(self, trial: Trial) -> None:
        """Counts a trial that has been proposed."""
        self._work.cost_left += self._cost(trial)

    def adopt(self, records: Sequence[TrialRecord]) -> None:
        """Counts trials that need not be trained."""
        for record in records:
            self._count(record)
            self._work.cost_left -= self._cost(record.trial)
        self._say(f"{self._done()} are done, {len(records)} adopted")

    def start(self, trial: Trial) -> None:
        """Shows a trial that has started."""
        self._running[trial] = f"{self._describe(trial)}: starting"

    def end_epoch(self, end: EpochEnd) -> None:
        """Shows the progress of a trial."""
        before, _ = self._epochs.get(end.trial, (end.epoch - 1, 0))
        self._epochs[end.trial] = before, end.epoch
        self._running[end.trial] = (
            f"{self._describe(end.trial)}: epoch {end.epoch} of at most "
            f"{self._max_epochs}, validation {end.validation:.3f}, "
            f"best {end.best:.3f}"
        )

    def worker_died(self, death: WorkerDied) -> None:
        """Reports that a trial lost its worker."""
        self.console.print(
            f"{self._describe(death.trial)}: {death.reason}; "
            "another worker goes on from its checkpoint",
            markup=False,
        )

    def finish(self, entry: TrialRecord) -> None:
        """Shows a finished trial."""
        self._end(entry)
        result = entry.result
        self._say(
            f"[{self._work.ended}/{self._work.total}] {self._describe(entry.trial)}: "
            f"validation {result.validation.mean:.3f}, test {result.test.mean:.3f} "
            f"{self._config.problem.task.metric.unit} at epoch {result.best_epoch}, "
            f"{duration(result.seconds)}"
            + (", diverged" if result.diverged else "")
        )

    def fail(self, failure: Failure) -> None:
        """Shows a failed trial."""
        self._end(failure)
        self.console.print(
            f"[{self._work.ended}/{self._work.total}] {self._describe(failure.trial)}: "
            f"failed: {failure.reason}",
            markup=False,
        )

    def _describe(self, trial: Trial) -> str:
        values = self._config.space.describe(trial.values)
        return f"{self._prefix}{trial.variant} {trial.index} ({values})"

    def _end(self, record: TrialRecord | Failure) -> None:
        self._count(record)
        self._work.ended_here += 1
        self._running.pop(record.trial, None)
        before, _ = self._epochs.pop(record.trial, (0, 0))
        cost = self._cost(record.trial)
        self._work.cost_done += cost * (1 - before / self._max_epochs)
        self._work.cost_left -= cost

    def _done(self) -> str:
        return f"{self._prefix}{self._work.ended} of {self._work.total} trials"

    def _say(self, line: str) -> None:
        # A live view would be redrawn below every line, and shows the same numbers anyway.
        if not self.console.is_terminal:
            self.console.print(line, markup=False)

    def _count(self, record: TrialRecord | Failure) -> None:
        code = record.trial.variant
        self._work.ended += 1
        self._counts[code] = self._counts.get(code, 0) + 1
        if isinstance(record, Failure):
            self._work.failed += 1
            return
        best = self._best.get(code)
        if best is None or record.result.validation.mean < best.result.validation.mean:
            self._best[code] = record

    def work(self) -> Work:
        """Returns how much is done."""
        work = dataclasses.replace(self._work, running=len(self._running))
        for trial, (before, last) in list(self._epochs.items()):
            an_epoch = self._cost(trial) / self._max_epochs
            # Epochs before an interruption say nothing about the speed.
            work.cost_done += an_epoch * (last - before)
            work.cost_left -= an_epoch * last
        return work

    def running(self) -> list[str]:
        """Returns a line for each running trial, in the order in which they were started."""
        return list(self._running.values())

    def end(self) -> None:
        """Removes all running trials from the view."""
        self._running.clear()

    def view(self) -> rich.console.Group:
        """Draws a headline, the best trial of each variant, and a line for each running trial."""
        table = rich.table.Table()
        for heading in (
            "variant",
            "trials",
            "best validation",
            "test of best",
            "units",
            "learning rate",
        ):
            table.add_column(heading, justify="left" if heading == "variant" else "right")
        for code, entry in list(self._best.items()):
            table.add_row(
                code,
                str(self._counts[code]),
                f"{entry.result.validation.mean:.3f}",
                f"{entry.result.test.mean:.3f}",
                str(entry.trial.units),
                f"{entry.trial.learning_rate:.2g}",
            )
        running = (
            rich.text.Text(line, no_wrap=True, overflow="ellipsis")
            for line in self.running()
        )
        headline = f"{self._prefix}{self.work().headline()}"
        return rich.console.Group(headline, table, *running)


@contextmanager
def live(parts: Sequence[Progress]) -> Iterator[None]:
    """Shows a live view of concurrent studies, if standard output is a terminal.

    Args:
        parts: the progress of each study, all on the same console.
    """
    console = parts[0].console
    if not console.is_terminal:
        yield
        return

    def view() -> rich.console.Group:
        views = [part.view() for part in parts]
        if len(parts) == 1:
            return views[0]
        return rich.console.Group(Work.sum([part.work() for part in parts]).headline(), *views)

    with rich.live.Live(get_renderable=view, console=console, refresh_per_second=2):
        try:
            yield
        finally:
            # The last view stays on the screen.
            for part in parts:
                part.end()
