"""docs/operations.md against the tables of the code: nothing is missing, nothing is made up."""

from __future__ import annotations

import re
from typing import Final

from itemwire import readiness, runbook
from itemwire.cli.configuration import EXIT_CONFIGURATION
from itemwire.serving.server import STARTUP_FAILURE, UNFIT
from tests.docs.pages import ROOT

PAGE: Final = (ROOT / "docs" / "operations.md").read_text()
METRICS: Final = (ROOT / "docs" / "metrics.md").read_text()
EVENT_ROW: Final = re.compile(r"^\| ((?:`\w+`(?:, )?)+) \| ([\w, ]+) \| .+ \|$", re.MULTILINE)
ADVICE_ROW: Final = re.compile(r"^\| ((?:`\w+`(?:, )?)+) \| ([^|]+) \|$", re.MULTILINE)


def test_every_state_of_readiness_is_explained() -> None:
    """The body of `/health/ready` is all that somebody has who is woken by it."""
    states = {(state.status, state.reason) for state in readiness.STATES}

    assert runbook.STATES.keys() == states
    for (status, reason), advice in runbook.STATES.items():
        shown = f"`{reason}`" if reason else ""
        assert f"| `{status}` | {shown} | {advice.means} | {advice.remedy} |" in PAGE


def test_every_exit_status_is_explained() -> None:
    """A supervisor's log has the number and nothing else."""
    statuses = {0, 1, 2, STARTUP_FAILURE, UNFIT, EXIT_CONFIGURATION}

    assert {int(one) for one in runbook.EXIT_STATUSES if one.isdecimal()} == statuses
    for status, advice in runbook.EXIT_STATUSES.items():
        assert f"| {status} | {advice.means} | {advice.remedy} |" in PAGE


def test_every_warning_and_error_says_what_to_do() -> None:
    """`tests/docs/test_metrics.py` compares the events themselves with the code."""
    urgent = {
        name.strip("`")
        for names, levels in EVENT_ROW.findall(METRICS)
        for name in names.split(", ")
        if {"warning", "error"} & set(levels.split(", "))
    }
    shown = {
        (name.strip("`"), remedy)
        for names, remedy in ADVICE_ROW.findall(PAGE)
        for name in names.split(", ")
    }

    assert urgent - {"engine_connected"} == runbook.EVENTS.keys()  # a row with `engine_lost`
    assert shown >= set(runbook.EVENTS.items())
