import math
import pathlib

import keras_tuner
import numpy as np
import pytest
import scipy.stats

import zoo
from common.errors import InputError
from tuner.search import design
from tuner.search.samplers import SearchProblem
from tuner.search.samplers.random import RandomSampler
from tuner.search.space import PAPER, Space
from tuner.training.protocol import Trial


def draw(space: Space, seed: int, task: str, variant: str, count: int) -> list[Trial]:
    sampler = RandomSampler(SearchProblem(space, seed, task, (variant,), count))
    return [sampler.propose(variant, index, ()) for index in range(count)]


def test_margins_have_the_papers_distributions() -> None:
    rows = [
        row for code in zoo.list_variants() for row in draw(PAPER, 1, "music", code, 200)
    ]
    margins = {
        # An integer n stands for the log-uniform numbers in [n, n + 1) of [20, 201).
        "units": [
            math.log((row.units + row.index / 200) / 20) / math.log(201 / 20) for row in rows
        ],
        "learning_rate": [math.log(row.learning_rate / 1e-6) / math.log(1e4) for row in rows],
        "one_minus_momentum": [
            math.log((1 - row.momentum) / 0.01) / math.log(100) for row in rows
        ],
        "noise_std": [row.noise_std for row in rows],
    }
    for name, values in margins.items():
        # The seed is fixed, so the test cannot flicker; a new seed would raise a false alarm once
        # in 1,000 margins.
        assert scipy.stats.kstest(values, "uniform").pvalue > 1e-3, name


def test_margins_reach_both_ends_and_stay_inside() -> None:
    rows = draw(PAPER, 1, "music", "V", 4000)
    units = [row.units for row in rows]
    # 1/(20 log 10.05) = 2.1 % of the draws are 20 and 0.2 % are 200.
    assert (min(units), max(units)) == (20, 200)
    assert all(1e-6 <= row.learning_rate <= 1e-2 for row in rows)
    assert all(0 <= row.momentum <= 0.99 for row in rows)
    assert all(0 <= row.noise_std <= 1 for row in rows)


def test_hyperparameters_of_a_row_are_independent() -> None:
    rows = draw(PAPER, 1, "music", "V", 1000)
    table = np.array(
        [
            [
                math.log(row.units),
                math.log(row.learning_rate),
                math.log(1 - row.momentum),
                row.noise_std,
            ]
            for row in rows
        ]
    )
    correlations = np.corrcoef(table.T)[np.triu_indices(4, 1)]
    # Standard error 1/sqrt(1000); 4.5 of them: one false alarm in 25,000 for six correlations.
    assert np.abs(correlations).max() < 4.5 / math.sqrt(1000)


def test_studies_share_no_row() -> None:
    # KerasTuner's own seeds 1 and 5 share 59 of 60 trials.
    seen: dict[tuple, tuple] = {}
    for seed in (0, 1, 2, 5):
        for task in ("music", "speech", "handwriting"):
            for code in zoo.list_variants():
                for row in draw(PAPER, seed, task, code, 50):
                    for value in (
                        row.learning_rate,
                        row.momentum,
                        row.noise_std,
                        row.seed,
                    ):
                        key = (value,)
                        assert key not in seen, (seen.get(key), seed, task, code)
                        seen[key] = (seed, task, code, row.index)


def test_rows_are_what_they_were() -> None:
    # Recorded: a study must be able to go on under the next release.
    row = draw(PAPER, 1, "music", "NFG", 2)[1]
    values = {
        "units": 113,
        "learning_rate": 7.20331098078583e-05,
        "momentum": 1.0 - 0.017089485793345318,
        "noise_std": 0.5846181854276054,
    }
    assert row == Trial(1, "NFG", values, seed=3823519905889887093)


def test_values_are_those_of_kerastuners_formulas() -> None:
    hyperparameters = keras_tuner.HyperParameters()
    PAPER.declare(hyperparameters)
    by_name = {entry.name: entry for entry in hyperparameters.space}
    assert {
        name: (entry.min_value, entry.max_value, entry.sampling) for name, entry in by_name.items()
    } == {
        "units": (20, 200, "log"),
        "learning_rate": (1e-6, 1e-2, "log"),
        "one_minus_momentum": (0.01, 1.0, "log"),
        "noise_std": (0.0, 1.0, "linear"),
    }


def test_csv_gives_back_the_very_numbers(tmp_path: pathlib.Path) -> None:
    rows = draw(PAPER, 2, "music", "V", 200)
    design.save(tmp_path / "V.csv", rows)
    assert list(design.load(tmp_path / "V.csv", PAPER)) == rows


HEADER = "trial,seed,units,learning_rate,momentum,noise_std\n"


def test_a_design_of_an_earlier_release_is_read(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "CIFG.csv"
    path.write_text(HEADER.replace("momentum", "one_minus_momentum") + "0,7,20,0.1,0.25,0.5\n")
    values = {"units": 20, "learning_rate": 0.1, "momentum": 0.75, "noise_std": 0.5}
    assert design.load(path) == (Trial(0, "CIFG", values, seed=7),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the columns"),
        ("trial\n0\n", "expected the columns"),
        ("trial,seed,untis\n0,1,20\n", "expected the columns"),
        (HEADER + "0,1,twenty,0.1,0.1,0.1\n", "line 2"),
        (HEADER + "0,1,20,0.1,0.1,0.1\n1,1,20\n", "line 3"),
        (HEADER + "0,1,20,nan,0.1,0.1\n", "line 2.*expected a finite number"),
        (HEADER + f"0,1,{'9' * 400},0.1,0.1,0.1\n", "line 2: not a trial"),
        (HEADER + f"0,1,{'9' * 5000},0.1,0.1,0.1\n", "line 2: not a trial"),
        (HEADER + "1,1,20,0.1,0.1,0.1\n", "line 2: expected trial 0. Received: trial 1"),
        (HEADER + 2 * "0,1,20,0.1,0.1,0.1\n", "line 3: expected trial 1. Received: trial 0"),
        (HEADER.replace("noise_std", "units") + "0,1,20,0.1,0.1,20\n", "hyperparameter once"),
        (HEADER.replace(",noise_std", "") + "0,1,20,0.1,0.1\n", "expected values of .*noise_std"),
        (HEADER + '0,1,20,0.1,0.1,"0.1\n', "line 2"),
        (HEADER + "0,1,20,0.1,0.1,\0\n", "line 2"),
        (HEADER + "\udcff", "decode"),
        (HEADER + "0,1,20,0.1," + "0" * 200_000, "line 2: field larger"),
    ],
)
def test_a_file_that_is_no_design_is_one_line(
    tmp_path: pathlib.Path, text: str, message: str
) -> None:
    path = tmp_path / "V.csv"
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(InputError, match=message) as caught:
        design.load(path, PAPER)
    assert "V.csv" in str(caught.value) and "\n" not in str(caught.value)
