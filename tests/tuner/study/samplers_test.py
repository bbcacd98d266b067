"""Studies by samplers that look at results: neither order nor interruptions change them."""

from __future__ import annotations

import json
import os
import pathlib
import random
import signal
from collections.abc import Callable

import numpy as np
import pytest

from common.errors import InputError
from tests.commands import Forked
from tests.tuner import tiny
from tests.tuner.studies import Silence, lines, run
from tuner.analysis.trials import records
from tuner.parallel.messages import Event
from tuner.parallel.pool import TrialQueue, any_trial
from tuner.search import samplers
from tuner.search.samplers import SamplerRow, SearchProblem, place_of
from tuner.study.presets import StudyConfig
from tuner.training.native.engine import Trainer
from tuner.training.protocol import Failure, Problems, TrialRecord

LAG = 3


class Shuffled:
    """Has up to four trials underway, and lets them end in an order of its own."""

    most = 0
    """How many were underway at once."""

    def run(self, problems: Problems, queue: TrialQueue, on_event: Callable[[Event], None]) -> None:
        (problem,) = problems.values()
        trainer, chance, ended = Trainer(problem), random.Random(1), []
        while True:
            while len(ended) < 4 and (taken := queue.take(any_trial)) is not None:
                ended += trainer.train([taken.trial])
                self.most = max(self.most, len(ended))
            if not ended:
                return
            on_event(ended.pop(chance.randrange(len(ended))))



ROWS = {
    "few": SamplerRow(
        "tuner.search.samplers.evolution:AgingEvolution",
        "soon begins to evolve",
        {"population_size": 4, "tournament_size": 3},
        joint=True,
    ),
    "parzen": SamplerRow(
        "tuner.search.samplers.optuna:OptunaSearch",
        "soon looks at results",
        {"sampler": "TPESampler", "initial": 3, "n_startup_trials": 3},
        joint=True,
        packages=("optuna",),
    ),
}


@pytest.fixture(autouse=True)
def rows(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, row in ROWS.items():
        monkeypatch.setitem(samplers.SAMPLERS, name, row)


class Dying(Silence):
    """Is interrupted, or dies, when a trial has ended."""

    def __init__(self, at: int, die: Callable[[], None]) -> None:
        super().__init__()
        self._at, self._die = at, die

    def _end(self) -> None:
        if len(self.finished) + len(self.failed) == self._at:
            self._die()

    def finish(self, record: TrialRecord) -> None:
        super().finish(record)
        self._end()

    def fail(self, failure: Failure) -> None:
        super().fail(failure)
        self._end()


def in_a_process(directory: pathlib.Path, config: StudyConfig, observer: Silence) -> None:
    samplers.SAMPLERS.update(ROWS)
    run(directory, config, Shuffled(), "native", observer)


def interrupt() -> None:
    raise KeyboardInterrupt


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("name", ["few", pytest.param("parzen", marks=pytest.mark.slow)])
def test_workers_order_and_kill_9_change_no_ledger(tmp_path: pathlib.Path, name: str) -> None:
    config = tiny.config(("V", "NP"), trials=5, sampler=name, lag=LAG)
    whole = run(tmp_path / "alone", config)
    assert len(whole.finished) == len(whole.remaining) == 10
    alone = lines(tmp_path / "alone")
    facts = json.loads((tmp_path / "alone" / "study.json").read_text())
    assert (facts["sampler"], facts["lag"], facts["variants"]) == (name, LAG, ["V", "NP"])

    killed = tmp_path / "killed"
    dead = Forked(in_a_process, killed, config, Dying(4, kill)).wait()
    assert dead.returncode == -signal.SIGKILL
    shuffled = Shuffled()
    with pytest.raises(KeyboardInterrupt):
        run(killed, config, shuffled, "native", Dying(2, interrupt))
    assert len(run(killed, config, shuffled).done) >= 6
    # It would take four.
    assert shuffled.most == LAG
    assert lines(killed) == alone

    # The designs say what was proposed when; the seeds' last bits are the places.
    found = records.load(killed)
    seeds = [one.trial.seed for one in found.all_entries]
    assert sorted(map(place_of, seeds)) == list(range(10))
    for code, entries in found.entries.items():
        places = [place_of(entry.trial.seed) for entry in entries]
        assert places == sorted(places), code

    if name != "few":
        return
    # A longer study goes on; one of other variants or with another lag is another one.
    longer = tiny.config(("V", "NP"), trials=6, sampler=name, lag=LAG)
    assert len(run(killed, longer).finished) == 2
    assert all(lines(killed)[code][: len(alone[code])] == alone[code] for code in alone)
    for change in ({"lag": 4}, {"variants": ("V",)}):
        other = tiny.config(**{"variants": ("V", "NP"), "trials": 6, "sampler": name, "lag": LAG,
                               **change})  # fmt: skip
        with pytest.raises(InputError, match=f"begun with {next(iter(change))}"):
            run(killed, other)


def test_it_begins_with_the_points_of_random_search_and_follows_results() -> None:
    variants = ("V", "NP", "FGR")
    problem = SearchProblem(tiny.SPACE, 3, "tiny", variants, 9, lag=1)
    drawing, joint = samplers.make("random", problem), samplers.make("few", problem)
    drawn = {
        (code, index): drawing.propose(code, index, ()) for code in variants for index in range(2)
    }
    proposed = [joint.propose_next([], [])]
    for _ in range(3):
        ended = [Failure(trial, "killed", "native") for trial in proposed]
        proposed.append(joint.propose_next(proposed, ended))
    expected = [drawn[key] for key in (("V", 0), ("NP", 0), ("FGR", 0), ("V", 1))]
    for trial, other in zip(proposed, expected, strict=True):
        assert (trial.variant, trial.index, trial.values) == (
            other.variant, other.index, other.values
        )  # fmt: skip


def test_designs_of_another_search_are_refused(tmp_path: pathlib.Path) -> None:
    config = tiny.config(("V", "NP"), trials=3, sampler="few", lag=LAG)
    run(tmp_path, config)
    # As if one file had been lost: the places of its trials are missing.
    (tmp_path / "designs" / "V.csv").unlink()
    (tmp_path / "trials" / "V.jsonl").unlink()
    with pytest.raises(InputError, match=r"designs/NP.csv: expected all trials that few proposed"):
        run(tmp_path, config)


def test_an_even_design_for_each_variant(tmp_path: pathlib.Path) -> None:
    config = tiny.config(("NP",), trials=3, sampler="qmc")
    whole = run(tmp_path, config)
    sobol, drawing = (
        samplers.make(name, SearchProblem(tiny.SPACE, 3, "tiny", ("V", "NP"), 17))
        for name in ("qmc", "random")
    )
    row = tiny.SPACE["learning_rate"]
    points = [sobol.propose("V", index, ()) for index in range(17)]
    others = [sobol.propose("NP", index, ()) for index in range(3)]
    assert sorted((record.trial for record in whole.finished), key=lambda one: one.index) == others
    # After the first, which Optuna draws, each sixteenth of the range has one.
    rates = row.to_unit(np.array([trial.learning_rate for trial in points[1:]])) * 16
    assert sorted(map(int, rates)) == list(range(16))
    assert [trial.seed for trial in points] == [
        drawing.propose("V", index, ()).seed for index in range(17)
    ]
