"""docs/engines.md says of every answer whether it speaks for all nodes or for one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from itemwire.channels.sessions.commands import COMMANDS_OF_MANY
from itemwire.main import create_app
from itemwire.settings import Settings
from tests.conftest import SECRET

PAGE: Final = Path(__file__).parents[2] / "docs" / "engines.md"

SPEAKS_FOR: Final = {
    "all nodes": {
        "GET /items/{item_id}/members",
        "members",
        "POST /items/{item_id}/messages",
        "POST /messages",
        "publish",
        "GET /items/{item_id}/messages",
        "history",
        "GET /items/{item_id}/events",
        "join",
        "POST /auth/tickets",
        "POST /admin/revocations",
        "DELETE /admin/connections/{connection_id}",
        "DELETE /admin/subjects/{subject}/connections",
        "POST /admin/explain",
        "GET /admin/connections",
        "GET /admin/channels",
        "GET /admin/channels/{item}",
        "DELETE /admin/channels/{item}/history",
        "POST /admin/channels/{item}/messages",
        "GET /admin/nodes",
        "GET /admin/stats",
    },
    "the node that answers": {
        "GET /auth/seen",
        "POST /admin/drain",
        "request",
        "GET /health/live",
        "GET /health/ready",
    },
    "all workers": {"GET /metrics"},
    "the caller": {
        "POST /auth/session",
        "DELETE /auth/session",
        "leave",
        "refresh",
        "ping",
    },
}
"""Whom each answer speaks for; the scenarios show it of members and of what operators ask."""


def test_there_is_a_row_for_everything_that_can_be_asked() -> None:
    """A new route or request has to say whether it answers for its own node alone."""
    settings = Settings(
        secret=SECRET,
        admin=True,
        metrics_token="a-token-for-the-metrics-of-40-characters",
        _env_file=None,
    )
    paths = create_app(settings).openapi()["paths"]
    operations = {
        f"{method.upper()} {re.sub(':[a-z_]+}', '}', path)}"
        for path, methods in paths.items()
        for method in methods
    }

    assert set().union(*SPEAKS_FOR.values()) == operations | set(COMMANDS_OF_MANY)


@pytest.mark.parametrize("whom", SPEAKS_FOR)
def test_the_page_says_whom_each_answer_speaks_for(whom: str) -> None:
    """The table of the page and the one here are the same."""
    section = PAGE.read_text().partition("### What one node answers for all")[2].partition("#")[0]
    rows = re.findall(r"^\| (`.+`) \| (.+) \|$", section, re.MULTILINE)
    named = {
        name
        for names, scope in rows
        if scope.startswith(whom)
        for name in re.findall(r"`([^`]+)`", names)
    }

    assert named == SPEAKS_FOR[whom]
