"""Samplers compared: exact numbers, replays, statistics, page and command."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import math
import pathlib

import numpy as np
import pytest
from scipy import stats

from common.errors import InputError
from tests.tuner.analysis import hand_made, made_up
from tests.tuner.comparison.factorial import factorial
from tuner.analysis.trials import sources, table
from tuner.comparison import comparison, figures, page, tables, verdicts
from tuner.comparison.runs import Run, live, replay
from tuner.comparison.tables import Answer, Factorial, Surrogate, expected_best
from tuner.search.samplers.domain import Gene, Point
from tuner.search.space import PAPER
from tuner.tasks.task import find_task
from tuner.training.protocol import Failure


@pytest.fixture
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_TREES", 20)


MUSIC = pathlib.Path(__file__).parents[3] / "docs" / "studies" / "music.parquet"


def test_the_expected_best_of_finished_trials_is_exact() -> None:
    """On 306 trials of music, and by going through all samples of a few trials."""
    (study,) = sources.load_all([MUSIC])
    entries = [entry for entry in study.all_entries if entry.trial.index < 34]
    found = expected_best(entries, (1, 5, 10, 20, 34, 50, 100, 200, 500))
    validation = {
        1: 11.688108, 5: 8.909831, 10: 8.679022, 20: 8.534984, 34: 8.465238,
        50: 8.429540, 100: 8.385380, 200: 8.355618,
    }  # fmt: skip
    assert {n: one.validation for n, one in found.items()} == pytest.approx(validation, abs=5e-7)
    assert [found[n].test for n in (10, 34, 100)] == pytest.approx(
        [8.761255, 8.542758, 8.465943], abs=5e-7
    )
    few = [hand_made.entry("V", place, score, 20.0 - score, seconds=score)
           for place, score in enumerate((3.0, 1.0, 7.0, 2.0, 5.0))]  # fmt: skip
    exact = expected_best(few, (3,))[3]
    samples = list(itertools.combinations([3.0, 1.0, 7.0, 2.0, 5.0], 3))
    assert exact.validation == pytest.approx(np.mean([min(sample) for sample in samples]))
    assert exact.test == pytest.approx(20.0 - np.mean([min(sample) for sample in samples]))
    assert exact.seconds == pytest.approx(3 * 3.6)


def test_the_exact_best_counts_what_failed_or_diverged() -> None:
    scores = {0: 3.0, 1: math.inf, 2: 2.0, 3: math.inf, 4: 5.0, 5: math.inf}
    records = [
        hand_made.entry("V", place, min(score, 1.0) if math.isinf(score) else score,
                        diverged=math.isinf(score), seconds=2.0)
        for place, score in scores.items()
    ]  # fmt: skip
    ended = [*records[:-1], Failure(records[-1].trial, "killed", "native")]
    found = expected_best(ended, (2, 3, 5, 7))
    assert sorted(found) == [2, 3, 5]
    for draws, exact in found.items():
        best = [min(sample) for sample in itertools.combinations(scores.values(), draws)]
        assert exact.validation == pytest.approx(np.mean([one for one in best if one < math.inf]))
        assert exact.seconds == pytest.approx(draws * 10 / 6)
    assert expected_best(ended[-1:], (1,)) == {}


class Listed:
    """A table of given scores, one an option."""

    grade = "tabular"

    def __init__(self, scores: np.ndarray) -> None:
        self._scores = scores
        options = tuple(range(len(scores)))
        self.genes = (Gene("trial", lambda part: int(part * len(options)), options, True),)
        self.best, self.words = float(scores.min()), "made up"

    def ask(self, point: Point, generator: np.random.Generator) -> Answer:
        score = float(self._scores[point["trial"]])
        return Answer(score, score + 1, 2.0)


def test_random_replays_agree_with_the_law() -> None:
    """With replacement P(best of n > v) = P(one > v)^n; within three standard errors."""
    scores = np.sort(np.random.default_rng(2).gamma(2.0, size=40))
    runs = [replay("random", Listed(scores), seed, 10, 1) for seed in range(200)]
    for budget in (1, 3, 10):
        found = np.array([run.validation[budget - 1] for run in runs])
        above = (np.arange(40, -1, -1) / 40) ** budget
        expected = ((above[:-1] - above[1:]) * scores).sum()
        assert abs(found.mean() - expected) < 3 * found.std() / math.sqrt(len(found))
    run = runs[0]
    assert (np.diff(run.validation) <= 0).all()
    assert run.test == pytest.approx(run.validation + 1)
    assert run.seconds == pytest.approx(2.0 * np.arange(1, 11))
    assert run.area(4) == pytest.approx(run.validation[:4].mean())


def test_replays_are_paired_and_repeatable() -> None:
    scores = np.random.default_rng(1).normal(8.5, 0.2, 60)
    random, evolution, again = (
        replay(name, Listed(scores), 7, 40, 3) for name in ("random", "evolution", "evolution")
    )
    # Evolution begins with the 20 points of the random design.
    assert (random.validation[:20] == evolution.validation[:20]).all()
    assert (evolution.validation == again.validation).all()
    other = replay("random", Listed(scores), 8, 40, 3)
    assert (other.validation[:20] != random.validation[:20]).any()


@pytest.mark.usefixtures("few_trees")
def test_a_surrogate_knows_what_it_has_learned() -> None:
    study = made_up.records(30, ("V", "NFG"), seed=2)
    surrogate = Surrogate(study)
    assert [len(gene.options) for gene in surrogate.genes] == [2, 7, 9, 5, 5]
    assert "3,150 points" in surrogate.words and surrogate.explained > 0.5
    # The best rate of the made-up trials is 10^-3.4; NFG is .6 worse.
    generator = np.random.default_rng(0)
    values = dict(zip((gene.name for gene in surrogate.genes),
                      (gene.options[len(gene.options) // 2] for gene in surrogate.genes),
                      strict=True))  # fmt: skip
    by_rate = [
        surrogate.ask({**values, "variant": "V", "learning_rate": rate}, generator).validation
        for rate in surrogate.genes[2].options
    ]
    assert int(np.argmin(by_rate)) in (4, 5, 6) and max(by_rate) > 1.1 * min(by_rate)
    few = made_up.records(4, ("V",), seed=2)
    with pytest.raises(InputError, match="at least 20 finished trials .* Received: "):
        Surrogate(few)


def test_a_table_of_all_combinations_answers_with_real_trainings() -> None:
    made = Factorial(factorial())
    assert "12 real trainings" in made.words and made.best == pytest.approx(8.5)
    free = [gene.name for gene in made.genes if len(gene.options) > 1]
    assert free == ["variant", "learning_rate"]
    point = {gene.name: gene.options[-1] for gene in made.genes}
    drawn = {
        made.ask(point, np.random.default_rng(seed)).validation for seed in range(40)
    }
    assert drawn == {9.5, 9.6, None}
    run = replay("evolution", made, 1, 30, 1)
    assert run.validation[-1] == pytest.approx(8.5)
    study = factorial()
    some = dataclasses.replace(study, entries={**study.entries, "V": study.entries["V"][:3]})
    with pytest.raises(InputError, match="all combinations of values. Received: 3 of 4"):
        Factorial(some)


def runs(name: str, shift: float, noise: float, seeds: int = 12) -> list[Run]:
    generator = np.random.default_rng(3)
    made = []
    for seed in range(seeds):
        curve = 8.5 + np.exp(-np.arange(1, 31) / 10) + generator.normal(0, 0.03)
        curve = curve + shift + np.random.default_rng([seed, len(name)]).normal(0, noise)
        made.append(Run(name, seed, curve, curve + 0.1, np.arange(1.0, 31.0)))
    return made


def test_verdicts_need_a_difference_that_is_real_and_matters() -> None:
    some = [
        *runs("random", 0.0, 1e-4), *runs("better", -0.1, 1e-3), *runs("little", 0.004, 1e-4),
        *runs("unsure", 0.0, 0.2),
    ]  # fmt: skip
    found = {(one.first, one.second): one for one in verdicts.compare(some, (30, 999), 0.014)}
    assert len(found) == 6 and {one.budget for one in found.values()} == {30}
    assert found["random", "better"].words == "worse"
    little = found["random", "little"]
    assert little.p_holm < 0.05 and little.words == "no difference that matters"
    assert found["random", "unsure"].words == "undecided"
    # Holm's steps: the smallest p times the number of tests, the next times one less, …
    ranked = sorted(found.values(), key=lambda one: one.p)
    steps = np.maximum.accumulate([(6 - place) * one.p for place, one in enumerate(ranked)])
    assert [one.p_holm for one in ranked] == pytest.approx(np.minimum(steps, 1.0).tolist())
    one = found["random", "better"]
    assert one.low < one.final < one.high and one.final == pytest.approx(0.1, abs=0.01)


def test_the_permutation_test_is_scipys() -> None:
    generator = np.random.default_rng(5)
    for count in (8, 25):
        differences = generator.normal(0.4, 1.0, count)
        expected = stats.permutation_test(
            (differences, np.zeros(count)),
            lambda x, y, axis: (x - y).sum(axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=20_000,
            rng=np.random.default_rng(0),
        ).pvalue
        assert verdicts.paired_permutation(differences) == pytest.approx(expected, abs=0.01)


def test_failed_trainings_count_and_never_win() -> None:
    study = hand_made.records(
        {
            "V": [
                hand_made.entry("V", 1, 9.0, seconds=5.0),
                hand_made.entry("V", 2, 7.0, diverged=True, seconds=5.0),
                hand_made.entry("V", 3, 8.0, seconds=5.0),
            ]
        },
        failures={"V": [Failure(hand_made.entry("V", 0, 1.0).trial, "killed", "native")]},
        sampler="tpe-of-my-own",
    )
    run = live(study)
    assert run.validation.tolist() == [math.inf, 9.0, 9.0, 8.0]
    assert run.seconds.tolist() == [0.0, 5.0, 10.0, 15.0]
    assert (run.sampler, run.seed, run.area(4)) == ("tpe-of-my-own", 1, 8.75)


@pytest.mark.usefixtures("few_trees")
def test_a_comparison_is_one_page_and_one_table(tmp_path: pathlib.Path) -> None:
    lines: list[str] = []
    path = tmp_path / "trials.parquet"
    table.write([made_up.records(12, ("V", "NFG"), seed=2)], path)
    found = comparison.by_replay(
        path, "surrogate", ["random", "evolution"], (5, 25), 4, 1, 0.014, lines.append
    )
    assert "R²" in lines[0] and lines[1].startswith("random: best validation")
    written = page.write(found, tmp_path / "out", "python -m tuner.compare").read_text()
    assert "Samplers compared: surrogate" in written and "random, exact" in written
    with (tmp_path / "out" / "comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 4 * 2
    assert {(row["grade"], row["lag"]) for row in rows} == {("surrogate", "1")}
    first = {row["sampler"]: row["validation"] for row in rows if row["budget"] == "5"
             and row["seed"] == "1"}  # fmt: skip
    assert first["random"] == first["evolution"]
    assert {one.name for one in (tmp_path / "out" / "figures").iterdir()} == {
        "best_by_trainings.svg", "best_by_seconds.svg", "regret.svg",
    }  # fmt: skip


@pytest.mark.usefixtures("few_trees")
def test_a_surrogate_of_errors_down_to_zero_and_of_a_value_that_does_not_vary() -> None:
    study = hand_made.records(
        {"V": [hand_made.entry("V", place, float(place % 7)) for place in range(30)]},
        space=PAPER.with_ranges({"momentum": (0.5, 0.5)}).to_json(),
    )
    surrogate = Surrogate(study)
    point = {gene.name: gene.options[0] for gene in surrogate.genes}
    assert math.isfinite(surrogate.ask(point, np.random.default_rng(0)).validation or math.nan)
    assert -0.7 < surrogate.best < 6


def test_runs_without_a_winner_are_drawn(tmp_path: pathlib.Path) -> None:
    never = np.full(3, math.inf)
    runs = [Run(name, seed, never, never, np.arange(1.0, 4)) for name in "ab" for seed in (1, 2)]
    for figure in figures.draw(runs, find_task("music").metric, None):
        assert "<svg" in figure.svg


def test_studies_of_other_data_or_twice_are_refused(tmp_path: pathlib.Path) -> None:
    paths = [made_up.write(tmp_path / str(seed), 6, ("V",), seed=seed) for seed in (1, 2)]
    found = comparison.of_studies(paths, (3, 6), 0.014)
    assert found.grade == "live" and [run.seed for run in found.runs] == [1, 2]
    # Before anything is trained again.
    for budgets, retrain in (((7, 20), None), ((3, 7), lambda *_: pytest.fail("trained"))):
        with pytest.raises(InputError, match="1: expected at least 7 trials that have ended"):
            comparison.of_studies(paths, budgets, 0.014, retrain)
    with pytest.raises(InputError, match="one study of each sampler and seed"):
        comparison.of_studies([*paths, made_up.write(tmp_path / "3", 6, ("V",), seed=1)], (3,), 0)
    speech = made_up.write(tmp_path / "4", 6, ("V",), seed=5, task="speech")
    with pytest.raises(InputError, match="4: expected studies of one task"):
        comparison.of_studies([*paths, speech], (3,), 0)
    narrow = PAPER.with_ranges({"units": (20, 30)})
    other = made_up.write(tmp_path / "5", 6, ("V",), seed=6, space=narrow)
    with pytest.raises(InputError, match="5: expected studies of one space"):
        comparison.of_studies([*paths, other], (3,), 0)
