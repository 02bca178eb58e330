"""Each proxy as `deploy/proxies/` has it, in front of a server, as clients of both see it."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import httpx
import pytest
from websockets.sync.client import ClientConnection

from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.tokens.minting import mint
from tests.conftest import SECRET
from tests.deploy.proxies import KINDS, ProxyProcess, running_proxies
from tests.scenarios.clients import (
    JSON,
    PATIENCE,
    TALKING,
    JsonClient,
    ManyClient,
    closed,
    item_path,
    token,
)
from tests.scenarios.nodes import until
from tests.scenarios.processes import Started, started

SERVE: Final = (sys.executable, "-c", "from itemwire.cli import main; main()", "serve", "--port=0")
MOST_TOKEN: Final = 8192  # characters, of ITEMWIRE_MAX_TOKEN_LENGTH
FORGED: Final = "203.0.113.9"

each = pytest.mark.parametrize("kind", KINDS)


def upstream_of(running: Started) -> int:
    """Give the port of a server."""
    return httpx.URL(running.server.url).port or 0


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """Run a server that takes nothing that no proxy says is encrypted."""
    with started(
        SERVE, tmp_path_factory.mktemp("server"), log_format="json", require_tls="true"
    ) as running:
        yield running


@pytest.fixture(scope="module")
def proxies(
    behind: Started, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, ProxyProcess]]:
    """Run one proxy of each kind in front of it."""
    with running_proxies(tmp_path_factory.mktemp("proxies"), upstream_of(behind)) as running:
        yield running


@each
def test_sockets_of_both_routes_pass(kind: str, proxies: dict[str, ProxyProcess]) -> None:
    """With `X-Forwarded-Proto`, or the server would refuse them: it requires TLS."""
    proxy = proxies[kind]
    item = item_path(f"order:{kind}", {"token": token()})
    with (
        proxy.connect(item, subprotocols=(JSON,)) as alone,
        proxy.connect(f"/ws?token={token()}", subprotocols=(JSON,)) as shared,
    ):
        one, many = JsonClient(alone), ManyClient(shared)
        assert many.ask("join", item=f"order:{kind}")["type"] == "welcome"
        one.ask("publish", data="shipped")
        told = many.read()

    assert told["data"] == "shipped"


@each
def test_an_event_is_not_held_back(kind: str, proxies: dict[str, ProxyProcess]) -> None:
    """It comes while the stream is open, and alone: nothing fills a buffer after it."""
    with proxies[kind].client() as client, proxies[kind].client() as publisher:
        headers = {"Authorization": f"Bearer {token()}"}
        path = f"/items/events:{kind}"
        with client.stream("GET", f"{path}/events", headers=headers) as stream:
            lines = stream.iter_lines()
            next(lines)  # it has begun
            publisher.post(f"{path}/messages", headers=headers, json="first").raise_for_status()
            told = next(line for line in lines if "first" in line)

    assert told.startswith("data:")


@each
def test_the_client_has_its_own_address(
    kind: str, proxies: dict[str, ProxyProcess], behind: Started
) -> None:
    """Not that of the proxy, and not one that the client writes itself."""
    name = f"caller-{kind}"
    forged = {"X-Forwarded-For": FORGED, "Forwarded": f"for={FORGED}", "X-Real-IP": FORGED}
    path = item_path("7", {"token": token(name)})
    with proxies[kind].connect(path, source="127.0.0.2", headers=forged):
        pass
    until(lambda: any(name in line for line in behind.lines))
    told = [json.loads(line) for line in behind.lines if name in line]

    assert {one["client"] for one in told if "client" in one} == {"127.0.0.2:0"}


@each
def test_a_page_of_the_public_origin_may_use_its_cookie(
    kind: str, proxies: dict[str, ProxyProcess]
) -> None:
    """Which shows that Host and scheme come through: `self` is made of both."""
    proxy = proxies[kind]
    cookie = {"Cookie": f"session={token()}"}
    own, foreign = proxy.url, "https://evil.example"
    with proxy.connect(
        item_path("7"), headers={**cookie, "Origin": own}, subprotocols=(JSON,)
    ) as c:
        assert JsonClient(c).welcome["subject"] == "alice"
    with proxy.connect(item_path("7"), headers={**cookie, "Origin": foreign}) as refused:
        assert closed(refused) == (1008, "origin_denied")


def longest_token() -> str:
    """Mint a token that is about as long as the server takes."""
    key = signing_key_from_secret(SECRET)
    filled = "x" * (MOST_TOKEN * 3 // 4 - 300)
    made = mint(key, subject="alice", scope=TALKING, lifetime=3600, claims={"filler": filled})
    assert MOST_TOKEN - 300 < len(made) <= MOST_TOKEN
    return made


@each
def test_the_longest_token_passes(kind: str, proxies: dict[str, ProxyProcess]) -> None:
    """In the query, where it is part of one line of the head, and in a header."""
    made = longest_token()
    ways: tuple[tuple[str, dict[str, str]], ...] = (
        (item_path("7", {"token": made}), {}),
        (item_path("7"), {"Authorization": f"Bearer {made}"}),
    )
    for path, headers in ways:
        with proxies[kind].connect(path, headers=headers, subprotocols=(JSON,)) as connection:
            assert JsonClient(connection).welcome["subject"] == "alice"


def test_no_log_of_a_proxy_has_a_token(tmp_path: Path) -> None:
    """Neither of a request that was passed on, nor of one whose server is away."""
    made = token()
    with started(SERVE, tmp_path) as running, ExitStack() as stack:
        proxies = stack.enter_context(running_proxies(tmp_path / "all", upstream_of(running)))
        for proxy in proxies.values():
            path = item_path("logged:7", {"token": made})
            with proxy.connect(path, subprotocols=(JSON, made)) as connection:
                connection.recv(timeout=PATIENCE)
        running.process.kill()
        running.process.wait(PATIENCE)
        pool = stack.enter_context(ThreadPoolExecutor(len(proxies)))
        statuses = set(pool.map(lambda proxy: _asked(proxy, made), proxies.values()))
        for proxy in proxies.values():
            until(lambda: _has_logged(proxy, "7/ws", "8/messages"))  # noqa: B023 - at once
    written = {kind: proxy.written() for kind, proxy in proxies.items()}

    assert statuses <= {502, 503}
    assert [kind for kind, text in written.items() if made in text] == []
    assert [kind for kind, text in written.items() if made.rpartition(".")[2] in text] == []


def _has_logged(proxy: ProxyProcess, *paths: str) -> bool:
    written = proxy.written()  # a line comes once its request, or its socket, has ended
    return all(f"/items/logged:{path}" in written for path in paths)


def _asked(proxy: ProxyProcess, credential: str) -> int:
    with proxy.client() as client:
        path = f"/items/logged:8/messages?token={credential}"
        return client.get(path, headers={"Referer": credential}).status_code


def still_open(connection: ClientConnection) -> bool:
    """Tell whether an answer comes."""
    connection.ping().wait(PATIENCE)
    return True


SHORT: Final = (
    ("proxy_read_timeout 60s", "proxy_read_timeout 2s"),
    ("timeout client 60s", "timeout client 2s"),
    ("timeout server 60s", "timeout server 2s"),
    ("timeout tunnel 60s", "timeout tunnel 2s"),
    ("ProxyTimeout 60", "ProxyTimeout 2"),
)


def test_what_is_idle_is_kept_by_pings(tmp_path: Path) -> None:
    """For nearly twice the time after which the proxy would end it."""
    with ExitStack() as stack:
        running = stack.enter_context(started(SERVE, tmp_path, ping_interval="0.5"))
        proxies = stack.enter_context(running_proxies(tmp_path, upstream_of(running), SHORT))
        pool = stack.enter_context(ThreadPoolExecutor(2 * len(proxies)))
        sockets = pool.map(_stays_open, proxies.values())
        streams = pool.map(_stays_streaming, proxies.values())

        assert [*sockets, *streams] == [True] * 2 * len(KINDS)


IDLE_SECONDS: Final = 3.5


def _stays_open(proxy: ProxyProcess) -> bool:
    with proxy.connect(item_path("idle", {"token": token()})) as connection:
        with pytest.raises(TimeoutError):
            connection.recv(timeout=IDLE_SECONDS)
        return still_open(connection)


def _stays_streaming(proxy: ProxyProcess) -> bool:
    with (
        proxy.client() as client,
        client.stream(
            "GET", "/items/idle/events", headers={"Authorization": f"Bearer {token()}"}
        ) as stream,
    ):
        heartbeats = (line for line in stream.iter_lines() if line == ":")
        return all(next(heartbeats) for _ in range(int(IDLE_SECONDS / 0.5)))


def test_a_drain_is_told_through_each(tmp_path: Path) -> None:
    """Clients learn that they are to connect again, and not that the line broke."""
    with started(SERVE, tmp_path, drain_seconds="0") as running, ExitStack() as stack:
        proxies = stack.enter_context(running_proxies(tmp_path, upstream_of(running)))
        path = item_path("7", {"token": token()})
        connections = [stack.enter_context(one.connect(path)) for one in proxies.values()]
        running.process.send_signal(signal.SIGTERM)

        assert {closed(one) for one in connections} == {(1012, "draining")}
