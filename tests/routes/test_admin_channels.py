"""The admin API: channels, nodes and figures, and what is refused of a request for them."""

from __future__ import annotations

import logging
import os
from typing import Any

import pytest
from fastapi import FastAPI

from itemwire.channels.node import Node
from itemwire.engines.base import Answer, EngineError
from itemwire.main import create_app
from itemwire.ops import channel_rates
from itemwire.settings import Settings
from tests.conftest import SECRET
from tests.fakes import principal
from tests.routes.administrator import bearer, call, connect

LONG = "a" * 129


@pytest.fixture(autouse=True)
def _ask_without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_rates, "LEAST_SECONDS", 0.0)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?pattern=*",
        "?pattern=a:*:b",
        "?pattern=a*",
        "?order=rate&limit=1",
        "?limit=100&after=3:a:b",
        "?after=0.5:$",
        f"?pattern={LONG[1:]}",
    ],
)
def test_takes_what_can_be_asked_of_channels(query: str, app: FastAPI) -> None:
    """The accepted twins of what is refused below."""
    answer = call(app, "GET", f"/admin/channels{query}")

    assert answer.status_code == 200
    assert (answer.json()["channels"], answer.json()["next"]) == ([], None)


@pytest.mark.parametrize(
    "query",
    [
        "?pattern=",
        "?pattern=a/b",
        "?pattern=a%0Ab",
        "?pattern=a%00",
        "?pattern=(",
        "?pattern=$operations",
        f"?pattern={LONG}",
        "?pattern=" + "*:" * 65,
        "?order=name",
        "?order=",
        "?limit=0",
        "?limit=101",
        "?limit=-1",
        "?limit=x",
        "?after=",
        "?after=x",
        "?after=-1:a",
        "?after=nan:a",
        "?after=1e9:a",
        "?after=1:",
        f"?after=1:{LONG * 2}",
    ],
)
def test_refuses_what_cannot(query: str, app: FastAPI) -> None:
    """By its form, before any node is asked; never as a fault of the server."""
    answer = call(app, "GET", f"/admin/channels{query}")

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "query",
    [
        "?subject=",
        "?subject=" + "a" * 257,
        "?limit=0",
        "?limit=1001",
        "?after=" + "a" * 65,
    ],
)
def test_refuses_what_cannot_be_asked_of_connections(query: str, app: FastAPI) -> None:
    """As of channels; whatever a subject is called is no fault."""
    assert call(app, "GET", f"/admin/connections{query}").status_code == 422
    assert call(app, "GET", "/admin/connections?subject=a%0A%00/$&limit=1&after=z").is_success


@pytest.mark.parametrize(
    ("method", "end"), [("GET", ""), ("DELETE", "/history"), ("POST", "/messages")]
)
@pytest.mark.parametrize(
    "item", ["$operations", "%24watch", "a%2Fb", "a%0A", "%00", "%2E", LONG, ""]
)
def test_refuses_what_names_no_item(item: str, method: str, end: str, app: FastAPI) -> None:
    """On every route that names one."""
    body: object = {} if method == "POST" else None
    answer = call(app, method, f"/admin/channels/{item}{end}", body=body)
    twin = call(app, method, f"/admin/channels/a:b.~_-{end}", body=body)

    assert answer.status_code in {404, 405, 422}
    assert item == "" or answer.status_code == 422
    assert twin.is_success


def test_empties_a_history_and_says_who_did(app: FastAPI, caplog: pytest.LogCaptureFixture) -> None:
    """The messages are gone, the position stays, and the log has the operator's name."""
    with caplog.at_level(logging.INFO):
        answers = [
            call(app, "POST", "/admin/channels/42/messages", body={"a": 1}),
            call(app, "GET", "/admin/channels/42"),
            call(app, "DELETE", "/admin/channels/42/history"),
            call(app, "GET", "/admin/channels/42"),
        ]
    published, before, erased, after = answers

    assert (published.status_code, erased.status_code, erased.content) == (201, 204, b"")
    assert published.json()["offset"] == 1
    assert before.json()["history"]["length"] == 1
    assert after.json()["history"] == {"length": 0, "bytes": 0, "oldest": None}
    assert after.json()["offset"] == before.json()["offset"] == 1
    assert after.json()["epoch"] == before.json()["epoch"]
    for action in ("publish", "erase_history"):
        (line,) = [one for one in caplog.messages if f"action={action}" in one]
        assert "item='42'" in line
        assert "by='root'" in line


