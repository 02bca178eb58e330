"""Everything a server prints, at its most talkative: events, and not one credential."""

import base64
import contextlib
import json
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from itemwire.testing import LiveServer
from tests.conftest import SECRET
from tests.scenarios.clients import JSON, PATIENCE, token
from tests.scenarios.processes import started

# A flood is cut to so many lines a second of one kind: what is cut could not be searched.
ALL_LINES = "from itemwire.observability import logs; logs.LINES_A_SECOND = 10**9; "
UVICORN = "--factory itemwire:create_app --port 0 --log-level trace"
COMMANDS = {
    "serve": ("from itemwire.cli import main; main()", "serve --port 0"),
    "plain_uvicorn": ("from uvicorn.main import main; main()", UVICORN),
}

# In each credential that is no token stands one of these words, and in nothing else.
AT_THE_DOOR, WITHIN = "hunter2", "swordfish"

ORIGIN = "https://evil.test"

# Each presents one credential for `{}`: a path and headers, among them the subprotocols.
WAYS: dict[str, tuple[str, dict[str, str]]] = {
    "query": ("/items/42/ws?token={}", {}),
    "query_beside_others": ("/items/42/ws?a=b&token={}&replay=1", {}),
    "query_name_escaped": ("/items/42/ws?tok%65n={}", {}),
    "query_value_escaped": ("/items/42/ws?token=%20{}", {}),
    "query_twice": ("/items/42/ws?token={}&token={}", {}),
    "ticket": ("/items/42/ws?ticket={}", {}),
    "query_of_another_name": ("/items/42/ws?password={}&session={}", {}),
    "query_with_bad_replay": ("/items/42/ws?token={}&replay=x", {}),
    "query_of_a_bad_item": ("/items/a%20b/ws?token={}", {}),
    "query_of_an_item_like_a_query": ("/items/a%3Ftoken=x/ws?token={}", {}),
    "query_of_an_item_with_a_line_break": ("/items/42%0D%0Ainjected/ws?token={}", {}),
    "query_of_a_wrong_route": ("/nope?token={}", {}),
    "query_of_a_wrong_route_below": ("/items/42/ws/nope?token={}", {}),
    "query_of_the_echo": ("/ws/echo?token={}", {}),
    "query_without_a_name": ("/items/42/ws?{}", {}),
    "authorization": ("/items/42/ws", {"Authorization": "Bearer {}"}),
    "authorization_lower_case": ("/items/42/ws", {"authorization": "bearer {}"}),
    "authorization_two_spaces": ("/items/42/ws", {"Authorization": "Bearer  {}"}),
    "authorization_other_scheme": ("/items/42/ws", {"Authorization": "Digest user={}"}),
    "proxy_authorization": ("/items/42/ws", {"Proxy-Authorization": "Basic {}"}),
    "cookie": ("/items/42/ws", {"Cookie": "session={}"}),
    "cookie_among_others": ("/items/42/ws", {"Cookie": "a=b; session={}; other={}"}),
    "cookie_of_a_foreign_page": ("/items/42/ws", {"Cookie": "session={}", "Origin": ORIGIN}),
    "subprotocol": ("/items/42/ws", {"subprotocol": "itemwire.token.{}"}),
    "referer": ("/items/42/ws", {"Referer": "https://app.test/page?token={}"}),
    "two_sources": ("/items/42/ws?token={}", {"Authorization": "Bearer {}"}),
}


@dataclass(frozen=True, slots=True)
class Printed:
    """What a server printed while it was driven, and the tokens it was driven with."""

    command: str
    text: str
    tokens: list[str]

    def lines_with(self, word: str) -> list[str]:
        """Find the lines with a word, as it is or in base64."""
        encoded = base64.b64encode(word.encode()).decode()[:8]
        return [line for line in self.text.splitlines() if word in line or encoded in line]


