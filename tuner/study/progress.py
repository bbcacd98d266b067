"""What a person sees while a study runs: a live view in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Self

import rich.console
import rich.live
import rich.table
import rich.text

from common.text import duration
from tuner.parallel.messages import EpochEnd, WorkerDied
from tuner.study.presets import StudyConfig
from tuner.training.protocol import Failure, Trial, TrialRecord


class Progress:
    """Follows a study; a `tuner.study.study.Observer`.

    Example:
        ```python
        with Progress(config, cost) as progress:
            study.run(pool, progress)
        ```
    """

    def __init__(
        self,
        config: StudyConfig,
        cost: Callable[[Trial], float],
        console: rich.console.Console | None = None,
    ) -> None:
        """Prepares the view.

        Args:
            config: of the study.
            cost: how long a trial may take at most, in any unit: long trials run first, so that
                the number of trials alone says little about the time left.
            console: where to write; standard output by default.
        """
        self._config = config
        self._max_epochs = config.problem.protocol.max_epochs
        self._cost = cost
        # A notebook asks its commands for colors, but is no terminal.
        terminal = None if sys.stdout.isatty() else False
        self._console = console or rich.console.Console(
            soft_wrap=True, highlight=False, force_terminal=terminal
        )
        self._live: rich.live.Live | None = None
        self._best: dict[str, TrialRecord] = {}
        self._counts: dict[str, int] = {}
        # In the order in which they were started.
        self._running: dict[Trial, str] = {}
        # The epoch before the first that was run here, and the last one.
        self._epochs: dict[Trial, tuple[int, int]] = {}
        self._ended = 0
        self._failed = 0
        self._total = 0
        self._ended_here = 0
        self._cost_left = 0.0
        self._cost_done = 0.0
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        """Starts the live view, if standard output is a terminal."""
        if self._console.is_terminal:
            self._live = rich.live.Live(
                get_renderable=self.view, console=self._console, refresh_per_second=2
            )
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Leaves the last view on the screen."""
        if self._live:
            self._running.clear()
            self._live.stop()

    def begin(self, done: Sequence[TrialRecord | Failure], remaining: Sequence[Trial]) -> None:
        """Takes note of what is done and what remains."""
        for record in done:
            self._count(record)
        # Of a sampler that looks at results, more trials than are proposed.
        wanted = len(self._config.variants) * self._config.trials
        self._total = max(self._ended + len(remaining), wanted)
        self._cost_left = sum(map(self._cost, remaining))
        self._started = time.monotonic()
        if self._ended:
            failed = f", {self._failed} of them failed" if self._failed else ""
            self._say(f"{self._ended} of {self._total} trials are already done{failed}")

    def propose(self, trial: Trial) -> None:
        """Counts a trial that has been proposed."""
        self._cost_left += self._cost(trial)

    def adopt(self, records: Sequence[TrialRecord]) -> None:
        """Counts trials that need not be trained."""
        for record in records:
            self._count(record)
            self._cost_left -= self._cost(record.trial)
        self._say(f"{self._ended} of {self._total} trials are done, {len(records)} adopted")

    def start(self, trial: Trial) -> None:
        """Shows a trial that has started."""
        self._running[trial] = f"{self._describe(trial)}: starting"

    def end_epoch(self, end: EpochEnd) -> None:
        """Shows how far a trial has come."""
        before, _ = self._epochs.get(end.trial, (end.epoch - 1, 0))
        self._epochs[end.trial] = before, end.epoch
        self._running[end.trial] = (
            f"{self._describe(end.trial)}: epoch {end.epoch} of at most "
            f"{self._max_epochs}, validation {end.validation:.3f}, "
            f"best {end.best:.3f}"
        )

    def worker_died(self, death: WorkerDied) -> None:
        """Says that a trial lost its worker."""
        self._console.print(
            f"{self._describe(death.trial)}: {death.reason}; "
            "another worker goes on from its checkpoint",
            markup=False,
        )

    def finish(self, entry: TrialRecord) -> None:
        """Shows a finished trial."""
        self._end(entry)
        result = entry.result
        self._say(
            f"[{self._ended}/{self._total}] {self._describe(entry.trial)}: "
            f"validation {result.validation.mean:.3f}, test {result.test.mean:.3f} "
            f"{self._config.problem.task.metric.unit} at epoch {result.best_epoch}, "
            f"{duration(result.seconds)}"
            + (", diverged" if result.diverged else "")
        )

    def fail(self, failure: Failure) -> None:
        """Shows a failed trial."""
        self._end(failure)
        self._console.print(
            f"[{self._ended}/{self._total}] {self._describe(failure.trial)}: "
            f"failed: {failure.reason}",
            markup=False,
        )

    def _describe(self, trial: Trial) -> str:
        values = self._config.space.describe(trial.values)
        return f"{trial.variant} {trial.index} ({values})"

    def _end(self, record: TrialRecord | Failure) -> None:
        self._count(record)
        self._ended_here += 1
        self._running.pop(record.trial, None)
        before, _ = self._epochs.pop(record.trial, (0, 0))
        cost = self._cost(record.trial)
        self._cost_done += cost * (1 - before / self._max_epochs)
        self._cost_left -= cost

    def _say(self, line: str) -> None:
        # A live view would be redrawn under every line, and shows the same numbers itself.
        if self._live is None:
            self._console.print(line, markup=False)

    def _count(self, record: TrialRecord | Failure) -> None:
        code = record.trial.variant
        self._ended += 1
        self._counts[code] = self._counts.get(code, 0) + 1
        if isinstance(record, Failure):
            self._failed += 1
            return
        best = self._best.get(code)
        if best is None or record.result.validation.mean < best.result.validation.mean:
            self._best[code] = record

    def _left(self) -> str:
        """Says how fast it goes and how long it will take."""
        seconds = time.monotonic() - self._started
        done, left = self._cost_done, self._cost_left
        for trial, (before, last) in self._epochs.items():
            an_epoch = self._cost(trial) / self._max_epochs
            # What an interrupted trial had done before says nothing about the speed.
            done += an_epoch * (last - before)
            left -= an_epoch * last
        if not done or self._ended == self._total:
            return ""
        rate = f"{self._ended_here * 3600 / seconds:.1f} trials/h, " if self._ended_here else ""
        return f", {rate}{duration(left * seconds / done)} left"

    def headline(self) -> str:
        """Says how the study stands in one line."""
        failed = f", {self._failed} failed" if self._failed else ""
        running = f", {len(self._running)} running" if self._running else ""
        return f"{self._ended} of {self._total} trials{failed}{running}{self._left()}"

    def view(self) -> rich.console.Group:
        """Draws how the study stands: headline, best of each variant, a line a running trial."""
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
        for code, entry in self._best.items():
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
            for line in self._running.values()
        )
        return rich.console.Group(self.headline(), table, *running)
