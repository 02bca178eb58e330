"""Clients that are refused often: what they see, and what others see of them."""

import json
import time
from collections.abc import Iterator

import pytest

from itemwire.settings import Settings
from itemwire.testing import LiveServer, Refusal
from itemwire_auth.throttle import SHORTEST_WAIT
from tests.conftest import SECRET
from tests.scenarios.clients import JSON, PATIENCE, item_path, json_client, token
from tests.scenarios.conftest import Serve

INVALID = Refusal(101, 1008, "credentials_invalid")
LIMITED = Refusal(101, 1008, "rate_limited")


@pytest.fixture(scope="module")
def strict(serve: Serve) -> Iterator[LiveServer]:
    """Run a server that answers late after the fifth refusal of an address, and not after six."""
    settings = Settings(secret=SECRET, slow_after_refusals=5, stop_after_refusals=6, _env_file=None)
    with serve(settings) as running:
        yield running


def came_from(address: str) -> dict[str, str]:
    """Say where a client is, as a proxy on this machine does."""
    return {"X-Forwarded-For": address}


def test_who_guesses_is_slowed_down_then_stopped(strict: LiveServer) -> None:
    """With a reason that says `later`, whatever it presents; other addresses come in."""
    bad = item_path("7", {"token": "garbage"})
    good = item_path("7", {"token": token()})
    guesser, other = came_from("192.0.2.7"), came_from("192.0.2.8")

    assert [strict.refusal(bad, headers=guesser) for _ in range(4)] == [INVALID] * 4
    with strict.connect(good, headers=guesser, subprotocols=(JSON,)) as connection:
        assert json.loads(connection.recv(timeout=PATIENCE))["type"] == "welcome"
    began = time.monotonic()
    late = [strict.refusal(bad, headers=guesser) for _ in range(2)]
    took = time.monotonic() - began

    assert late == [INVALID] * 2
    assert took >= 2 * SHORTEST_WAIT
    assert strict.refusal(bad, headers=guesser) == LIMITED
    assert strict.refusal(good, headers=guesser) == LIMITED
    with strict.connect(good, headers=other, subprotocols=(JSON,)) as connection:
        assert json.loads(connection.recv(timeout=PATIENCE))["type"] == "welcome"


def test_a_stranger_cannot_choose_its_address(strict: LiveServer) -> None:
    """Only the hop next to a trusted proxy counts (requirement 11)."""
    bad = item_path("7", {"token": "garbage"})
    seen = [
        strict.refusal(bad, headers=came_from(f"203.0.113.{number}, 192.0.2.9"))
        for number in range(7)
    ]

    assert seen == [INVALID] * 6 + [LIMITED]


def test_names_that_are_no_addresses_are_one_stranger(strict: LiveServer) -> None:
    """A proxy that passes on what a client wrote gives it no new name for each guess."""
    bad = item_path("8", {"token": "garbage"})
    seen = [strict.refusal(bad, headers=came_from(f"made-up-{number}")) for number in range(7)]

    assert seen == [INVALID] * 6 + [LIMITED]
    assert strict.refusal(bad, headers=came_from("198.51.100.77")) == INVALID


def test_nobody_but_a_trusted_proxy_tells_an_address(serve: Serve) -> None:
    """Each refusal would be another stranger's (requirement 11); here nobody is exempt."""
    settings = Settings(
        secret=SECRET,
        slow_after_refusals=0,
        stop_after_refusals=3,
        throttle_exempt=(),
        trusted_proxies=("192.0.2.1",),
        _env_file=None,
    )
    bad = item_path("7", {"token": "garbage"})
    with serve(settings) as server:
        seen = [
            server.refusal(bad, headers=came_from(f"203.0.113.{number}")) for number in range(4)
        ]

    assert seen == [INVALID] * 3 + [LIMITED]


def test_this_machine_is_not_counted(strict: LiveServer) -> None:
    """A proxy that tells no address speaks for everybody: one stranger must not stop all."""
    bad = item_path("7", {"token": "garbage"})

    assert [strict.refusal(bad) for _ in range(10)] == [INVALID] * 10
    with json_client(strict, "7") as alice:
        assert alice.ask("ping")["type"] == "pong"
