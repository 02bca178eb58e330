"""The Chromium of the browser tests: where it is looked for, and what happens without one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.continuous_integration import is_continuous_integration

VARIABLE: Final = "ITEMWIRE_TEST_BROWSER"
NAMED: Final = os.environ.get(VARIABLE, "")  # now: the tests take ITEMWIRE_… out of the environment
NAMES: Final = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
)
DOWNLOADED: Final = ("chromium-*/*/chrome", "chromium_headless_shell-*/*/*headless*shell")
"""What `playwright install chromium`, with or without `--only-shell`, leaves in its cache."""

MISSING: Final = (
    "the browser tests need Chromium: `.venv/bin/playwright install chromium` gets one, "
    f"or name yours in {VARIABLE}"
)


def find_browser(named: str, path: str, cache: Path) -> str | None:
    """Return the browser that was named, the first one on the PATH, or Playwright's own.

    A browser that was named is returned even where there is none: passing over it in silence
    would test another one.
    """
    if named:
        return named
    on_path = (shutil.which(name, path=path) for name in NAMES)
    downloaded = (str(found) for pattern in DOWNLOADED for found in sorted(cache.glob(pattern)))
    return next((found for found in (*on_path, *downloaded) if found), None)


def do_without(environment: Mapping[str, str]) -> None:
    """Skip the test that needs a browser; in CI, fail it."""
    if is_continuous_integration(environment):
        pytest.fail(MISSING, pytrace=False)
    pytest.skip(MISSING)


@contextmanager
def running_browser(*, without: Sequence[str] = ()) -> Iterator[Browser]:
    """Run Chromium without a window; where there is none, skip or fail the test that asks.

    `without` names what Playwright would switch on or off, and should leave as people have it.
    """
    with sync_playwright() as playwright:
        cache = Path(playwright.chromium.executable_path).parents[2]
        found = find_browser(NAMED, os.environ.get("PATH", ""), cache)
        if found is None:
            do_without(os.environ)
        browser = playwright.chromium.launch(
            executable_path=found,
            args=["--no-sandbox", "--disable-background-networking"],
            ignore_default_args=list(without),
        )
        yield browser
        browser.close()
