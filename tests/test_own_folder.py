"""Each test runs in a folder of its own, whether or not it asks for one."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("run", ["first", "second"])
def test_a_test_runs_in_an_empty_folder_of_its_own(run: str) -> None:
    """A `.env` of the checkout, or of the test before, would be read by every `Settings`."""
    here = Path.cwd()

    assert not here.is_relative_to(ROOT)
    assert list(here.iterdir()) == []
    (here / ".env").write_text(f"ITEMWIRE_SECRET={run}")


def test_a_test_that_asks_for_tmp_path_runs_there(tmp_path: Path) -> None:
    """What it writes by a relative path is where it looks for it."""
    assert Path.cwd() == tmp_path
