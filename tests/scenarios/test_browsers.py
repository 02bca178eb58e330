"""The finder of the browser tests' Chromium: a machine without one must not look broken."""

from pathlib import Path

import pytest

from tests.scenarios.browsers import MISSING, do_without, find_browser

FULL = "chromium-1255/chrome-linux64/chrome"
SHELL = "chromium_headless_shell-1255/chrome-headless-shell-linux64/chrome-headless-shell"


def program(path: Path) -> str:
    """Put something there that could be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o755)
    return str(path)


@pytest.mark.parametrize(
    "name", ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"]
)
def test_finds_one_on_the_path_by_any_of_its_names(tmp_path: Path, name: str) -> None:
    """Each distribution, and Google, calls it differently."""
    installed = program(tmp_path / "bin" / name)
    path = f"{tmp_path / 'empty'}:{tmp_path / 'bin'}"

    assert find_browser("", path, tmp_path / "no-cache") == installed


@pytest.mark.parametrize("relative", [FULL, SHELL])
def test_finds_the_one_that_playwright_has_downloaded(tmp_path: Path, relative: str) -> None:
    """Whether it was downloaded whole or as the shell that has no window."""
    downloaded = program(tmp_path / "ms-playwright" / relative)

    assert find_browser("", str(tmp_path), tmp_path / "ms-playwright") == downloaded


def test_prefers_the_path_to_the_cache_and_the_name_to_both(tmp_path: Path) -> None:
    """Anyone who names a browser wants that one and no other, even if its name is misspelt."""
    cache = tmp_path / "ms-playwright"
    program(cache / FULL)
    installed = program(tmp_path / "chromium")

    assert find_browser("", str(tmp_path), cache) == installed
    assert find_browser("/no/such/browser", str(tmp_path), cache) == "/no/such/browser"


def test_finds_nothing_where_there_is_none(tmp_path: Path) -> None:
    """A file that cannot be run is no browser."""
    (tmp_path / "chromium").touch(mode=0o644)

    assert find_browser("", str(tmp_path), tmp_path) is None


@pytest.mark.parametrize("value", [None, "", "0", "false"])
def test_without_one_a_newcomers_tests_are_skipped(value: str | None) -> None:
    """With the line that says how to get one."""
    with pytest.raises(pytest.skip.Exception, match="playwright install chromium") as skipped:
        do_without({} if value is None else {"CI": value})

    assert str(skipped.value) == MISSING
    assert "\n" not in MISSING


@pytest.mark.parametrize("value", ["true", "1"])
def test_without_one_the_tests_of_ci_fail(value: str) -> None:
    """Nobody reads what a green run has left out."""
    with pytest.raises(pytest.fail.Exception, match="ITEMWIRE_TEST_BROWSER"):
        do_without({"CI": value})
