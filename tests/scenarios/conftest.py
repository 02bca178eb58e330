"""Servers of both protocols and both refusal modes, and what a client must see of a refusal."""

import json
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final, Literal

import pytest
from fastapi import FastAPI

from itemwire.main import create_app
from itemwire.serving.server import FASTPATH, Protocols, server_of
from itemwire.settings import Settings
from itemwire.testing import LiveServer, Refusal, live_server
from itemwire.testing.servers import STOCK
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.testing import TokenFactory
from tests.conftest import SECRET
from tests.scenarios.clients import JSON, PATIENCE, item_path
from tests.timing import AdvancedClock

Mode = Literal["close", "http"]

# The HTTP status and the retry verdict of each refusal, as the documents say, not as the code.
REFUSALS: Final = {
    "credentials_missing": (401, "token"),
    "credentials_invalid": (401, "token"),
    "ticket_invalid": (401, "token"),
    "token_revoked": (401, "token"),
    "origin_denied": (403, "never"),
    "forbidden": (403, "never"),
    "scope_missing": (403, "never"),
    "item_invalid": (403, "never"),
    "query_invalid": (403, "never"),
    "tls_required": (403, "never"),
}


def refused(mode: Mode, reason: str) -> Refusal:
    """Tell how a server of this mode says no for this reason."""
    if mode == "close":
        return Refusal(101, 1008, reason)
    status, retry = REFUSALS[reason]
    body = {"code": 1008, "reason": reason, "retry": retry}
    return Refusal(status, body=json.dumps(body, separators=(",", ":")).encode())


Headers = dict[str, str]


@dataclass(frozen=True, slots=True)
class Door:
    """A server of one refusal mode, and tokens it takes."""

    server: LiveServer
    mode: Mode
    tokens: TokenFactory

    def path(self, item_id: str = "42", **query: object) -> str:
        """Write the path to an item, with a good token unless the query says otherwise."""
        return item_path(item_id, {"token": self.tokens.good(), **query})

    def says(self, reason: str) -> Refusal:
        """Tell what a client must see of a refusal."""
        return refused(self.mode, reason)

    def refusal(
        self, path: str, *, headers: Headers | None = None, subprotocols: tuple[str, ...] = ()
    ) -> Refusal:
        """Come as a client that must be refused; one that is welcomed fails the test at once."""
        return self.server.refusal(path, headers=headers, subprotocols=(JSON, *subprotocols))

    def welcomes(
        self, path: str, *, headers: Headers | None = None, subprotocols: tuple[str, ...] = ()
    ) -> bool:
        """Tell whether a client gets in and is welcomed."""
        offered = (JSON, *subprotocols)
        with self.server.connect(path, headers=headers, subprotocols=offered) as connection:
            welcome = json.loads(connection.recv(timeout=PATIENCE))
        return bool(welcome["type"] == "welcome" and connection.subprotocol == JSON)


@dataclass(frozen=True, slots=True)
class Serve:
    """Runs servers of one protocol; all else about them is as `itemwire serve` has it."""

    protocols: Protocols

    def __call__(
        self, settings: Settings, app: FastAPI | None = None
    ) -> AbstractContextManager[LiveServer]:
        """Run a server in a thread, with an application of the test's own if one is given."""
        server = server_of(settings, self.protocols)
        server.config.app = app or server.config.app
        return live_server(settings, server)


# For what is promised on our own classes only; the test's docstring says what stock does instead.
fastpath_only = pytest.mark.parametrize("serve", [FASTPATH], ids=["fastpath"], indirect=True)
stock_only = pytest.mark.parametrize("serve", [STOCK], ids=["stock"], indirect=True)


@pytest.fixture(scope="session", params=[FASTPATH, STOCK], ids=["fastpath", "stock"])
def serve(request: pytest.FixtureRequest) -> Serve:
    """Run servers that speak with our classes, then ones that speak with uvicorn's own."""
    return Serve(request.param)


@pytest.fixture(scope="session")
def server(serve: Serve, settings: Settings) -> Iterator[LiveServer]:
    """One server a protocol for all tests that change no setting."""
    with serve(settings) as running:
        yield running


@dataclass(frozen=True, slots=True)
class Timed:
    """A server, and the clock by which its tokens expire."""

    server: LiveServer
    clock: AdvancedClock


@contextmanager
def serve_timed(serve: Serve, settings: Settings) -> Iterator[Timed]:
    """Run a server by a clock that the test moves, so that no test races with a short life."""
    clock = AdvancedClock()
    with serve(settings, create_app(settings, clock=clock)) as running:
        yield Timed(running, clock)


@pytest.fixture(scope="session")
def timed_server(serve: Serve, settings: Settings) -> Iterator[Timed]:
    """Run one such server a protocol."""
    with serve_timed(serve, settings) as running:
        yield running


@pytest.fixture
def timed(timed_server: Timed) -> Iterator[Timed]:
    """Give each test that server at the machine's time."""
    yield timed_server
    timed_server.clock.reset()


@pytest.fixture(scope="session")
def tokens() -> TokenFactory:
    """Make tokens for a server with the tests' secret and every rule."""
    return TokenFactory(signing_key_from_secret(SECRET))


@pytest.fixture(scope="session", params=["close", "http"])
def door(request: pytest.FixtureRequest, serve: Serve, tokens: TokenFactory) -> Iterator[Door]:
    """Run a server with every rule for tokens, in each refusal mode."""
    settings = Settings(
        secret=SECRET,
        issuer=tokens.issuer,
        audience=(tokens.audience,),
        token_types=(tokens.token_type,),
        refusal=request.param,
        allowed_origins=("self", "https://app.example.com", "https://*.example.org"),
        _env_file=None,
    )
    with serve(settings) as server:
        yield Door(server, request.param, tokens)


@pytest.fixture
def item_id() -> str:
    """Name an item that no other test knows."""
    return secrets.token_hex(8)
