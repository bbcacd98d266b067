"""Chromium for the tests of pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """Chromium, see `tests.tuner.analysis.chromium`; without it the tests are skipped."""
    # Late: Selenium is for these tests alone.
    from tests.tuner.analysis import chromium

    browser = chromium.start(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.driver.quit()