@pytest.fixture(
    scope="module",
    params=[(command, mode) for command in COMMANDS for mode in ("close", "http")],
    ids="-".join,
)
def printed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Printed:
    """Run a server in a process of its own, drive it, stop it."""
    command, mode = request.param
    return _printed(command, tmp_path_factory.mktemp("server"), refusal=mode)


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Printed:
    """Do the same with a server that prints JSON."""
    return _printed("serve", tmp_path_factory.mktemp("server"), log_format="json")


def _printed(command: str, folder: Path, **settings: str) -> Printed:
    tokens: list[str] = []
    with _running(command, folder, **settings) as (server, lines):
        for way, (path, headers) in WAYS.items():
            good, expired = (token("alice", lifetime=seconds) for seconds in (300, -300))
            tokens += [good, expired]
            for credential in (good, expired, f"{AT_THE_DOOR}-{way}", f"{good}{AT_THE_DOOR}"):
                _knock(server, path, headers, credential)
        tokens += _drive_over_http(server)
    return Printed(command, "".join(lines), tokens)


def test_no_token_is_printed(printed: Printed) -> None:
    """Neither whole nor in part: a payload says who, a signature lets one in (requirement 20)."""
    assert_no_token(printed)


def assert_no_token(printed: Printed) -> None:
    """Look for every part of every token, but for the heads that all of them share."""
    parts = {part for token in printed.tokens for part in token.split(".")[1:]}

    assert len(parts) > 2 * len(WAYS)
    assert [part for part in parts if part[:24] in printed.text] == []


def test_no_password_is_printed(printed: Printed) -> None:
    """A text that is not a token may still be a secret, mistyped or in the wrong field."""
    assert printed.lines_with(AT_THE_DOOR) == []


def test_no_credential_of_an_envelope_is_printed(printed: Printed) -> None:
    """`refresh` carries one on an open socket."""
    assert printed.lines_with(WITHIN) == []


def test_the_servers_secret_is_not_printed(printed: Printed) -> None:
    """Its holder can act as any caller."""
    assert SECRET not in printed.text


def test_refusals_are_printed_with_their_cause(printed: Printed) -> None:
    """Only the log says which check failed (requirements 40, 104)."""
    refused = printed.lines_with("refused reason=")

    assert any("credentials_missing" in line for line in refused)
    for source in ("query", "authorization", "subprotocol", "cookie"):
        assert any(f"check=expiry source={source} client=127.0.0.1:" in line for line in refused)
        assert any(f"check=form source={source}" in line for line in refused)
    assert any("check=form source=refresh client=127.0.0.1:" in line for line in refused)
    assert any("origin_denied" in line and ORIGIN in line for line in refused)


def test_a_refused_item_is_printed_once(printed: Printed) -> None:
    """One line a refusal (requirement 104): two good tokens came for an item that cannot be."""
    refused = printed.lines_with("refused reason=")

    assert len([line for line in refused if "item_invalid" in line and "injected" not in line]) == 2


def test_no_client_writes_a_line_of_its_own(printed: Printed) -> None:
    """What stands in a path must not look like an event (requirement 80)."""
    assert printed.lines_with("injected")
    assert not [line for line in printed.text.splitlines() if line.startswith("injected")]


def test_what_happens_is_printed_once(printed: Printed) -> None:
    """An event a change of state; plain uvicorn shows no more than warnings of an application."""
    if printed.command != "serve":
        return
    joined = printed.lines_with("joined channel=item:42 subject='alice'")
    left = printed.lines_with("left channel=item:42 subject='alice'")

    assert printed.lines_with("authenticated issuer=None subject='alice' source=query")
    assert len(joined) == len(left) == len(set(joined))
    assert len(joined) > len(WAYS) // 3
    assert "Traceback" not in printed.text


def test_no_secret_is_printed_as_json(objects: Printed) -> None:
    """The same, where each value is redacted on its own (requirement 20)."""
    assert_no_token(objects)
    assert objects.lines_with(AT_THE_DOOR) == objects.lines_with(WITHIN) == []
    assert SECRET not in objects.text


