"""What cells are worth, what changing operators does, and how well scores rank cells."""

from __future__ import annotations

import dataclasses
import itertools
import math
import pathlib

import numpy as np
import pytest

from common.errors import InputError
from tests import commands
from tests.tuner import tiny
from tests.tuner.studies import run
from tuner.analysis.trials import records
from tuner.analysis.trials.records import Records
from tuner.search.space import PAPER
from tuner.supernet import ranking, truth
from tuner.supernet.scores import SCORES
from tuner.supernet.space import CellSpace
from tuner.training.protocol import Failure
from zoo.registry import find_variants, unregister

GRID = PAPER.with_ranges(
    {
        "units": (4, 4),
        "learning_rate": (1e-3, 1e-1),
        "momentum": (0.5, 0.5),
        "noise_std": (0.0, 0.0),
    }
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Records:
    folder = tmp_path_factory.mktemp("grid")
    config = tiny.config(("V", "NP"), trials=6, sampler="grid")
    run(folder, dataclasses.replace(config, space=GRID))
    return records.load(folder)


def changed(study: Records, change) -> Records:
    entries = {
        code: tuple(
            dataclasses.replace(one, result=dataclasses.replace(one.result, **change(code, one)))
            for one in own
        )
        for code, own in study.entries.items()
    }
    return dataclasses.replace(study, entries=entries)


def test_a_cell_is_worth_the_mean_at_its_best_point(study: Records) -> None:
    scores = {
        # Rates 1e-3, 1e-2, 1e-1, and again with other seeds.
        "V": [9.0, 8.0, 5.0, 9.0, 8.2, 30.0],
        "NP": [7.0, 8.0, 9.0, 7.5, 7.2, 9.5],
    }

    def change(code: str, one) -> dict:
        value = scores[code][one.trial.index]
        made = dataclasses.replace(one.result.validation, mean=value)
        tested = dataclasses.replace(one.result.test, mean=value + 1)
        gone = (code, one.trial.index) == ("V", 5)
        return {"validation": made, "test": tested, "diverged": gone}

    made = changed(study, change)
    found = truth.of_study(made)
    # The diverged trial counts as 9.5, so that 1e-1 is worth 7.25 with V: less than 8.1.
    assert found["V"].nll == pytest.approx(7.25) and found["V"].test == pytest.approx(8.25)
    assert found["V"].best == {"learning_rate": pytest.approx(0.1)}
    assert found["V"].std == pytest.approx(4.5 / math.sqrt(2)) and found["V"].diverged == 1
    assert found["V"].by_seed == (5.0, 8.2)
    assert found["NP"].nll == pytest.approx(7.25) and found["NP"].by_seed == (7.0, 7.2)
    # One that failed counts as one that diverged.
    *others, last = made.entries["V"]
    failed = dataclasses.replace(
        made,
        entries={**made.entries, "V": tuple(others)},
        failures={**made.failures, "V": (Failure(last.trial, "NaN", "native"),)},
    )
    again = truth.of_study(failed)["V"]
    assert again == dataclasses.replace(found["V"], seconds=again.seconds)
    assert found["NP"].seconds == sum(one.result.seconds for one in study.entries["NP"])


def test_an_unfinished_grid_is_refused(study: Records) -> None:
    cut = dataclasses.replace(study, entries={**study.entries, "NP": study.entries["NP"][:5]})
    with pytest.raises(InputError, match=r"expected all trials of a grid.* 5 trials of NP"):
        truth.of_study(cut)
    # Of one point more than of another, or of each point one.
    for count in (5, 3):
        alike = {code: entries[:count] for code, entries in study.entries.items()}
        with pytest.raises(InputError, match=rf"each point at least twice.* {count} trials of "):
            truth.of_study(dataclasses.replace(study, entries=alike))


def test_effects_are_those_of_a_planted_model() -> None:
    space = CellSpace({"a": ("p", "q", "r"), "b": ("p", "q"), "c": ("p", "q")},
                      lambda child: child != ("q", "q", "q"))  # fmt: skip

    def model(child: tuple[str, ...]) -> float:
        a, b, c = child
        value = {"p": 0.0, "q": 2.0, "r": -1.0}[a] + (b == "q") * 0.5 - (c == "q") * 0.25
        return value + 4 * (a == "r" and c == "q")

    worth = {child: model(child) for child in space.children()}
    main = {one.changes: one for one in truth.effects(space, worth)}
    # Three of the four cells of a = q are there; c = q takes a quarter, or adds 3.75.
    assert main[("a", "q"),].mean == pytest.approx(2) and main[("a", "q"),].cells == 3
    assert main[("b", "q"),].mean == pytest.approx(0.5) and main[("b", "q"),].better == 0
    own = [-0.25, -0.25, -0.25, 3.75, 3.75]
    assert main[("c", "q"),].mean == pytest.approx(np.mean(own))
    assert main[("c", "q"),].median == -0.25 and main[("c", "q"),].better == 0.6
    pairs = {one.changes: one for one in truth.effects(space, worth, order=2)}
    assert pairs[("a", "r"), ("c", "q")].mean == pytest.approx(4)
    assert pairs[("a", "r"), ("c", "q")].cells == 2
    assert pairs[("a", "q"), ("b", "q")].mean == pytest.approx(0)
    assert pairs[("a", "q"), ("b", "q")].cells == 1


def test_tau_with_ties_is_that_of_the_definition() -> None:
    scores, worth = np.array([1.0, 2, 2, 3, 4]), -np.array([1.0, 1, 3, 2, 4])
    signs = [
        (np.sign(scores[i] - scores[j]), np.sign(worth[j] - worth[i]))
        for i, j in itertools.combinations(range(5), 2)
    ]
    concordant = sum(x * y for x, y in signs)
    expected = concordant / math.sqrt(sum(x != 0 for x, _ in signs) * sum(y != 0 for _, y in signs))
    # Of ten pairs eight differ in both: seven concordant, one discordant.
    assert expected == pytest.approx(6 / 9)
    assert ranking.tau(scores, worth) == pytest.approx(expected)
    assert ranking.interval(np.arange(40.0), -np.arange(40.0) ** 3) == pytest.approx((1, 1))
    low, high = ranking.interval(np.random.default_rng(1).random(84), np.arange(84.0))
    # The standard deviation of tau without a relation is 0.074.
    assert -0.3 < low < -0.05 < 0.05 < high < 0.3


def test_the_interval_is_that_of_repeated_draws() -> None:
    generator = np.random.default_rng(2)
    worth = generator.integers(12, size=20).astype(float)
    scores = (-worth + generator.normal(0, 3, 20)).round()
    scores[3] = scores[5] = -np.inf
    rows = generator.integers(20, size=(1_000, 20))
    drawn = [ranking.tau(scores[row], worth[row]) for row in rows]
    expected = np.percentile(drawn, [2.5, 97.5])
    np.testing.assert_allclose(ranking.interval(scores, worth), expected, atol=0.03)


def test_the_noise_ceiling_is_the_mean_over_pairs_of_seeds() -> None:
    by_seed = [(1.0, 1.0, 3.0), (2.0, 2.0, 2.0), (3.0, 3.0, 1.0)]
    assert ranking.ceiling(by_seed) == pytest.approx((1 - 1 - 1) / 3)


def test_ranks_of_all_scores() -> None:
    class Known:
        def measure(self, child: tuple[str, ...]) -> float:
            return float(child[0])

        def vectors(self, child: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
            return np.array([1.0, 0.0]), np.array([1.0, float(child[0])])

    worth = {(str(number),): float(number) for number in range(1, 9)}
    found = {row.score: row for row in ranking.rank(Known(), worth, 7)}
    assert list(found) == list(SCORES) and {row.epochs for row in found.values()} == {7}
    # What is worse has turned further, in this one.
    assert found["inherited"].tau == pytest.approx(1) and found["inherited"].top == 5
    for name in ("angle", "change", "norm"):
        assert found[name].tau == pytest.approx(-1)
    assert found["angle"].top == 2
    assert (found["angle"].low, found["angle"].high) == pytest.approx((-1, -1))
    assert math.isnan(found["parameters"].tau) and found["parameters"].low == 0


def test_regret_of_random_shrinks_is_that_of_all_ways_to_shrink() -> None:
    space = CellSpace({"a": ("p", "q"), "b": ("p", "q")}, lambda child: True)
    worth = {child: place**2 for place, child in enumerate(space.children())}
    assert ranking.regret(space.without("a", "p"), worth) == 4
    found = ranking.random_regrets(space, worth, stop=2, count=4_000)
    # One of four operators goes: a.p costs 4, b.p 1, the others nothing.
    counts = [int(np.sum(found == lost)) for lost in (0, 1, 4)]
    assert sum(counts) == 4_000
    np.testing.assert_allclose(counts, [2_000, 1_000, 1_000], atol=150)
    assert ranking.random_regrets(space, worth, stop=4, count=3).max() == 0


def test_the_command(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = ("ifo_gh_p", "io_gh_x", "x_gh_x")
    config = tiny.config(tuple(cells), trials=6, sampler="grid")
    find_variants([f"zoo.gates:{code}" for code in cells])
    run(tmp_path / "study", dataclasses.replace(config, space=GRID))
    for code in cells:
        unregister(code)
    done = commands.run(
        "tuner.shrink", "--task=tests.tuner.tiny_task:TinyTask", "--data=a", "--units=4",
        f"--truth={tmp_path / 'study'}", "--seeds=1", "--epochs=1,2", "--round_epochs=1",
        "--score=angle,random", "--stop=2", "--without=gate recurrence:full",
        f"--out={tmp_path / 'out'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "truth: 3 cells; the best is " in done.stdout and "noise ceiling" in done.stdout
    lines = (tmp_path / "out" / "ranks.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * len(SCORES)
    shrunk = (tmp_path / "out" / "shrinking.csv").read_text().splitlines()
    assert len(shrunk) == 3 and shrunk[0].startswith("scheme,score,seed,dropped,cells,regret")
    cells_csv = (tmp_path / "out" / "cells.csv").read_text().splitlines()
    assert len(cells_csv) == 4 and cells_csv[0].endswith("diverged,learning_rate")
    wrong = commands.run(
        "tuner.shrink", "--task=tests.tuner.tiny_task:TinyTask", "--without=peepholes:full"
    )  # fmt: skip
    assert wrong.returncode == 2
    assert "--without: expected EDGE:OPERATOR of input gate:gate|one, " in wrong.stderr
    others = dataclasses.replace(tiny.config(("V",), trials=6, sampler="grid"), space=GRID)
    run(tmp_path / "others", others)
    for changed, said in (
        (("--data=b",), "--truth: expected trials of tiny, data of sha256 b0"),
        (("--data=a", f"--truth={tmp_path / 'others'}"), "expected trials of cells of zoo.gates"),
    ):
        wrong = commands.run(
            "tuner.shrink", "--task=tests.tuner.tiny_task:TinyTask",
            f"--truth={tmp_path / 'study'}", *changed,
        )  # fmt: skip
        assert wrong.returncode == 2 and said in wrong.stderr, wrong.stderr
    wrong = commands.run("tuner.shrink", "--task=tests.tuner.tiny_task:TinySpeech", "--data=a")
    assert wrong.returncode == 2
    assert "--task: expected a task whose network has one direction" in wrong.stderr
