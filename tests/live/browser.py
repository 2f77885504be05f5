"""Chromium without a screen, driven by chromedriver, and what it says of the pages that it loaded."""

from __future__ import annotations

from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions, ChromeService

from tests.live.programs import require


def start_browser(profile: Path) -> Chrome:
    """A browser with a profile of its own; whoever starts it calls quit()."""
    options = ChromeOptions()
    options.binary_location = require("chromium", "chromium")
    quiet = ("--disable-background-networking", "--disable-component-update", "--no-first-run", "--disable-sync")
    # A test runs as root and in containers without user namespaces, where Chromium's own sandbox cannot be set up.
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", *quiet):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={profile}")
    options.add_argument("--window-size=1440,900")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return Chrome(options=options, service=ChromeService(require("chromedriver", "chromium-driver")))


def complaints(browser: Chrome) -> list[str]:
    """What the page's console holds of errors and breaches of its policy."""
    entries: list[dict[str, str]] = browser.get_log("browser")  # type: ignore[no-untyped-call]
    return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]
