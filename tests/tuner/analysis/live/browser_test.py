"""The page of a running study in a real browser: `make browser-test`."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest
from selenium.webdriver.support.ui import WebDriverWait

from tests.browser.chromium import READERS, Browser
from tests.tuner.analysis.live.studies_underway import go_on, interrupt, make
from tuner.analysis.live.server import LiveServer
from tuner.analysis.report import report
from tuner.analysis.trials import records


@pytest.fixture(scope="module")
def whole(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return make(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def half(whole: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    return interrupt(whole, tmp_path)


@pytest.fixture
def server(half: pathlib.Path) -> Iterator[LiveServer]:
    def write() -> pathlib.Path:
        return report.write([records.load(half)], half / "report")

    with LiveServer([half], write, half / "report") as server:
        server.start()
        yield server
        server.shutdown()


def wait(browser: Browser, selector: str, text: str) -> None:
    WebDriverWait(browser.driver, 60).until(lambda _: text in " ".join(browser.texts(selector)))


def test_trials_appear_as_they_end(
    browser: Browser, server: LiveServer, whole: pathlib.Path, half: pathlib.Path
) -> None:
    browser.open(server.url)
    wait(browser, "#state", "4 of 6 trials have ended.")
    assert browser.texts("#recent li") == ["None since the page was started."]
    rows = browser.texts("tbody tr")
    assert len(rows) == 2 and "3 of 3" in rows[0] and "1 of 3" in rows[1]
    ledger = go_on(whole, half, 2)
    wait(browser, "#state", "5 of 6 trials have ended, about")
    (line,) = browser.texts("#recent li")
    assert line.startswith(f"NP {ledger[1]['trial']} (units ")
    assert f"validation {ledger[1]['validation']:.3f}" in line
    go_on(whole, half, 3)
    wait(browser, "#state", "All 6 trials have ended.")
    assert len(browser.texts("#recent li")) == 2
    # Nothing was loaded again for that.
    assert len([url for url in browser.requests if url == server.url]) == 1
    assert browser.complaints == []


def test_the_report_is_the_one_of_the_end(
    browser: Browser, server: LiveServer, half: pathlib.Path
) -> None:
    browser.open(server.url)
    wait(browser, "#state", "4 of 6")
    browser.find("#update").click()
    browser.driver.switch_to.frame(browser.find("#report"))
    wait(browser, "h1", "LSTM variants on tiny")
    shown = browser.run("return document.documentElement.querySelectorAll('section').length")
    browser.driver.switch_to.default_content()
    browser.open(half / "report" / "index.html")
    assert browser.run("return document.querySelectorAll('section').length") == shown > 3


@pytest.mark.parametrize(("scheme", "size"), READERS)
def test_nothing_stands_in_the_way(
    browser: Browser, server: LiveServer, scheme: str, size: tuple[int, int]
) -> None:
    browser.open(server.url, size, scheme=scheme)
    wait(browser, "#state", "4 of 6")
    assert browser.violations() == []
    assert browser.overflow == 0
