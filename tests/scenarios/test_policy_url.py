"""A server that asks an application who may do what: what its clients see."""

from collections.abc import Iterator

import pytest

from itemwire.settings import Settings
from itemwire.testing import LiveServer, Refusal
from tests.conftest import SECRET
from tests.policy_server import Answer, PolicyServer, Question, allow, policy_server
from tests.scenarios.clients import item_path, json_client, token
from tests.scenarios.conftest import Serve


@pytest.fixture(scope="module")
def running(serve: Serve) -> Iterator[tuple[LiveServer, PolicyServer]]:
    """Run a server, and the application it asks."""
    with policy_server() as application:
        application.answer = _answer
        settings = Settings(
            secret=SECRET, policy_url=application.url, policy_cache_seconds=0, _env_file=None
        )
        with serve(settings) as server:
            yield server, application


def _answer(question: Question) -> Answer:
    """Let alice do everything with one item; be out of order for another."""
    if question["item"] == "down":
        return 503, b"", {}
    if (question["subject"], question["item"]) == ("alice", "7"):
        return allow(*question["actions"])
    return allow()


Running = tuple[LiveServer, PolicyServer]


def test_the_application_decides_and_not_the_token(running: Running) -> None:
    """A token without rights is enough where the application says yes, and no token where not."""
    server, application = running
    with json_client(server, "7", "alice", scope="") as alice:
        assert alice.welcome["can"] == ["subscribe", "publish", "history", "presence"]
        assert alice.ask("publish", data="hello")["type"] == "reply"

    assert application.questions[-1]["claims"]["sub"] == "alice"
    for subject, item in (("alice", "8"), ("bob", "7")):
        path = item_path(item, {"token": token(subject)})
        assert server.refusal(path) == Refusal(101, 1008, "forbidden")


def test_an_application_that_is_down_lets_nobody_in_and_asks_to_come_back(
    running: Running,
) -> None:
    """Its clients must not give up because of a deployment: 1013 is `later`."""
    server, _ = running
    path = item_path("down", {"token": token()})

    assert server.refusal(path) == Refusal(101, 1013, "overloaded")


def test_a_stranger_makes_nobody_ask(running: Running) -> None:
    """The application's endpoint is no amplifier: only verified callers are asked about."""
    server, application = running
    asked = len(application.questions)

    server.refusal(item_path("7", {"token": "garbage"}))
    server.refusal(item_path("7/8", {"token": token()}))

    assert len(application.questions) == asked
