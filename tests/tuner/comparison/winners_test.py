"""Winners of real studies, trained again."""

from __future__ import annotations

import csv
import pathlib

import pytest

from common.errors import InputError
from tests.tuner import tiny
from tests.tuner.studies import HERE, run
from tuner.analysis.trials import records
from tuner.comparison import winners
from tuner.comparison.runs import live
from tuner.study import facts


class Counting:
    """Counts what it trains, in this process."""

    count = 0

    def run(self, problem: object, queue: winners._Queue, on_event: object) -> None:
        self.count += len(queue._left)
        HERE.run(problem, queue, on_event)


def test_the_winner_is_trained_with_fresh_seeds_and_once(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny.config(("V",), trials=4)
    run(tmp_path / "study", config)
    study = records.load(tmp_path / "study")
    best = winners.winner(study, 4)
    entries = study.entries["V"]
    assert best == min(entries, key=lambda one: one.result.validation.mean)
    assert winners.winner(study, 1) == entries[0]
    monkeypatch.setattr(facts, "find_task", lambda name: config.problem.task)
    pool, lines, path = Counting(), [], tmp_path / "winners.csv"
    (made,) = winners.again([study], 4, 2, "a", pool, path, lines.append)
    with path.open() as file:
        rows = list(csv.DictReader(file))
    tests = [float(row["test"]) for row in rows]
    # Fresh seeds, other weights, other scores.
    assert len({*tests, best.result.test.mean}) == 3
    assert made.test[-1] == sum(tests) / 2
    assert made.validation.tolist() == live(study).validation.tolist()
    winners.again([study], 4, 3, "a", pool, path, lines.append)
    assert pool.count == 3 and len(path.read_text().splitlines()) == 4
    assert f"V {best.trial.index}, test" in lines[0]
    with pytest.raises(InputError, match="--data: expected the data of the trials, sha256 a"):
        winners.again([study], 4, 4, "b", pool, path, lines.append)
