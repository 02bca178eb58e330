"""Whatever an override raises or returns, whoever asks is answered (requirement 132)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from itemwire.main import create_app
from itemwire.settings import Settings
from itemwire.testing import LiveServer
from itemwire_auth import Action, CurrentPrincipal, Grant, Principal, authorize_item
from tests.conftest import SECRET
from tests.scenarios.clients import (
    JSON,
    PATIENCE,
    item_path,
    json_client,
    many_client,
    token,
)
from tests.scenarios.conftest import Serve


class Own(BaseException):
    """An exception that is no Exception, as libraries define them for control flow."""


def _raising(error: BaseException) -> Callable[[Principal], Grant]:
    def rule(_: Principal) -> Grant:
        raise error

    return rule


def _cancels(_: Principal) -> Grant:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    raise asyncio.CancelledError


def _as(value: object) -> Any:  # noqa: ANN401 - a wrong type is what is tried
    return value


# What an override does in place of returning a sound grant.
FAULTS: dict[str, Callable[[Principal], object]] = {
    "exception": _raising(ValueError("secret detail")),
    "timeout": _raising(TimeoutError()),
    "cancelled": _raising(asyncio.CancelledError()),
    "generator-exit": _raising(GeneratorExit()),
    "own": _raising(Own("secret detail")),
    "group": _raising(BaseExceptionGroup("secret", [Own()])),
    "stop": _raising(StopIteration()),
    "none": lambda _: None,
    "text": lambda _: "yes",
    "mapping": lambda _: {"can": ["subscribe"]},
    "like-a-grant": lambda who: SimpleNamespace(principal=who, item_id="42", can=["publish"]),
    "action-unknown": lambda who: Grant(who, "42", _as({"fly"})),
    "actions-in-a-text": lambda who: Grant(who, "42", _as("subscribe publish history presence")),
    "actions-none": lambda who: Grant(who, "42", _as(None)),
    "principal-none": lambda _: Grant(_as(None), "42", frozenset(Action)),
    "item-a-number": lambda who: Grant(who, _as(42), frozenset(Action)),
}

# Ways to write a grant that are understood, though its type says otherwise.
SOUND: dict[str, Callable[[Principal], object]] = {
    "actions": lambda who: Grant(who, "42", frozenset(Action)),
    "names": lambda who: Grant(who, "42", _as(frozenset(map(str, Action)))),
    "list-of-names": lambda who: Grant(who, "42", _as([str(action) for action in Action])),
    "set": lambda who: Grant(who, "42", _as(set(Action))),
}


class Switched:
    """A server whose override does what it is told to."""

    def __init__(self, server: LiveServer, rule: list[Callable[[Principal], object]]) -> None:
        self.server = server
        self._rule = rule

    def does(self, rule: Callable[[Principal], object]) -> None:
        """Have the override do this from now on."""
        self._rule[0] = rule

    def post(self, path: str, body: object) -> httpx.Response:
        """Send a request with a good token."""
        headers = {"Authorization": f"Bearer {token()}"}
        url = self.server.url + path
        return httpx.post(url, headers=headers, json=body, timeout=PATIENCE)


@pytest.fixture(scope="module")
def switched(serve: Serve) -> Iterator[Switched]:
    """Run an application whose override is switched by the tests."""
    settings = Settings(secret=SECRET, _env_file=None)
    app = create_app(settings)
    rule = [SOUND["actions"]]

    async def switched(principal: CurrentPrincipal) -> object:
        return rule[0](principal)

    app.dependency_overrides[authorize_item] = switched
    with serve(settings, app) as server:
        yield Switched(server, rule)


def _handshake(switched: Switched, rule: Callable[[Principal], object]) -> object:
    switched.does(rule)
    path = item_path("42", {"token": token()})
    if rule not in SOUND.values():
        return switched.server.refusal(path, subprotocols=(JSON,)).reason
    with switched.server.connect(path, subprotocols=(JSON,)) as socket:
        return json.loads(socket.recv(timeout=PATIENCE))["type"]


def _join(switched: Switched, rule: Callable[[Principal], object]) -> object:
    switched.does(rule)
    with many_client(switched.server) as many:
        answer = many.ask("join", item="42", ref=1)
        assert many.ask("refresh", token=token(), ref=2)["ref"] == 2
        return answer.get("code", answer["type"])


def _refresh(switched: Switched, rule: Callable[[Principal], object]) -> object:
    switched.does(SOUND["actions"])
    with json_client(switched.server, "42") as one:
        switched.does(rule)
        answer = one.ask("refresh", token=token(), ref=1)
        assert one.ask("ping")["type"] == "pong"
        return answer.get("code", answer["type"])


def _refresh_of_many(switched: Switched, rule: Callable[[Principal], object]) -> object:
    switched.does(SOUND["actions"])
    with many_client(switched.server) as many:
        many.ask("join", item="42")
        switched.does(rule)
        answer = many.ask("refresh", token=token(), ref=1)
        assert many.ask("ping")["type"] == "pong"
        return answer.get("code", answer["type"])


def _publish(switched: Switched, rule: Callable[[Principal], object]) -> object:
    switched.does(rule)
    return switched.post("/items/42/messages", "x").status_code


def _batch(switched: Switched, rule: Callable[[Principal], object]) -> object:
    switched.does(rule)
    body = {"messages": [{"item": "42", "data": 1}]}
    response = switched.post("/messages", body)
    (result,) = response.json()["results"]
    return response.status_code, result.get("code", "stored")


def _stream(switched: Switched, rule: Callable[[Principal], object]) -> object:
    switched.does(rule)
    headers = {"Authorization": f"Bearer {token()}"}
    url = switched.server.url + "/items/42/events"
    with httpx.stream("GET", url, headers=headers, timeout=PATIENCE) as response:
        return response.status_code


# Who asks, how it is told of a fault, and how of none.
ASKERS: dict[str, tuple[Callable[..., object], object, object]] = {
    "handshake": (_handshake, "internal", "welcome"),
    "join": (_join, "internal", "welcome"),
    "refresh": (_refresh, "internal", "reply"),
    "refresh-of-many": (_refresh_of_many, "internal", "reply"),
    "publish": (_publish, 500, 201),
    "batch": (_batch, (200, "internal"), (200, "stored")),
    "events": (_stream, 500, 200),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("asker", ASKERS)
def test_a_fault_of_an_override_is_answered(switched: Switched, asker: str, fault: str) -> None:
    """As `internal`, and whoever asks next is served."""
    ask, told, served = ASKERS[asker]

    assert ask(switched, FAULTS[fault]) == told
    assert ask(switched, SOUND["actions"]) == served


@pytest.mark.parametrize("sound", SOUND)
@pytest.mark.parametrize("asker", ASKERS)
def test_actions_may_be_given_by_their_names(switched: Switched, asker: str, sound: str) -> None:
    """In any collection: what the type checker would have said need not fail at night."""
    ask, _, served = ASKERS[asker]

    assert ask(switched, SOUND[sound]) == served


@pytest.mark.parametrize("asker", ["join", "refresh", "refresh-of-many"])
def test_an_override_that_cancels_its_own_task_is_answered(switched: Switched, asker: str) -> None:
    """It ends the question, and not the answer."""
    ask, told, served = ASKERS[asker]

    assert ask(switched, _cancels) == told
    assert ask(switched, SOUND["actions"]) == served
