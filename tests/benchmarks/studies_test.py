"""The demonstration of guided evolutionary strategies."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks import table

guided_es = importlib.import_module("docs.studies.guided_es")


def _nth(gaps: Iterator[float], step: int) -> float:
    return next(itertools.islice(gaps, step, None))


def test_problem_and_what_needs_no_random_numbers() -> None:
    """Against an implementation in NumPy without eigenbasis, which ran the authors' problem."""
    problem = guided_es.Problem.draw(0)
    start = np.zeros(1000)
    assert problem.least == pytest.approx(0.255923, abs=1e-6)
    assert problem.least + problem.gap(start) == pytest.approx(0.512421, abs=1e-6)
    assert problem.curvature[[0, -1]] == pytest.approx([0.0873, 2.9079], abs=1e-4)
    gradient = problem.gradient(start)
    assert gradient @ problem.bias / np.linalg.norm(gradient) == pytest.approx(0.0119, abs=1e-4)
    expected = list(itertools.islice(problem.plain_expectation(), 10_001))
    for step, gap in ((0, 0.256497), (100, 0.247884), (1000, 0.186991), (10_000, 0.037903)):
        assert expected[step] == pytest.approx(gap, abs=2e-6)
    descent = list(guided_es.follow(problem, 1000, None))
    for step, gap in ((100, 0.13698), (1000, 0.05824)):
        assert descent[step] == pytest.approx(gap, abs=1e-5)


def test_strategy_of_the_zoo_follows_the_expectation() -> None:
    problem = guided_es.Problem.draw(0, rows=80, columns=40)
    gap = _nth(guided_es.guided(problem, 50, None, seed=1, alpha=1.0), 50)
    expected = _nth(problem.plain_expectation(), 50)
    assert expected < 0.85 * problem.gap(np.zeros(40))
    assert gap == pytest.approx(expected, rel=0.3)


def test_committed_runs_end_where_the_authors_do() -> None:
    ends: dict[tuple[str, str], list[float]] = {}
    for row in table.read(table.STUDIES / "guided_es.csv")[1]:
        if row["step"] == "10000":
            ends.setdefault((row["method"], row["surrogate"]), []).append(float(row["gap"]))
    assert ends["plain strategy, expected", "none"] == [0.037903]
    assert ends["gradient descent", "bias"] == [pytest.approx(0.05303, abs=1e-5)]
    for method, surrogate, expected in (
        ("plain strategy", "none", 0.0379),
        ("guided strategy", "bias", 0.0226),
        ("guided strategy", "bias and noise", 0.0125),
    ):
        assert np.mean(ends[method, surrogate]) == pytest.approx(expected, rel=0.15)
