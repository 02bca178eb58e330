"""Whatever an override raises or returns, whoever asks is answered (requirement 132)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from itemwire.authorization import deadline
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


@contextmanager
def _switched(serve: Serve) -> Generator[Switched]:
    """Run an application whose override is switched by the tests."""
    settings = Settings(secret=SECRET, _env_file=None)
    app = create_app(settings)
    rule = [SOUND["actions"]]

    async def switched(principal: CurrentPrincipal) -> object:
        answer = rule[0](principal)
        return await answer if isinstance(answer, Awaitable) else answer

    app.dependency_overrides[authorize_item] = switched
    with serve(settings, app) as server:
        yield Switched(server, rule)


@pytest.fixture(scope="module")
def switched(serve: Serve) -> Iterator[Switched]:
    """Share one server between the tests that need no deadline of their own."""
    with _switched(serve) as running:
        yield running


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


class Stubborn:
    """A rule that swallows its cancellation, and goes on until the test is over."""

    def __init__(self) -> None:
        self.is_over = False

    async def __call__(self, _: Principal) -> None:
        """Decide nothing."""
        while not self.is_over:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)


@pytest.fixture
def hasty(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Iterator[Switched]:
    """Run a server of its own, on which dependencies have little time."""
    monkeypatch.setattr(deadline, "DECISION_SECONDS", 0.5)
    monkeypatch.setattr(deadline, "LAST_SECONDS", 0.1)
    with _switched(serve) as running:
        yield running


def test_an_override_that_swallows_its_cancellation_is_answered(hasty: Switched) -> None:
    """As `overloaded`, at every door: nobody waits for its end."""
    stubborn = Stubborn()
    doors = ("handshake", "join", "refresh", "refresh-of-many", "batch")
    told = {door: ASKERS[door][0](hasty, stubborn) for door in doors}
    stubborn.is_over = True

    assert told == dict.fromkeys(doors, "overloaded") | {"batch": (200, "overloaded")}
    assert _join(hasty, SOUND["actions"]) == "welcome"


def test_joins_that_wait_for_others_are_answered_within_one_deadline(
    hasty: Switched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty items whose rules hang: their time runs from when they were asked for, not in turn."""
    monkeypatch.setattr(deadline, "DECISION_SECONDS", 2.0)
    stubborn = Stubborn()
    hasty.does(stubborn)
    with many_client(hasty.server) as many:
        began = time.monotonic()
        for number in range(20):
            many.send("join", item=str(number), ref=number)
        answers = [many.read() for _ in range(20)]
        taken = time.monotonic() - began
        stubborn.is_over = True

    assert {one["code"] for one in answers} == {"overloaded"}
    assert sorted(one["ref"] for one in answers) == list(range(20))
    assert 2 <= taken < 6  # that would be three deadlines, one for each eight