def test_an_engine_that_fails_is_no_success(
    app: FastAPI, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is logged all the same: the operator meant it, and it may have been done."""

    def fail(_channel: str, answer: Answer[None]) -> None:
        answer(EngineError("away"))

    monkeypatch.setattr(node._engine, "erase", fail)
    answer = call(app, "DELETE", "/admin/channels/42/history")

    assert (answer.status_code, answer.json()["detail"]) == (503, "overloaded")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "channels"),
        ("GET", "channels/42"),
        ("DELETE", "channels/42/history"),
        ("POST", "channels/42/messages"),
        ("GET", "connections"),
        ("GET", "nodes"),
        ("GET", "stats"),
    ],
)
def test_an_operator_has_a_rate(method: str, path: str) -> None:
    """Each of them has all nodes, or the engine, do something."""
    settings = Settings(
        secret=SECRET,
        admin=True,
        request_rate=1,
        history_rate=1,
        publish_rate=1,
        subject_rate_factor=1,
        _env_file=None,
    )
    app = create_app(settings)
    body: object = {} if method == "POST" else None
    seen = [call(app, method, f"/admin/{path}", body=body) for _ in range(5)]
    other = call(app, method, f"/admin/{path}", bearer(subject="other"), body=body)

    assert seen[0].is_success
    assert seen[-1].json()["code"] == "rate_limited"
    assert int(seen[-1].headers["retry-after"]) >= 1
    assert other.is_success


def test_lists_this_node(app: FastAPI, node: Node) -> None:
    """With what tells it from the others."""
    connect(node, principal())
    page = call(app, "GET", "/admin/nodes").json()

    (one,) = page["nodes"]
    assert page["missing"] == []
    assert (one["node"], one["pid"]) == (node.overview.node_id, os.getpid())
    assert (one["connections"], one["channels"], one["engine"]) == (1, 0, "memory")
    assert (one["status"], one["reason"]) == ("ready", None)
    assert one["version"]


def test_gives_the_figures_of_this_node(app: FastAPI, node: Node) -> None:
    """Of nothing yet, in the first second."""
    stats = call(app, "GET", "/admin/stats").json()

    assert [one["node"] for one in stats["nodes"]] == [node.overview.node_id]
    assert stats["missing"] == []
    assert stats["sum"]["connections"] == 0


@pytest.mark.parametrize(
    ("path", "schema"),
    [
        ("/admin/channels", "ChannelPage"),
        ("/admin/channels/{item}", "ChannelLook"),
        ("/admin/connections", "ConnectedPage"),
        ("/admin/nodes", "NodeFactsPage"),
        ("/admin/stats", "Stats"),
    ],
)
def test_openapi_describes_and_shows_every_answer(path: str, schema: str, app: FastAPI) -> None:
    """Each example has the fields of its schema, all the way down."""
    api = app.openapi()
    content = api["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
    schemas = api["components"]["schemas"]

    def check(value: Any, described: dict[str, Any]) -> None:  # noqa: ANN401 - JSON
        name = described.get("$ref", "").rpartition("/")[2]
        if isinstance(value, list):
            for one in value:
                check(one, described.get("items", {}))
        elif name:
            properties = schemas[name]["properties"]
            assert set(value) == set(properties), name
            for key, one in value.items():
                check(one, properties[key])

    assert content["schema"]["$ref"].endswith(f"/{schema}")
    check(content["example"], content["schema"])
