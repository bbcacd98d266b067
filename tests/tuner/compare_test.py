"""The command that compares samplers."""

from __future__ import annotations

import pathlib

import pytest

from tests import commands
from tests.tuner.comparison.factorial import factorial
from tuner.analysis.trials import table


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--trials=a"], "--out: expected a folder"),
        (["--out=b"], "--trials: expected either it, for a replay, or --study_dir. Received: nei"),
        (["--out=b", "--trials=a", "--study_dir=c"], "Received: both"),
        (["--out=b", "--trials=a", "--budgets=5,x"], "--budgets: expected numbers of trainings"),
        (["--out=b", "--trials=a", "--budgets=0"], "--budgets: expected numbers of trainings"),
        (["--out=b", "--trials=a", "--samplers=random,best"], "--samplers: expected names of"),
        (["--out=b", "--trials=a", "--samplers=gp"], "sampler gp: expected the package torch"),
        (["--out=b", "--trials=no/such", "--samplers=random"], "no/such"),
    ],
)
def test_wrong_input_is_one_line_and_status_2(arguments: list[str], named: str) -> None:
    done = commands.run("tuner.compare", *arguments)
    assert done.returncode == 2, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and named in lines[0], done.stderr


def test_it_writes_a_page(tmp_path: pathlib.Path) -> None:
    table.write([factorial()], tmp_path / "trials.csv")
    done = commands.run(
        "tuner.compare", f"--trials={tmp_path / 'trials.csv'}", "--grade=tabular", "--seeds=2",
        "--samplers=random,evolution", "--budgets=5,30", f"--out={tmp_path / 'out'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "evolution: best validation 8.5000 after 30 trainings" in done.stdout
    page = (tmp_path / "out" / "index.html").read_text()
    assert "python -m tuner.compare --trials=" in page and "random, exact" in page
