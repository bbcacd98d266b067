import io

import pytest
import rich.console

from common.text import duration
from tests.tuner import tiny
from tests.tuner.entry import make_entry
from tuner.parallel.messages import EpochEnd, WorkerDied
from tuner.study import progress as views
from tuner.study.progress import Progress
from tuner.training.protocol import Failure, Protocol, Trial


def cost(trial: Trial) -> float:
    """Trial 1 counts as much as nine others."""
    return 9.0 if trial.index == 1 else 1.0


def follow(terminal: bool) -> str:
    console = rich.console.Console(
        file=io.StringIO(),
        force_terminal=terminal,
        width=150,
        height=40,
        soft_wrap=True,
        highlight=False,
    )
    entries = [make_entry(0, 8.75), make_entry(1, 8.25), make_entry(2, 9.5, True)]
    failure = Failure(make_entry(3).trial, "killed by SIGKILL", "native")
    config = tiny.config(trials=1, protocol=Protocol(max_epochs=7))
    progress = Progress(config, cost, console)
    with views.live([progress]):
        remaining = [entry.trial for entry in entries[1:]] + [failure.trial, make_entry(4).trial]
        progress.begin(entries[:1], remaining)
        for trial in remaining:
            progress.start(trial)
            progress.end_epoch(EpochEnd(trial, 2, 61.0, 60.0))
        progress.worker_died(WorkerDied(failure.trial, "killed by SIGSEGV"))
        for entry in entries[1:]:
            progress.finish(entry)
        progress.fail(failure)
    return console.file.getvalue()


VALUES = "units 60, learning rate 0.000333, momentum 0.7, noise 0.1"


def test_plain_lines_without_a_terminal() -> None:
    assert follow(terminal=False).splitlines() == [
        "1 of 5 trials are already done",
        f"NFG 3 ({VALUES}): killed by SIGSEGV; another worker goes on from its checkpoint",
        f"[2/5] NFG 1 ({VALUES}): validation 8.250, test 8.450 nats per frame at epoch 1, 2 s",
        f"[3/5] NFG 2 ({VALUES}): validation 9.500, test 9.700 nats per frame at epoch 1, 2 s, "
        "diverged",
        f"[4/5] NFG 3 ({VALUES}): failed: killed by SIGKILL",
    ]


def test_a_notebook_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.setenv(variable, "1")
    with views.live([Progress(tiny.config(trials=1), cost, views.console())]):
        pass
    assert capsys.readouterr().out == ""


def test_a_terminal_shows_the_best_of_each_variant_and_every_failure() -> None:
    screen = follow(terminal=True)
    assert f"NFG 3 ({VALUES}): failed: killed by SIGKILL" in screen
    last = screen[-1800:]
    assert "4 of 5 trials, 1 failed" in last and "trials/h" in last
    assert "8.250" in last and "9.500" not in last


def test_a_terminal_shows_every_running_trial() -> None:
    console = rich.console.Console(file=io.StringIO(), width=150, highlight=False)
    progress = Progress(tiny.config(trials=3, protocol=Protocol(max_epochs=7)), cost, console)
    trials = [make_entry(index).trial for index in range(3)]
    progress.begin([], trials)
    for trial in trials[:2]:
        progress.start(trial)
    progress.end_epoch(EpochEnd(trials[1], 2, 61.0, 60.0))
    console.print(progress.view())
    screen = console.file.getvalue()
    assert "0 of 3 trials, 2 running" in screen
    assert "NFG 0 (" in screen and "starting" in screen
    assert "epoch 2 of at most 7, validation 61.000, best 60.000" in screen


def test_the_time_left_counts_costs_and_not_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("tuner.study.progress.time.monotonic", lambda: now)
    config = tiny.config(trials=4, protocol=Protocol(max_epochs=10))
    progress = Progress(config, cost, views.console())
    entries = [make_entry(index) for index in range(4)]
    progress.begin([], [entry.trial for entry in entries])
    now = 900.0
    progress.finish(entries[1])
    # 9 of 12 units of work in 900 s: 300 s for the rest, although three of four trials are left.
    assert progress.work().headline() == "1 of 4 trials, 4.0 trials/h, 5.0 min left"
    # An interrupted trial goes on at epoch 5 of 10: half of it was done before, a tenth here.
    progress.start(entries[2].trial)
    progress.end_epoch(EpochEnd(entries[2].trial, 6, 61.0, 60.0))
    now = 910.0
    assert progress.work().headline() == "1 of 4 trials, 1 running, 4.0 trials/h, 4.0 min left"
    progress.finish(entries[2])
    now = 950.0
    assert progress.work().headline() == "2 of 4 trials, 7.6 trials/h, 3.3 min left"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (89, "89 s"), (90, "1.5 min"), (36000, "10.0 h"), (1e6, "11.6 days")],
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_studies_side_by_side_have_names_and_one_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("tuner.study.progress.time.monotonic", lambda: now)
    console = rich.console.Console(
        file=io.StringIO(), force_terminal=True, width=150, height=40, highlight=False
    )
    config = tiny.config(trials=2, protocol=Protocol(max_epochs=10))
    music, speech = (Progress(config, cost, console, name) for name in ("music", "speech"))
    with views.live([music, speech]):
        for part in (music, speech):
            part.begin([], [make_entry(index).trial for index in range(2)])
        speech.start(make_entry(1).trial)
        now = 900.0
        music.finish(make_entry(1, 8.25))
    last = console.file.getvalue()[-2500:]
    # 9 of 20 units of work in 900 s, by workers that all of them have.
    assert "1 of 4 trials, 4.0 trials/h, 18.3 min left" in last
    assert "music 1 of 2 trials" in last and "speech 0 of 2 trials" in last
    music.worker_died(WorkerDied(make_entry(0).trial, "killed"))
    assert "music NFG 0 (" in console.file.getvalue()[-300:]
