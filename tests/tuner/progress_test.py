import io

import pytest
import rich.console

from tests.tuner.ledger_test import make_outcome
from tuner.course import Course
from tuner.ledger import Entry
from tuner.progress import Progress, duration
from tuner.protocol import Protocol, Score
from tuner.tasks.task import Metric


def follow(terminal: bool) -> str:
    console = rich.console.Console(
        file=io.StringIO(), force_terminal=terminal, width=100, soft_wrap=True
    )
    entries = [
        Entry(outcome.trial, outcome.result)
        for outcome in (make_outcome(0, 8.75), make_outcome(1, 8.25), make_outcome(2, 9.5, True))
    ]
    with Progress(Protocol(max_epochs=7), Metric("NLL", "nats per frame"), console) as progress:
        progress.begin(entries[:1], remaining=3)
        for entry in entries[1:]:
            course = Course.begin(Score(61.0, 60.0), ())
            progress.epoch(entry.trial, course)
            progress.finish(entry)
    return console.file.getvalue()


def test_plain_lines_without_a_terminal() -> None:
    values = "units 60, learning rate 0.000333, momentum 0.7, noise 0.1"
    assert follow(terminal=False).splitlines() == [
        "1 of 4 trials are already done",
        f"[2/4] NFG 1 ({values}): validation 8.250, test 8.450 nats per frame at epoch 1, 2 s",
        f"[3/4] NFG 2 ({values}): validation 9.500, test 9.700 nats per frame at epoch 1, 2 s, "
        "diverged",
    ]


def test_a_terminal_shows_the_best_of_each_variant() -> None:
    last = follow(terminal=True)[-1500:]
    assert "3 of 4 trials" in last and "trials/h" in last
    assert "8.250" in last and "9.500" not in last


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (89, "89 s"), (90, "1.5 min"), (36000, "10.0 h"), (1e6, "11.6 days")],
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
