"""The report: what lies where, and numbers worked out by hand in its tables."""

from __future__ import annotations

import csv
import dataclasses
import pathlib
import re
import statistics

import pytest

from common.errors import InputError
from tests import commands
from tests.tuner.analysis import made_up
from tuner.analysis.report import report
from tuner.analysis.trials import records, sources
from tuner.analysis.trials.records import Records
from tuner.search.space import PAPER
from tuner.study.ledger import best_first
from tuner.training.protocol import Failure

TABLES = [
    *("comparisons", "curves", "expected_best", "failures"),
    *("importance", "marginals", "variants"),
]


FOUR = ("V", "NFG", "NOAF", "FGR")


@pytest.fixture(scope="module")
def studies() -> list[Records]:
    """Music whose variants have 40 trials each, and speech with two variants of 3."""
    return [made_up.records(40, FOUR, seed=2), made_up.records(3, ("V", "NOAF"), task="speech")]


@pytest.fixture(scope="module")
def folder(studies: list[Records], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Their report; not to be changed."""
    folder = tmp_path_factory.mktemp("report")
    assert report.write(studies, folder) == folder / "index.html"
    return folder


def read(path: pathlib.Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_everything_lies_where_the_page_says(folder: pathlib.Path) -> None:
    page = (folder / "index.html").read_text()
    assert sorted(path.stem for path in (folder / "tables").iterdir()) == TABLES
    figures = {path.name for path in (folder / "figures").iterdir()}
    assert {"music-variants.svg", "music-importance.svg", "speech-variants.svg"} <= figures
    # Three trials are too few to say what matters.
    assert "speech-importance.svg" not in figures
    linked = {address for address in re.findall(r'href="([^"#:]+)"', page)}
    assert {"trials.csv", "trials.parquet", "tables/importance.csv"} <= linked
    assert {f"figures/{name}" for name in figures} <= linked
    for address in linked:
        assert (folder / address).is_file(), address


def test_the_table_of_variants_has_the_numbers(
    folder: pathlib.Path, studies: list[Records]
) -> None:
    rows = read(folder / "tables" / "variants.csv")
    assert [(row["study"], row["variant"]) for row in rows] == [
        *(("music", code) for code in FOUR),
        ("speech", "V"),
        ("speech", "NOAF"),
    ]
    (row,) = [row for row in rows if (row["study"], row["variant"]) == ("music", "NFG")]
    entries = studies[0].entries["NFG"]
    top = sorted(entries, key=lambda entry: entry.result.validation.mean)[:4]
    assert int(row["best_tenth_trials"]) == 4
    assert int(row["best_trial"]) == top[0].trial.index
    assert float(row["its_test"]) == top[0].result.test.mean
    tests = [entry.result.test.mean for entry in top]
    assert float(row["best_tenth_test_median"]) == pytest.approx(statistics.median(tests))
    assert float(row["best_tenth_test_maximum"]) == max(tests)
    seconds = sum(entry.result.seconds for entry in entries)
    assert float(row["seconds"]) == pytest.approx(seconds)
    assert row["its_test_grouped"] == "" and rows[-1]["its_test_grouped"] != ""


def test_comparisons_say_what_they_lack(folder: pathlib.Path, studies: list[Records]) -> None:
    rows = {(row["study"], row["variant"]): row for row in read(folder / "tables/comparisons.csv")}
    means = {
        code: statistics.mean(entry.result.test.mean for entry in best_first(entries)[:4])
        for code, entries in studies[0].entries.items()
    }
    for code in FOUR[1:]:
        difference = float(rows["music", code]["difference"])
        assert difference == pytest.approx(means[code] - means["V"])
        assert float(rows["music", code]["g_low"]) < float(rows["music", code]["g_high"])
    lacking = rows["speech", "NOAF"]
    assert lacking["verdict"].startswith("not enough trials: ") and lacking["p"] == ""


def test_shares_of_the_variance_add_up(folder: pathlib.Path) -> None:
    rows = read(folder / "tables" / "importance.csv")
    analyzed = {(row["study"], row["variant"], row["target"]) for row in rows}
    assert {study for study, _, _ in analyzed} == {"music"}
    assert {("music", "all", "test"), ("music", "V", "test"), ("music", "V", "seconds")} <= analyzed
    for key in analyzed:
        shares = {
            row["effect"]: float(row["share"])
            for row in rows
            if (row["study"], row["variant"], row["target"]) == key
        }
        assert sum(shares.values()) == pytest.approx(1)
    # The learning rate was made to matter most.
    shares = {
        row["effect"]: float(row["share"])
        for row in rows
        if (row["variant"], row["target"]) == ("V", "test")
    }
    assert max(shares, key=shares.__getitem__) == "learning_rate"


def test_curves_and_failures_are_the_ledgers(folder: pathlib.Path, studies: list[Records]) -> None:
    curves = read(folder / "tables" / "curves.csv")
    entry = studies[0].entries["NFG"][3]
    points = [
        (int(row["epoch"]), row["loss"] and float(row["loss"]), float(row["validation"]))
        for row in curves
        if (row["study"], row["variant"], row["trial"])
        == ("music", "NFG", str(entry.trial.index))
    ]
    assert points == [
        (epoch.epoch, "" if epoch.loss is None else epoch.loss, epoch.validation)
        for epoch in entry.result.curve
    ]
    failures = [failure for trials in studies[0].failures.values() for failure in trials]
    rows = read(folder / "tables" / "failures.csv")
    assert failures and [(row["variant"], int(row["trial"]), row["reason"]) for row in rows] == [
        (failure.trial.variant, failure.trial.index, failure.reason) for failure in failures
    ]


@pytest.mark.parametrize("name", ["trials.csv", "trials.parquet"])
def test_the_page_of_a_table_is_the_page_of_its_study(
    studies: list[Records], tmp_path: pathlib.Path, name: str
) -> None:
    running = [made_up.records(4, ("V", "NP"), ended=0.5), studies[1]]
    page = report.write(running, tmp_path / "first").read_text()
    read_again = sources.load_all([tmp_path / "first" / name])
    assert report.write(read_again, tmp_path / "again").read_text() == page


def test_a_fifth_hyperparameter_and_a_tenth_variant_appear_everywhere(
    tmp_path: pathlib.Path,
) -> None:
    space = PAPER.with_ranges({"forget_bias": (0.0, 2.0)})
    study = made_up.records(40, ("V", "GRUCell"), space=space)
    failed = Failure(dataclasses.replace(study.entries["V"][0].trial, index=40), "killed", "native")
    study = dataclasses.replace(study, failures={**study.failures, "V": (failed,)})
    text = report.write([study], tmp_path).read_text()
    for words in (
        "noise 0 to 1 (linear), forget bias 0 to 2 (linear); drawn at random",
        "forget-gate bias 0 to 2, which the paper did not vary",
        '<th scope="col" data-name="forget_bias">forget bias</th>',
        '<th scope="row" title="GRUCell">GRUCell</th>',
    ):
        assert words in text
    assert text.count("forget-gate bias") > 20
    for name in ("marginals", "importance", "interactions", "axes"):
        svg = (tmp_path / "figures" / f"music-{name}.svg").read_text()
        assert svg.count("forget-gate bias</text>") >= (4 if name == "interactions" else 1), name
    for name in ("variants", "marginals", "importance", "learning_curves", "expected_best", "axes"):
        assert "GRUCell" in (tmp_path / "figures" / f"music-{name}.svg").read_text()
    rows = read(tmp_path / "tables" / "importance.csv")
    effects = {row["effect"] for row in rows if row["variant"] == "GRUCell"}
    assert {"forget_bias", "noise_std x forget_bias"} <= effects and len(effects) == 16
    curve = read(tmp_path / "tables" / "marginals.csv")
    ends = {float(row["value"]) for row in curve if row["factor"] == "forget_bias"}
    assert (min(ends), max(ends)) == (0.0, 2.0)
    (row,) = read(tmp_path / "tables" / "failures.csv")
    assert float(row["forget_bias"]) == failed.trial.forget_bias > 0
    assert sources.load_all([tmp_path / "trials.csv"])[0].entries == study.entries
    # Nothing of it in a study without.
    report.write([made_up.records(3, ("V",))], tmp_path)
    assert not re.search("forget[ -_](gate )?bias", (tmp_path / "index.html").read_text())
    assert "forget" not in (tmp_path / "trials.csv").read_text()


def test_names_that_are_no_anchors(tmp_path: pathlib.Path, studies: list[Records]) -> None:
    names = ["Bach & <Söhne>", "Bach   Söhne", "2nd"]
    renamed = [dataclasses.replace(studies[1], name=name) for name in names]
    report.write(renamed, tmp_path)
    stems = {path.stem.rpartition("-")[0] for path in (tmp_path / "figures").iterdir()}
    assert stems == {"Bach-S-hne", "Bach-S-hne-2", "study-2nd"}


def test_the_command_of_a_study_without_one(studies: list[Records]) -> None:
    facts = {key: value for key, value in studies[1].facts.items() if key != "commands"}
    study = dataclasses.replace(studies[1], facts=facts)
    assert report.command(study) == (
        "python -m tuner.run --task=speech --variants=V,NOAF --trials=3 "
        "--max_epochs=150 --patience=15 --seed=1"
    )
    assert report.command(studies[1]) == "python -m tuner.run --task=speech --seed=1"


def test_a_study_without_a_finished_trial_has_a_report(tmp_path: pathlib.Path) -> None:
    waiting = made_up.records(3, ("V",), ended=0.0)
    assert report.write([waiting], tmp_path).is_file()
    assert read(tmp_path / "tables" / "variants.csv") == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "--study_dir"),
        (["--study_dir={tmp}"], "study.json"),
        (["--study_dir={tmp}/a.csv", "--out={tmp}"], "a.csv"),
        (["--study_dir={tmp}", "--study_dir={tmp}/b"], "--out"),
        (["--study_dir={tmp}", "--importance=tea_leaves"], "importance"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: pathlib.Path, arguments: list[str], named: str
) -> None:
    filled = [argument.format(tmp=tmp_path) for argument in arguments]
    done = commands.run("tuner.report", *filled)
    assert done.returncode == 2
    assert named in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_no_study_is_one_line(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InputError, match=r"study\.json"):
        records.load(tmp_path)
