"""What a person sees while a study runs: a live view in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Self

import rich.console
import rich.live
import rich.table

from tuner.course import Course
from tuner.ledger import Entry
from tuner.protocol import Protocol, Trial
from tuner.tasks.task import Metric


def describe(trial: Trial) -> str:
    """Names a trial with its hyperparameters, for one line.

    Example:
        >>> describe(Trial(3, "NFG", 60, 0.01, 0.5, 0.1, seed=1))
        'NFG 3 (units 60, learning rate 0.01, momentum 0.5, noise 0.1)'
    """
    return (
        f"{trial.variant} {trial.index} (units {trial.units}, learning rate "
        f"{trial.learning_rate:.3g}, momentum {trial.momentum:.3g}, noise {trial.noise_std:.3g})"
    )


def duration(seconds: float) -> str:
    """Writes a time span for people.

    Example:
        >>> duration(45), duration(200), duration(7300), duration(1e6)
        ('45 s', '3.3 min', '2.0 h', '11.6 days')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.1f} min"
    if seconds < 72 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"


class Progress:
    """Follows a study; a `tuner.study.Observer`.

    Example:
        ```python
        with Progress(protocol, metric) as progress:
            study.run(progress)
        ```
    """

    def __init__(
        self, protocol: Protocol, metric: Metric, console: rich.console.Console | None = None
    ) -> None:
        """Prepares the view.

        Args:
            protocol: for the number of epochs.
            metric: for the headings.
            console: where to write; standard output by default.
        """
        self._protocol = protocol
        self._metric = metric
        self._console = console or rich.console.Console(soft_wrap=True, highlight=False)
        self._live: rich.live.Live | None = None
        self._best: dict[str, Entry] = {}
        self._counts: dict[str, int] = {}
        self._underway = ""
        self._done = 0
        self._total = 0
        self._finished_here = 0
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        """Starts the live view, if standard output is a terminal."""
        if self._console.is_terminal:
            self._live = rich.live.Live(
                get_renderable=self._view, console=self._console, refresh_per_second=2
            )
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Leaves the last view on the screen."""
        if self._live:
            self._underway = ""
            self._live.stop()

    def begin(self, done: Iterable[Entry], remaining: int) -> None:
        """Takes note of what is done and what remains."""
        for entry in done:
            self._count(entry)
        self._total = self._done + remaining
        if self._done:
            self._say(f"{self._done} of {self._total} trials are already done")

    def epoch(self, trial: Trial, course: Course) -> None:
        """Shows the trial underway."""
        self._underway = (
            f"{describe(trial)}: epoch {course.epoch} of at most {self._protocol.max_epochs}, "
            f"validation {course.curve[-1].validation:.3f}, best {course.best_score.mean:.3f}"
        )

    def finish(self, entry: Entry) -> None:
        """Shows a finished trial."""
        self._count(entry)
        self._finished_here += 1
        self._underway = ""
        result = entry.result
        self._say(
            f"[{self._done}/{self._total}] {describe(entry.trial)}: "
            f"validation {result.validation.mean:.3f}, test {result.test.mean:.3f} "
            f"{self._metric.unit} at epoch {result.best_epoch}, {duration(result.seconds)}"
            + (", diverged" if result.diverged else "")
        )

    def _say(self, line: str) -> None:
        # A live view would be redrawn under every line, and shows the same numbers itself.
        if self._live is None:
            self._console.print(line, markup=False)

    def _count(self, entry: Entry) -> None:
        code = entry.trial.variant
        self._done += 1
        self._counts[code] = self._counts.get(code, 0) + 1
        best = self._best.get(code)
        if best is None or entry.result.validation.mean < best.result.validation.mean:
            self._best[code] = entry

    def _view(self) -> rich.table.Table:
        hours = (time.monotonic() - self._started) / 3600
        rate = self._finished_here / hours if self._finished_here else 0.0
        left = (
            f", {rate:.1f} trials/h, {duration((self._total - self._done) / rate * 3600)} left"
            if rate and self._done < self._total
            else ""
        )
        table = rich.table.Table(
            title=f"{self._done} of {self._total} trials{left}",
            caption=self._underway,
            title_justify="left",
            caption_justify="left",
        )
        for heading in (
            "variant",
            "trials",
            "best validation",
            "its test",
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
        return table
