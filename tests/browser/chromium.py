"""Chromium without a network, driven by Selenium, and what it was asked for."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

AXE = pathlib.Path(os.path.abspath(__file__)).parent / "node_modules/axe-core/axe.min.js"
DESKTOP, PHONE = (1280, 900), (360, 740)
READERS = [
    pytest.param("light", DESKTOP, id="light-desktop"),
    pytest.param("dark", PHONE, id="dark-phone"),
    pytest.param("dark", DESKTOP, id="dark-desktop", marks=pytest.mark.slow),
    pytest.param("light", PHONE, id="light-phone", marks=pytest.mark.slow),
]
"""Colors and sizes: no rule of the style sheets depends on both, so each of both comes first."""
PAPER = (688, 1016)
"""A4 without the margins of the page's style sheet (14 mm), at 96 pixels an inch."""


def start(profile: pathlib.Path) -> Browser:
    """Starts Chromium, if it and axe-core are there."""
    lacking = [name for name in ("chromium", "chromedriver") if not shutil.which(name)]
    lacking += [] if AXE.is_file() else ["axe-core"]
    if lacking:
        # Where the browser is what is tested, a test that did not run has not passed.
        stop = pytest.fail if os.environ.get("BROWSER_TEST") else pytest.skip
        stop(f"{', '.join(lacking)} not found: make browser-test")
    return Browser(profile)


class Browser:
    """Chromium with no way out, and what it was asked for."""

    def __init__(self, profile: pathlib.Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for argument in (
            "--headless",
            # Containers run tests as root, for whom there is no sandbox.
            "--no-sandbox",
            "--disable-gpu",
            # Paper has none.
            "--hide-scrollbars",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            f"--user-data-dir={profile}",
        ):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        # With the driver's path, Selenium looks for none to download.
        self.driver = webdriver.Chrome(
            options=options, service=Service(executable_path=shutil.which("chromedriver"))
        )

    def open(
        self,
        page: pathlib.Path | str,
        size: tuple[int, int] = DESKTOP,
        *,
        scheme: str = "light",
        media: str = "screen",
        script: bool = True,
    ) -> None:
        """Opens a file or an address as a reader with these settings does."""
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        for command, arguments in (
            ("Emulation.setDeviceMetricsOverride", metrics),
            ("Emulation.setEmulatedMedia", {"media": media, "features": features}),
            ("Emulation.setScriptExecutionDisabled", {"value": not script}),
        ):
            self.driver.execute_cdp_cmd(command, arguments)
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.driver.get(page if isinstance(page, str) else page.as_uri())

    def run(self, script: str, *arguments: Any) -> Any:
        """Runs JavaScript in the page."""
        return self.driver.execute_script(script, *arguments)

    def find(self, selector: str) -> Any:
        """The first element."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[Any]:
        """All elements."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """What all elements say."""
        script = "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)"
        return self.run(script, selector)

    @property
    def complaints(self) -> list[str]:
        """What the console says since the page was opened."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    @property
    def requests(self) -> list[str]:
        """Addresses asked for since the page was opened, but for images inside the page."""
        events = [
            json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")
        ]
        return [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
            and not event["params"]["request"]["url"].startswith("data:")
        ]

    @property
    def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        return self.run("const e = document.documentElement; return e.scrollWidth - e.clientWidth")

    def violations(self) -> list[tuple[str, str]]:
        """Asks axe for what stands in the way of readers, with the first element of each rule."""
        self.run(AXE.read_text(encoding="utf-8"))
        answer = self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            "axe.run({resultTypes: ['violations']}).then(done, (error) => done(String(error)))"
        )
        return [(found["id"], found["nodes"][0]["html"][:200]) for found in answer["violations"]]
