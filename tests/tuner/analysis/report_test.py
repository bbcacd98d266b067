"""The report against numbers worked out by hand."""

from __future__ import annotations

import csv
import dataclasses
import html.parser
import json
import pathlib
import xml.etree.ElementTree

import pytest

import zoo
from serving.command_line import InputError
from tests.tuner.ledger_test import make_entry
from tuner import design
from tuner.analysis import report
from tuner.design import Space
from tuner.ledger import Ledger
from tuner.protocol import Failure

VALIDATIONS = {
    "V": [9.0, 8.0, 8.5, 8.25, 9.5, 9.75, 8.75, 10.0, 10.5, 11.0, 12.0],
    "NFG": [9.25, 9.125],
}


@pytest.fixture
def study(tmp_path: pathlib.Path) -> pathlib.Path:
    """A study directory with made-up trials; the test score is always 0.2 above validation."""
    for folder in ("designs", "trials"):
        (tmp_path / folder).mkdir()
    facts = {
        "task": "music",
        "metric": {"name": "NLL", "unit": "nats per frame"},
        "data": {"name": "<b>Bach & sons</b>", "sha256": "c0ffee", "detail": "made up"},
        "protocol": {"max_epochs": 150, "patience": 15, "weight_std": 0.1, "order_seed": 1},
        "space": {
            "units": [20, 200],
            "learning_rate": [1e-6, 1e-2],
            "one_minus_momentum": [0.01, 1.0],
            "noise_std": [0.0, 1.0],
        },
        "seed": 1,
        "versions": {"keras": "3.15.1"},
    }
    (tmp_path / "study.json").write_text(json.dumps(facts))
    for code, validations in VALIDATIONS.items():
        design.save(
            tmp_path / "designs" / f"{code}.csv", design.draw(Space(), 1, "music", code, 12)
        )
        ledger = Ledger(tmp_path / "trials" / f"{code}.jsonl")
        # Trials end in any order.
        for index, validation in reversed(list(enumerate(validations))):
            ledger.append(make_entry(index, validation, diverged=index == 1))
    # Planned, but without a result.
    design.save(tmp_path / "designs" / "NP.csv", design.draw(Space(), 1, "music", "NP", 12))
    for code, index in (("NP", 5), ("NFG", 2)):
        trial = dataclasses.replace(make_entry(index).trial, variant=code)
        ledger = Ledger(tmp_path / "trials" / f"{code}.jsonl")
        ledger.append(Failure(trial, "killed by <SIGKILL>", "native"))
    return tmp_path


class Text(html.parser.HTMLParser):
    """The cells of a page's tables, its tags and its words."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip()


def test_the_table_has_the_numbers(study: pathlib.Path) -> None:
    page = report.write(study, zoo.list_variants())
    text = Text(page.read_text())
    by_variant = {row[0]: row[1:] for row in text.rows[1:3]}
    # The best two of eleven by validation are 8.0 and 8.25: median test 8.325.
    assert by_variant["V"][:6] == ["11/12", "8.000", "8.200", "7.500", "8.325 (2)", "1"]
    assert by_variant["NFG"][:6] == ["2/12", "9.125", "9.325", "7.500", "9.325 (1)", "1"]
    assert list(by_variant) == ["V", "NFG"]
    words = " ".join(text.words)
    assert "13 of 36 planned trials are finished, 2 failed; data" in words
    failures = [(*row[:4], row[4][:19]) for row in text.rows[-2:]]
    assert failures == [
        ("NFG", "2", "60", "0.000333", "killed by <SIGKILL>"),
        ("NP", "5", "60", "0.000333", "killed by <SIGKILL>"),
    ]
    assert "not the paper's study" in words


def test_a_task_without_groups_has_no_column_for_them(study: pathlib.Path) -> None:
    for code in ("V", "NFG"):
        path = study / "trials" / f"{code}.jsonl"
        path.write_text(path.read_text().replace('"test_grouped": 7.5', '"test_grouped": null'))
    text = Text(report.write(study, zoo.list_variants()).read_text())
    assert text.rows[1][:5] == ["V", "11/12", "8.000", "8.200", "8.325 (2)"]
    assert "merged" not in " ".join(text.words)


def test_the_page_needs_no_network_and_escapes_what_it_is_given(study: pathlib.Path) -> None:
    content = report.write(study, zoo.list_variants()).read_text()
    assert "&lt;b&gt;Bach &amp; sons&lt;/b&gt;" in content and "<b>Bach" not in content
    for address in Text(content).addresses:
        assert address.startswith("#") or (study / "report" / address).is_file(), address
    assert "@import" not in content and "url(http" not in content


def test_csv_tables_give_back_the_ledger(study: pathlib.Path) -> None:
    report.write(study, zoo.list_variants())
    tables = {
        path.stem: list(csv.DictReader(path.open()))
        for path in (study / "report" / "tables").glob("*.csv")
    }
    assert [float(row["validation"]) for row in tables["trials"]] == [
        *VALIDATIONS["V"],
        *VALIDATIONS["NFG"],
    ]
    assert {row["learning_rate"] for row in tables["trials"]} == {repr(1e-3 / 3)}
    assert len(tables["curves"]) == 2 * 13
    assert tables["curves"][0] == {
        "variant": "NFG",
        "trial": "0",
        "epoch": "0",
        "loss": "",
        "validation": "61.0",
    }
    assert [row["best_trial"] for row in tables["variants"]] == ["1", "1"]
    assert [row["failed"] for row in tables["variants"]] == ["0", "1"]
    assert [(row["variant"], row["trial"]) for row in tables["failures"]] == [
        ("NFG", "2"),
        ("NP", "5"),
    ]


def test_the_figure_is_an_svg_with_every_variant(study: pathlib.Path) -> None:
    report.write(study, zoo.list_variants())
    path = study / "report" / "figures" / "learning_curves.svg"
    words = [element.text for element in xml.etree.ElementTree.parse(path).iter() if element.text]
    assert {"V", "NFG", "epoch"} <= {word.strip() for word in words}
    first = path.read_text()
    report.write(study, zoo.list_variants())
    assert path.read_text() == first


def test_a_variant_far_above_the_rest_does_not_flatten_the_others(study: pathlib.Path) -> None:
    ledger = Ledger(study / "trials" / "NP.jsonl")
    ledger.append(make_entry(0, 1200.0))
    report.write(study, zoo.list_variants())
    path = study / "report" / "figures" / "learning_curves.svg"
    words = [element.text for element in xml.etree.ElementTree.parse(path).iter() if element.text]
    words = [word.strip() for word in words]
    assert "NP (above)" in words and "V" in words
    # The numbers on the axis: 8 to 12, not 0 to 1200.
    ticks = [float(word) for word in words if word.replace(".", "").isdigit()]
    assert max(ticks) < 20


def test_a_study_without_a_finished_trial_has_a_report(study: pathlib.Path) -> None:
    for path in (study / "trials").iterdir():
        path.unlink()
    assert "No trial is finished yet" in report.write(study, zoo.list_variants()).read_text()


def test_no_study_is_one_line(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InputError, match=r"study\.json"):
        report.write(tmp_path, zoo.list_variants())
