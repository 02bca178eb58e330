"""What a trusted proxy says of its client, in the log and in the counts of a real server."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import httpx
import pytest

from itemwire.testing import Refusal
from tests.scenarios.clients import PATIENCE, item_path, token
from tests.scenarios.nodes import until
from tests.scenarios.processes import Started, started

INVALID = Refusal(101, 1008, "credentials_invalid")
LIMITED = Refusal(101, 1008, "rate_limited")
STOP_AFTER = 3
BAD = item_path("7", {"token": "garbage"})


@pytest.fixture(scope="module", params=["fastpath", "stock"])
def behind_proxies(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Started]:
    """Run a server behind a proxy on this machine and two at 192.0.2.0/30; nobody is exempt."""
    program = "from itemwire.cli import main; main()"
    command = [sys.executable, "-c", program, "serve", "--port", "0"]
    if request.param == "stock":
        proxies = ["--forwarded-allow-ips", "127.0.0.1,192.0.2.0/30"]
        program = (
            "from itemwire.observability.logs import configure_logs;"
            "configure_logs('info', 'json');"
            "import uvicorn, sys; uvicorn.main(sys.argv[1:])"
        )
        app = ["--factory", "itemwire:create_app", "--ws", "websockets", "--http", "h11"]
        command = [sys.executable, "-c", program, *app, *proxies, "--port", "0"]
    with started(
        command,
        tmp_path_factory.mktemp(request.param),
        log_format="json",
        throttle_exempt="",
        trusted_proxies="127.0.0.1,192.0.2.0/30",
        slow_after_refusals="0",
        stop_after_refusals=str(STOP_AFTER),
    ) as running:
        yield running


def refusals(running: Started, *forwarded: str) -> list[Refusal]:
    """Present garbage with each of these values of X-Forwarded-For."""
    return [running.server.refusal(BAD, headers={"X-Forwarded-For": value}) for value in forwarded]


CHAINS = {
    "an address alone": [f"198.51.100.{n}" for n in (1, 1, 1, 1)],
    "with a port": [f"198.51.100.2:{5000 + n}" for n in range(4)],
    "in IPv6": [f"::ffff:198.51.100.{n}" for n in (3, 3, 3, 3)],
    "what a client wrote before it": [f"203.0.113.{n}, 198.51.100.4" for n in range(4)],
    "two trusted hops": [f"203.0.113.{n}, 198.51.100.5, 192.0.2.1" for n in range(4)],
    "three trusted hops": [f"a, 198.51.100.6, 192.0.2.1, 192.0.2.{n}" for n in (2, 2, 2, 2)],
    "hops in IPv6": [f"{n}, 198.51.100.7, ::ffff:192.0.2.1" for n in range(4)],
    "another network of a site": [f"2001:db8:1:2::{n}" for n in range(4)],
}


@pytest.mark.parametrize("name", CHAINS)
def test_the_hop_before_the_trusted_ones_is_counted(behind_proxies: Started, name: str) -> None:
    """Whatever a stranger writes before it (requirement 11)."""
    assert refusals(behind_proxies, *CHAINS[name]) == [INVALID] * STOP_AFTER + [LIMITED]


def test_each_address_behind_the_proxies_has_its_own_count(behind_proxies: Started) -> None:
    """The twin: one that is stopped stops nobody else."""
    chains = [f"198.51.100.{n}, 192.0.2.1" for n in range(100, 110)]

    assert refusals(behind_proxies, *chains) == [INVALID] * len(chains)


FORGED = [
    "192.0.2.200 issuer=root subject=admin",
    "nobody' source=cookie client='192.0.2.201",
    '" "event": "authenticated" "client": "192.0.2.202',
    "x" * 300,
    "192.0.2.203:1:2",
    "[192.0.2.204",
    "-",
]


def test_a_name_that_is_no_address_forges_nothing(behind_proxies: Started) -> None:
    """It is one field of the log, it is cut, and all such names are one caller."""
    seen = refusals(behind_proxies, *FORGED)
    names = [name[:200] for name in FORGED]

    def read() -> tuple[list[dict[str, str]], list[dict[str, str]]]:
        lines = [json.loads(line) for line in behind_proxies.lines if line.startswith("{")]
        refused = [line for line in lines if line.get("event") == "refused"]
        return lines, [line for line in refused if line["client"] in names]

    until(lambda: len(read()[1]) >= len(names))  # the log comes by a pipe
    lines, refused = read()

    assert seen == [INVALID] * STOP_AFTER + [LIMITED] * (len(FORGED) - STOP_AFTER)
    assert [line["client"] for line in refused] == names
    assert all(set(line) == set(refused[0]) for line in refused)
    assert all("subject" not in line for line in refused)
    assert {line["event"] for line in lines}.isdisjoint({"authenticated"})


@pytest.mark.parametrize(
    ("headers", "client", "forwarded"),
    [
        ({}, "127.0.0.1", False),
        ({"X-Forwarded-For": "198.51.100.9"}, "198.51.100.9", True),
        ({"X-Forwarded-For": "127.0.0.1"}, "127.0.0.1", True),
    ],
)
def test_a_caller_is_told_how_it_is_seen(
    behind_proxies: Started, headers: dict[str, str], client: str, forwarded: bool
) -> None:
    """By which an operator sees whether a proxy is trusted, and tells its clients."""
    own = {"Authorization": f"Bearer {token()}", "X-Forwarded-Proto": "https", **headers}
    answer = httpx.get(f"{behind_proxies.server.url}/auth/seen", headers=own, timeout=PATIENCE)

    assert answer.json() == {
        "client": client,
        "forwarded": forwarded,
        "scheme": "https",
        "host": httpx.URL(behind_proxies.server.url).netloc.decode(),
    }


@pytest.mark.parametrize("behind_proxies", ["fastpath"], indirect=True)
def test_a_proxy_may_tell_a_port_too(behind_proxies: Started) -> None:
    """Under uvicorn's own middleware a client without a port is the only sign of it."""
    own = {"Authorization": f"Bearer {token()}", "X-Forwarded-For": "198.51.100.9:5000"}
    answer = httpx.get(f"{behind_proxies.server.url}/auth/seen", headers=own, timeout=PATIENCE)

    assert answer.json()["forwarded"] is True


def test_a_stranger_is_told_nothing(behind_proxies: Started) -> None:
    """How it is seen is for those alone who are let in."""
    answer = httpx.get(f"{behind_proxies.server.url}/auth/seen", timeout=PATIENCE)

    assert answer.status_code == 401
