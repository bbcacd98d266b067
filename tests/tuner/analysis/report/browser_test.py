"""The page in a real browser: `make browser-test` installs what it needs."""

from __future__ import annotations

import base64
import dataclasses
import pathlib
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser.chromium import PAPER, PHONE, READERS, Browser
from tests.tuner.analysis import made_up, made_up_page
from tuner.analysis import study_analysis
from tuner.analysis.report import figures, page
from tuner.analysis.trials.records import Records
from tuner.training.protocol import Failure


@pytest.fixture(scope="module")
def records() -> Records:
    """Forty finished trials, of which some diverged, and a failed one."""
    found = made_up.records(20, ("V", "NFG"))
    lost = dataclasses.replace(found.entries["V"][0].trial, index=20)
    return dataclasses.replace(
        found, failures={**found.failures, "V": (Failure(lost, "killed", "native"),)}
    )


@pytest.fixture(scope="module")
def single(records: Records, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The page of one study with all figures."""
    analysis = study_analysis.analyze(records)
    study = made_up_page.page(analysis=analysis, figures=figures.draw(analysis))
    path = tmp_path_factory.mktemp("single") / "index.html"
    path.write_text(page.render([study]), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def several(records: Records, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The page of three studies, one of which lacks everything."""
    waiting = dataclasses.replace(made_up.records(4, ("V", "NFG"), ended=0.0), name="waiting")
    studies = [
        made_up_page.page("music"),
        made_up_page.page("speech", findings=(), claims=()),
        made_up_page.page("waiting", analysis=made_up_page.analysis(waiting), figures=()),
    ]
    path = tmp_path_factory.mktemp("several") / "index.html"
    path.write_text(page.render(studies), encoding="utf-8")
    return path


def column(browser: Browser, name: str) -> list[str]:
    """What the rows that are shown have in a column."""
    place = browser.run(
        "return document.querySelector(`th[data-name=${arguments[0]}]`).cellIndex + 1", name
    )
    return browser.texts(f".list tbody tr > :nth-child({place})")


def heading(browser: Browser, name: str) -> Any:
    return browser.find(f"th[data-name={name}]")


def sort(browser: Browser, name: str) -> str:
    heading(browser, name).find_element(By.TAG_NAME, "button").click()
    return heading(browser, name).get_attribute("aria-sort")


def ask(browser: Browser, query: str) -> str:
    """Writes words and conditions; returns how many trials are left."""
    field = browser.find("[name=query]")
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(Keys.BACKSPACE, query)
    return browser.find(".status").text


def test_sorting_compares_numbers_in_both_directions(
    browser: Browser, single: pathlib.Path, records: Records
) -> None:
    browser.open(single)
    entries = [entry for trials in records.entries.values() for entry in trials]
    everything = sorted(f"{entry.result.parameters:,}" for entry in entries)
    assert sort(browser, "parameters") == "ascending"
    numbers = [int(text.replace(",", "")) for text in column(browser, "parameters")]
    assert numbers == sorted(entry.result.parameters for entry in entries)[:25]
    # Sorted as words they would be in another order.
    assert numbers != [int(text.replace(",", "")) for text in everything[:25]]
    assert sort(browser, "parameters") == "descending"
    down = [int(text.replace(",", "")) for text in column(browser, "parameters")]
    assert down == sorted((entry.result.parameters for entry in entries), reverse=True)[:25]
    # Minutes are more than seconds, and 9e-6 less than 1e-3.
    assert sort(browser, "seconds") == "ascending"
    assert heading(browser, "parameters").get_attribute("aria-sort") is None
    by_time = sorted(entries, key=lambda entry: entry.result.seconds)
    names = [f"{entry.trial.variant} {entry.trial.index}" for entry in by_time]
    assert column(browser, "trial") == names[:25]
    sort(browser, "learning_rate")
    rates = [float(text) for text in column(browser, "learning_rate")]
    assert rates == sorted(rates) and rates[0] < 1e-5


def test_a_row_without_a_number_comes_last_in_both_directions(
    browser: Browser, single: pathlib.Path
) -> None:
    browser.open(single)
    for _ in range(2):
        sort(browser, "test")
        browser.find("[name=next]").click()
        assert column(browser, "trial")[-1] == "V 20"
        assert column(browser, "status")[-1] == "failed"


def test_sorting_by_keyboard(browser: Browser, single: pathlib.Path) -> None:
    browser.open(single)
    browser.run("document.querySelector('th[data-name=units] button').focus()")
    browser.driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert heading(browser, "units").get_attribute("aria-sort") == "ascending"
    browser.driver.switch_to.active_element.send_keys(Keys.SPACE)
    assert heading(browser, "units").get_attribute("aria-sort") == "descending"


def test_filtering(browser: Browser, single: pathlib.Path, records: Records) -> None:
    browser.open(single)
    trials = [record.trial for record in (*records.all_entries, *records.all_failures)]
    assert browser.find(".status").text == "41 trials, 1–25 shown"
    units = sorted(trial.units for trial in trials)[20]
    large = [trial for trial in trials if trial.units >= units]
    assert ask(browser, f"units >= {units}").startswith(f"{len(large)} of 41 trials")
    both = [trial for trial in large if trial.learning_rate < 1e-3]
    assert 0 < len(both) < len(large)
    answer = ask(browser, f"units>={units} learning_rate < 1e-3")
    assert answer.startswith(f"{len(both)} of 41 trials")
    assert ask(browser, "fail") == "1 of 41 trials"
    assert ask(browser, "nfg 1") == "1 of 41 trials"
    assert ask(browser, "size > 3").endswith("; there is no column size")
    assert browser.find("[name=query]").get_attribute("aria-invalid") == "true"
    assert ask(browser, "units > much").endswith("; “units > much” lacks a number")
    assert ask(browser, "") == "41 trials, 1–25 shown"
    browser.find("[name=variant]").send_keys("NFG")
    assert browser.find(".status").text == "20 of 41 trials"
    assert {text.split()[0] for text in column(browser, "trial")} == {"NFG"}
    diverged = [entry for entry in records.entries["NFG"] if entry.result.diverged]
    browser.find("[name=status]").send_keys("diverged")
    assert browser.find(".status").text == f"{len(diverged)} of 41 trials"


def test_pages_of_the_list(browser: Browser, single: pathlib.Path) -> None:
    browser.open(single)
    first = column(browser, "trial")
    browser.find("[name=next]").click()
    assert browser.find(".status").text == "41 trials, 26–41 shown"
    assert len(column(browser, "trial")) == 16
    assert not browser.find("[name=next]").is_enabled()
    browser.find("[name=previous]").click()
    assert column(browser, "trial") == first


def test_a_row_opens_its_curve_and_closes_it(
    browser: Browser, single: pathlib.Path, records: Records
) -> None:
    browser.open(single)
    ask(browser, "NFG 7")
    entry = records.entries["NFG"][7]
    result = entry.result
    button = browser.find(".list tbody button")
    assert (button.text, button.get_attribute("aria-expanded")) == ("NFG 7", "false")
    button.send_keys(Keys.ENTER)
    assert button.get_attribute("aria-expanded") == "true"
    best = result.curve[result.best_epoch]
    last = result.curve[-1].epoch
    assert browser.find(".curves .summary").text == (
        f"NFG 7: validation 62.9 before training, best {float(f'{best.validation:.4g}')} "
        f"at epoch {best.epoch} of {last}."
    )
    validation, loss = browser.all(".curves svg")
    assert validation.accessible_name == "validation NLL (nats per frame) of NFG 7 by epoch"
    assert loss.accessible_name == "training loss a frame of NFG 7 by epoch"
    # The untrained network is far off, and has no loss.
    for svg in (validation, loss):
        points = svg.find_element(By.TAG_NAME, "polyline").get_attribute("points").split()
        assert len(points) == last
    slider, output = browser.find(".curves input"), browser.find(".curves output")
    assert output.text.startswith(f"epoch {best.epoch}: ") and output.text.endswith("(best)")
    slider.send_keys(Keys.HOME)
    assert output.text == "epoch 0: validation 62.9, loss none"
    slider.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    point = result.curve[2]
    numbers = [float(f"{value:.4g}") for value in (point.validation, point.loss or 0.0)]
    assert output.text == f"epoch 2: validation {numbers[0]:g}, loss {numbers[1]:g}"
    button.click()
    assert button.get_attribute("aria-expanded") == "false"
    assert browser.all(".curves") == []


def test_no_complaint_and_no_request(browser: Browser, single: pathlib.Path) -> None:
    browser.open(single)
    sort(browser, "test")
    browser.find(".list tbody button").click()
    browser.find(".theme").click()
    assert browser.complaints == []
    assert browser.requests == [single.as_uri()]


def test_a_complaint_and_a_request_would_be_seen(
    browser: Browser, single: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    image = '<img src="http://reports.invalid/pixel.png" alt="">'
    text = single.read_text(encoding="utf-8").replace("</main>", f"{image}</main>")
    kept = tmp_path / "kept.html"
    kept.write_text(text, encoding="utf-8")
    browser.open(kept)
    # The page's policy stops it before it is sent.
    assert "Content Security Policy" in browser.complaints[0]
    free = tmp_path / "free.html"
    free.write_text(text.replace("Content-Security-Policy", "ignored"), encoding="utf-8")
    browser.open(free)
    assert browser.requests == [free.as_uri(), "http://reports.invalid/pixel.png"]
    assert "ERR_NAME_NOT_RESOLVED" in browser.complaints[0]


@pytest.mark.parametrize(("scheme", "size"), READERS)
def test_nothing_stands_in_the_way(
    browser: Browser, single: pathlib.Path, scheme: str, size: tuple[int, int]
) -> None:
    browser.open(single, size, scheme=scheme)
    browser.run("for (const details of document.querySelectorAll('details')) details.open = true")
    browser.find(".list tbody button").click()
    assert browser.violations() == []
    assert browser.overflow == 0


def test_nothing_stands_in_the_way_of_several_studies(
    browser: Browser, several: pathlib.Path
) -> None:
    browser.open(several, PHONE)
    assert browser.violations() == []
    assert browser.overflow == 0
    browser.open(several)
    assert browser.overflow == 0


def test_what_stands_in_the_way_would_be_seen(
    browser: Browser, several: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    text = several.read_text(encoding="utf-8")
    wide = '<p style="width: 500px; color: #ccc">pale and wide</p>'
    path = tmp_path / "index.html"
    path.write_text(text.replace("</main>", f"{wide}</main>"), encoding="utf-8")
    browser.open(path, PHONE)
    assert [rule for rule, _ in browser.violations()] == ["color-contrast"]
    assert browser.overflow > 0


def test_colors_follow_the_reader_and_the_button(browser: Browser, single: pathlib.Path) -> None:
    background = "return getComputedStyle(document.body).backgroundColor"
    browser.open(single)
    light = browser.run(background)
    browser.find(".theme").click()
    dark = browser.run(background)
    assert (light, browser.find(".theme").text) == ("rgb(255, 255, 255)", "Light colors")
    assert dark != light
    browser.open(single, scheme="dark")
    assert browser.run(background) == dark
    browser.find(".theme").click()
    assert browser.run(background) == light


def test_without_javascript_every_trial_can_be_read(browser: Browser, single: pathlib.Path) -> None:
    browser.open(single, script=False)
    assert "cannot" not in browser.find("noscript").text
    assert "learning curves of all trials are in" in browser.find("noscript").text
    assert not browser.find(".filters").is_displayed()
    assert not browser.find(".list").is_displayed()
    browser.find(".trials summary").click()
    rows = browser.all(".list tbody tr")
    assert len(rows) == 41 and rows[-1].is_displayed()
    assert browser.all(".list button") == []


def test_on_paper_nothing_is_cut(browser: Browser, single: pathlib.Path) -> None:
    browser.open(single, PAPER, scheme="dark", media="print")
    assert browser.overflow == 0
    cut = "return [...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > innerWidth)"
    assert browser.run(f"{cut}.map(e => e.getAttribute('aria-labelledby'))") == []
    assert not browser.find("nav").is_displayed()
    color = "return getComputedStyle(document.body).color"
    assert browser.run(color) == "rgb(27, 31, 36)"
    pdf = base64.b64decode(browser.driver.print_page())
    assert pdf.startswith(b"%PDF-") and pdf.count(b"/Type /Page\n") > 3
