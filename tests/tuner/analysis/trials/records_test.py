"""Studies read from directories and tables, alone and together."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from common.errors import InputError
from tests.tuner.analysis import made_up
from tuner.analysis.trials import records, sources, table
from tuner.search.design import load as load_design
from tuner.study.ledger import Ledger
from tuner.tasks.task import Metric


def change_facts(directory: pathlib.Path, **changes: Any) -> pathlib.Path:
    path = directory / "study.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return directory


def test_a_running_study(tmp_path: pathlib.Path) -> None:
    directory = made_up.write(tmp_path / "chorales", 10, ("NP", "V"), ended=0.6)
    ledger = directory / "trials" / "NP.jsonl"
    with ledger.open("a") as file:
        file.write('{"trial": 8, "variant": "NP", "hyperparam')
    study = records.load(directory)
    assert study.name == "chorales"
    assert study.metric == Metric("NLL", "nats per frame")
    assert study.planned == {"V": 10, "NP": 10} and list(study.planned) == ["V", "NP"]
    assert study.finished + sum(map(len, study.failures.values())) == 12
    assert {entry.trial.index for entry in study.entries["NP"]} <= set(range(6))
    assert [entry.trial.index for entry in study.entries["V"]] == sorted(
        entry.trial.index for entry in Ledger(directory / "trials" / "V.jsonl").entries()
    )
    rows = load_design(directory / "designs" / "NP.csv")
    assert study.waiting["NP"] == rows[6:]


def test_a_tenth_variant_comes_after_the_nine(tmp_path: pathlib.Path) -> None:
    directory = made_up.write(tmp_path / "music", 2, ("MyCell", "FGR", "GRUCell", "V"))
    study = records.load(directory)
    assert list(study.entries) == ["V", "FGR", "GRUCell", "MyCell"]
    table.write([study], tmp_path / "trials.csv")
    assert list(table.read(tmp_path / "trials.csv")[0].planned.items()) == [
        (code, 2) for code in study.entries
    ]


def test_the_papers_sampler_is_that_of_earlier_releases(tmp_path: pathlib.Path) -> None:
    directory = change_facts(made_up.write(tmp_path, 2, ("V",)), sampler="random")
    assert records.load(directory).facts == made_up.records(2, ("V",)).facts
    assert records.load(change_facts(directory, sampler="tpe")).sampler == "tpe"


def test_a_relative_path_has_a_name(tmp_path: pathlib.Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(made_up.write(tmp_path / "here", 1, ("V",)))
    assert records.load(pathlib.Path(".")).name == "here"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"metric": {"name": "NLL"}}, "unit"),
        ({"space": {"units": [1]}}, "unpack"),
        ({"data": None}, "NoneType"),
        ({"versions": 3}, "versions: expected dict"),
        ({"task": "../elsewhere"}, "task: expected a name that a folder can have"),
    ],
)
def test_damaged_facts_are_one_line(
    tmp_path: pathlib.Path, changes: dict[str, Any], complaint: str
) -> None:
    directory = change_facts(made_up.write(tmp_path, 1, ("V",)), **changes)
    with pytest.raises(InputError, match=rf"study\.json: expected task, metric.*{complaint}"):
        records.load(directory)


def test_a_trial_in_another_variants_ledger_is_damage(tmp_path: pathlib.Path) -> None:
    directory = made_up.write(tmp_path, 2, ("V", "NP"))
    (directory / "trials" / "V.jsonl").rename(directory / "trials" / "NP.jsonl")
    with pytest.raises(InputError, match=r"NP\.jsonl: line 1: expected a trial of NP\."):
        records.load(directory)


def test_a_trial_that_ended_twice_is_damage(tmp_path: pathlib.Path) -> None:
    ledger = made_up.write(tmp_path, 3, ("V",)) / "trials" / "V.jsonl"
    lines = ledger.read_text().splitlines(keepends=True)
    ledger.write_text("".join([*lines, lines[1]]))
    index = json.loads(lines[1])["trial"]
    with pytest.raises(InputError, match=rf"V\.jsonl: line 4: .* once.*trial {index}$"):
        records.load(tmp_path)


def test_parts_of_one_study_become_one(tmp_path: pathlib.Path) -> None:
    whole = made_up.write(tmp_path / "whole", 4, ("V", "NIG", "NP"))
    parts = [
        made_up.write(tmp_path / code, 4, codes)
        for code, codes in (("a", ("NP",)), ("b", ("NIG", "V")))
    ]
    change_facts(
        parts[1],
        versions={"keras": "3.15.0", "numpy": "2.4.6", "jax": "1"},
        machines=["another machine"],
        data={"name": "Made-up chorales", "sha256": "5eed" * 16, "detail": "from elsewhere"},
    )
    (merged,) = sources.load_all(parts)
    alone = records.load(whole)
    assert merged.name == "music"
    assert list(merged.entries) == ["V", "NIG", "NP"]
    assert (merged.entries, merged.failures, merged.waiting) == (
        alone.entries,
        alone.failures,
        alone.waiting,
    )
    assert merged.facts["versions"] == {
        "keras": "3.15.1, 3.15.0",
        "numpy": "2.4.6",
        "tensorflow": "2.21.0",
        "jax": "1",
    }
    assert merged.facts["machines"] == [
        "made-up processor, 2 cores, 8 GiB, Linux",
        "another machine",
    ]
    assert merged.facts["commands"] == ["python -m tuner.run --task=music --seed=1"]


@pytest.mark.parametrize(
    "changes",
    [
        {"task": "speech"},
        {"seed": 2},
        {"data": {"name": "Made-up chorales", "sha256": "0", "detail": "made up"}},
        {"protocol": {"max_epochs": 9, "patience": 15, "weight_std": 0.1, "order_seed": 1}},
        {"space": {"units": [20, 100]}},
        {"sampler": "tpe"},
    ],
)
def test_different_studies_stay_apart(tmp_path: pathlib.Path, changes: dict[str, Any]) -> None:
    one = made_up.write(tmp_path / "one" / "study", 2, ("V",))
    other = change_facts(made_up.write(tmp_path / "other" / "study", 2, ("NP", "V")), **changes)
    studies = sources.load_all([other, one])
    assert [(study.name, list(study.entries)) for study in studies] == [
        ("study", ["V", "NP"]),
        ("study (2)", ["V"]),
    ]


def test_nothing_counts_twice(tmp_path: pathlib.Path) -> None:
    one = made_up.write(tmp_path / "one", 2, ("V", "NP"))
    other = made_up.write(tmp_path / "other", 2, ("NP", "NIG"))
    link = tmp_path / "link"
    link.symlink_to(one)
    with pytest.raises(InputError, match=r"Received twice: .*link"):
        sources.load_all([one, link])
    with pytest.raises(InputError, match=r"Received: .*other and .*one, which both have NP"):
        sources.load_all([one, other])
    table.write(sources.load_all([one]), tmp_path / "one.csv")
    with pytest.raises(InputError, match=r"Received: .*one\.csv and .*one, which both have NP"):
        sources.load_all([one, tmp_path / "one.csv"])


def test_where_one_study_is_expected_others_are_one_line(tmp_path: pathlib.Path) -> None:
    studies = [made_up.records(2, ("V",)), made_up.records(2, ("V",), task="speech")]
    path = tmp_path / "trials.csv"
    for some, received in ((studies, "music and speech"), ([], "none")):
        table.write(some, path)
        with pytest.raises(InputError, match=rf"csv: expected the trials of one .*: {received}$"):
            sources.load_one(path)
    table.write(studies[1:], path)
    assert sources.load_one(path) == studies[1]


def test_neither_study_nor_table_is_one_line(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: expected a study directory"):
        sources.load_all([tmp_path / "nowhere"])
    (tmp_path / "study.txt").write_text("V")
    with pytest.raises(InputError, match=r"study\.txt: expected a name that ends in \.csv or"):
        sources.load_all([tmp_path / "study.txt"])
