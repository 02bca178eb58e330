"""What the scenarios drive a server with: tokens, and a client that speaks envelopes."""

import itertools
import json
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlencode

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from itemwire.testing import LiveServer
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.tokens.minting import mint
from tests.conftest import SECRET

JSON: Final = "itemwire.v1.json"
PLAIN: Final = "itemwire.v1.plain"

TALKING: Final = "items:subscribe items:publish items:history"
EVERYTHING: Final = f"{TALKING} items:presence"

PATIENCE: Final = 60.0  # seconds until a test that waits has failed

Envelope = dict[str, Any]


def token(subject: str = "alice", scope: str = EVERYTHING, *, lifetime: int = 300) -> str:
    """Mint a token for a server with the tests' secret and no other rule."""
    key = signing_key_from_secret(SECRET)
    return mint(key, subject=subject, scope=scope, lifetime=lifetime)


def item_path(item_id: str, query: Mapping[str, object] | None = None) -> str:
    """Write the path of an item's channel; the id stands in it as given."""
    # A token of a test may hold half a surrogate pair: it travels as the bytes it would have.
    return f"/items/{item_id}/ws?{urlencode(query or {}, errors='surrogatepass')}"


def closed(connection: ClientConnection) -> tuple[int, str]:
    """Read until the server ends the connection; give its close code and reason."""
    try:
        while True:
            connection.recv(timeout=PATIENCE)
    except ConnectionClosed as ended:
        return close_of(ended)


def close_of(ended: ConnectionClosed) -> tuple[int, str]:
    """Give what a browser's CloseEvent would say: 1006 where no close frame came."""
    return (ended.rcvd.code, ended.rcvd.reason) if ended.rcvd else (1006, "")


class JsonClient:
    """A client of `itemwire.v1.json` that has been welcomed."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._refs = itertools.count(1)
        self._set_aside: deque[Envelope] = deque()
        self.welcome = self.read()
        assert self.welcome["type"] == "welcome", self.welcome

    @property
    def member(self) -> Envelope:
        """Give this connection as others see it."""
        return {name: self.welcome[name] for name in ("connection", "subject")}

    def read(self) -> Envelope:
        """Give the next envelope."""
        return self._set_aside.popleft() if self._set_aside else self._receive()

    def ask(self, kind: str, **fields: object) -> Envelope:
        """Send a request and give its answer; what came in between is left for `read`."""
        ref = next(self._refs)
        self.connection.send(json.dumps({"type": kind, "ref": ref, **fields}))
        while (envelope := self._receive()).get("ref") != ref:
            self._set_aside.append(envelope)
        return envelope

    def messages(self, count: int) -> list[Envelope]:
        """Read so many messages, past whatever else is told meanwhile."""
        found: list[Envelope] = []
        while len(found) < count:
            envelope = self.read()
            if envelope["type"] == "message":
                found.append(envelope)
        return found

    def _receive(self) -> Envelope:
        envelope: Envelope = json.loads(self.connection.recv(timeout=PATIENCE))
        return envelope


@contextmanager
def json_client(
    server: LiveServer,
    item_id: str,
    subject: str = "alice",
    *,
    scope: str = TALKING,
    replay: int = 0,
    since: str | None = None,
) -> Iterator[JsonClient]:
    """Join an item's channel and be welcomed; without presence unless the scope says so."""
    query: dict[str, object] = {"token": token(subject, scope), "replay": replay}
    path = item_path(item_id, query if since is None else {**query, "since": since})
    with server.connect(path, subprotocols=(JSON,)) as connection:
        yield JsonClient(connection)


@contextmanager
def plain_client(
    server: LiveServer, item_id: str, subject: str = "bob", *, scope: str = TALKING, replay: int = 0
) -> Iterator[ClientConnection]:
    """Join an item's channel as a tutorial's page does: frames in, frames out."""
    path = item_path(item_id, {"token": token(subject, scope), "replay": replay})
    with server.connect(path) as connection:
        yield connection


class ManyClient:
    """A client of `/ws`."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def send(self, kind: str, **fields: object) -> None:
        """Send a request."""
        self.connection.send(json.dumps({"type": kind, **fields}))

    def read(self) -> Envelope:
        """Give the next envelope."""
        envelope: Envelope = json.loads(self.connection.recv(timeout=PATIENCE))
        return envelope

    def ask(self, kind: str, **fields: object) -> Envelope:
        """Send a request, and give what comes next."""
        self.send(kind, **fields)
        return self.read()


@contextmanager
def many_client(
    server: LiveServer,
    credential: str | None = None,
    subprotocols: tuple[str, ...] = (JSON,),
    query: str = "",
) -> Iterator[ManyClient]:
    """Connect to `/ws`, by a token unless the query says otherwise."""
    query = query or f"token={credential or token(scope=TALKING)}"
    with server.connect(f"/ws?{query}", subprotocols=subprotocols) as connection:
        yield ManyClient(connection)