def test_every_line_of_json_is_an_object(objects: Printed) -> None:
    """What a stranger puts into paths and headers makes no line and no field (requirement 80)."""
    lines = [json.loads(line) for line in objects.text.splitlines()]

    assert all({"ts", "level", "logger", "event"} <= line.keys() for line in lines)
    assert objects.lines_with("injected")
    assert not [
        line for line in lines if "injected" in str(line.keys()) or "injected" in line["event"]
    ]


def test_a_connection_is_followed_by_its_id(objects: Printed) -> None:
    """From its handshake, by the client's address, to its end (requirement 104)."""
    lines = [json.loads(line) for line in objects.text.splitlines()]
    events: dict[str, list[str]] = {}
    for line in lines:
        if "connection" in line:
            events.setdefault(line["connection"], []).append(line["event"])
    connected = [line for line in lines if line["event"] == "connected"]
    authenticated = {line["client"] for line in lines if line["event"] == "authenticated"}

    assert len(connected) > len(WAYS) // 3
    assert {line["client"] for line in connected} <= authenticated
    for line in connected:
        told = events[line["connection"]]
        assert (told[0], told.count("connected"), told.count("ended")) == ("connected", 1, 1)
    refused = [line for line in lines if line["event"] == "refused"]
    assert {"expiry", "form"} <= {line.get("check") for line in refused}
    assert all(line["client"].startswith("127.0.0.1:") for line in refused)


@contextmanager
def _running(command: str, folder: Path, **settings: str) -> Iterator[tuple[LiveServer, list[str]]]:
    """Run a command at its most talkative; the lines are complete after that."""
    code, arguments = COMMANDS[command]
    words = [sys.executable, "-c", ALL_LINES + code, *arguments.split()]
    with started(words, folder, log_level="debug", **settings) as running:
        yield running.server, running.lines


def _knock(server: LiveServer, path: str, headers: dict[str, str], credential: str) -> None:
    """Present a credential; if that opens the door, talk of it within, then go."""
    presented = {name: value.replace("{}", credential) for name, value in headers.items()}
    offered = (JSON, *filter(None, [presented.pop("subprotocol", "")]))
    with (
        contextlib.suppress(InvalidStatus, ConnectionClosed),
        server.connect(
            path.replace("{}", quote(credential)), headers=presented, subprotocols=offered
        ) as connection,
    ):
        if "echo" in path:
            return
        connection.recv(timeout=PATIENCE)
        for offer in (credential, WITHIN, [WITHIN]):
            connection.send(json.dumps({"type": "refresh", "token": offer}))
            connection.recv(timeout=PATIENCE)


def _drive_over_http(server: LiveServer) -> list[str]:
    """Put credentials where they do not belong: pages, no handshakes, no HTTP."""
    value = token()
    for credential in (value, AT_THE_DOOR):
        for path in ("/", "/health/live", "/nope", "/items/42/ws", "/openapi.json"):
            httpx.get(f"{server.url}{path}?token={credential}", headers={"Cookie": credential})
        for line in (
            "GET /items/42/ws?token={} HTTP/1.1|Host: a|Upgrade: websocket|Connection: Upgrade",
            "GET /items/42/ws HTTP/1.1|Host: a|Upgrade: websocket|Authorization: Bearer {}",
            "GET /items/42/ws?token={} HTTP/9.9",
            "{} /items/42/ws",
        ):
            address = urlsplit(server.url)
            with socket.create_connection((address.hostname, address.port), PATIENCE) as client:
                head = line.replace("{}", credential).replace("|", "\r\n") + "\r\n\r\n"
                client.sendall(head.encode())
                client.recv(1 << 16)
    bearer = {"Authorization": f"Bearer {value}"}
    httpx.post(f"{server.url}/auth/session", headers=bearer).raise_for_status()
    tickets = [
        httpx.post(f"{server.url}/auth/tickets", headers=bearer).json()["ticket"] for _ in range(3)
    ]
    for ticket in tickets[1:]:
        for _ in range(2):
            _knock(server, "/items/42/ws?ticket={}", {}, ticket)
    return [value, *(f"ticket.{ticket}" for ticket in tickets)]
