"""Whether the docs can be renewed is said before half an hour of measuring."""

from __future__ import annotations

import sys
from types import ModuleType

import click
import pytest
from click.testing import CliRunner

from benchmarks import compare, engines, growth
from benchmarks.writing import check_docs_can_be_renewed

COMMANDS = {"compare": compare.main, "engines": engines.main, "growth": growth.main}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_run_without_what_draws_does_not_begin(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what to install; the figures would be lost at the end."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = CliRunner().invoke(COMMANDS[command], ["--write-docs"])

    assert result.exit_code == 2
    assert "pip install -e '.[benchmarks]'" in result.output


def test_with_what_draws_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the run is a quick one."""
    there = ModuleType("matplotlib")
    there.__spec__ = sys.__spec__
    monkeypatch.setitem(sys.modules, "matplotlib", there)

    check_docs_can_be_renewed(is_quick=False)
    with pytest.raises(click.UsageError, match="quick"):
        check_docs_can_be_renewed(is_quick=True)
