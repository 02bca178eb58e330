"""Each proxy of `deploy/proxies/` with a second node, named as the page for operators says."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Final

import httpx
import pytest
from websockets.exceptions import WebSocketException

from tests.deploy.proxies import KINDS, Change, ProxyProcess, running_proxy
from tests.deploy.test_proxies import SERVE
from tests.scenarios.clients import item_path, token
from tests.scenarios.nodes import until
from tests.scenarios.processes import Started, started
from tests.server_process import free_port

LINES: Final[dict[str, str]] = {
    "nginx": "server 127.0.0.1:8000 max_fails=0;",
    "haproxy": "server node1 127.0.0.1:8000 check inter 2s fall 1 rise 1",
    "caddy": "{$WIRE_UPSTREAM:127.0.0.1:8000}",
    "apache": "BalancerMember http://127.0.0.1:8000 upgrade=websocket retry=0 connectiontimeout=2",
}
"""By the proxy: what names a node in its example."""
SOCKETS: Final = 9


def second_of(kind: str, port: int) -> Change:
    """Name a second node beside the first."""
    line = LINES[kind]
    if kind == "caddy":
        return line, f"127.0.0.1:8000 127.0.0.1:{port}"
    again = line.replace("127.0.0.1:8000", f"127.0.0.1:{port}").replace("node1", "node2")
    return line, f"{line}\n{again}"


def opens(proxy: ProxyProcess, kept: ExitStack) -> bool:
    """Open a socket and keep it; tell whether it got in."""
    try:
        kept.enter_context(proxy.connect(item_path("7", {"token": token()})))
    except WebSocketException:
        return False
    return True


def has_socket(node: Started) -> bool:
    """Tell whether a node has let a socket in."""
    return any(" connected " in line for line in node.lines)


def asked(proxy: ProxyProcess) -> int:
    """Ask for something, and give the status."""
    with proxy.client() as client:
        return client.get("/health/live").status_code


@pytest.mark.parametrize("kind", KINDS)
def test_nodes_that_were_away_get_sockets_at_once(kind: str, tmp_path: Path) -> None:
    """No proxy remembers that it did not reach them: clients of a restart come all at once."""
    ports = free_port(), free_port()
    with (
        running_proxy(kind, tmp_path / kind, ports[0], [second_of(kind, ports[1])]) as proxy,
        ExitStack() as kept,
    ):
        away = {asked(proxy) for _ in range(4)}
        nodes = [
            kept.enter_context(started((*SERVE[:-1], f"--port={port}"), tmp_path)) for port in ports
        ]
        until(lambda: opens(proxy, kept))
        got_in = [opens(proxy, kept) for _ in range(SOCKETS)]
        until(lambda: opens(proxy, kept) and all(map(has_socket, nodes)))

    assert away <= {httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE}
    assert got_in == [True] * SOCKETS


@pytest.mark.parametrize("kind", KINDS)
def test_a_node_that_comes_back_is_found_beside_one_that_serves(kind: str, tmp_path: Path) -> None:
    """Soon, or the other has all the sockets of both."""
    ports = free_port(), free_port()
    with (
        started((*SERVE[:-1], f"--port={ports[0]}"), tmp_path),
        running_proxy(kind, tmp_path / kind, ports[0], [second_of(kind, ports[1])]) as proxy,
        ExitStack() as kept,
    ):
        until(lambda: opens(proxy, kept) and opens(proxy, kept))
        away = {asked(proxy) for _ in range(4)}
        second = kept.enter_context(started((*SERVE[:-1], f"--port={ports[1]}"), tmp_path))
        until(lambda: opens(proxy, kept) and has_socket(second))

    assert httpx.codes.OK in away
