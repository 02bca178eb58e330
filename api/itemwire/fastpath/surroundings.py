"""What all sockets of one server share, so that a socket holds little and costs little."""

import asyncio
import weakref
from typing import Any, ClassVar, NamedTuple, Protocol
from urllib.parse import unquote

from uvicorn.config import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from itemwire.fastpath.handshake import Headers, Opening
from itemwire.fastpath.timeouts import Timeout


class Timed(Protocol):
    """How long a socket's times are, and what it does when one of them is up."""

    __slots__ = ()

    patience: ClassVar[float]
    message_seconds: ClassVar[float]

    def ping(self) -> None:
        """Ask for a sign of life."""
        ...

    def give_up(self) -> None:
        """End a peer that gave none."""
        ...

    def fail_slow_message(self) -> None:
        """End a peer that does not finish what it has begun to say."""
        ...

    def abort(self) -> None:
        """Cut a connection that does not end."""
        ...


class Ends(NamedTuple):
    """The two ends of a connection, as ASGI writes them, and whether it is encrypted."""

    server: tuple[str, int | None] | None
    client: tuple[str, int] | None
    is_secure: bool

    @classmethod
    def of(cls, transport: asyncio.Transport) -> "Ends":
        """Ask the socket: two system calls."""
        return cls(get_local_addr(transport), get_remote_addr(transport), is_ssl(transport))


class Surroundings:
    """The server of a socket: its application, its settings, its timers."""

    def __init__(
        self, kind: type[Timed], config: Config, server_state: ServerState, state: dict[str, Any]
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.app = config.loaded_app
        self.config = config
        self.connections = server_state.connections
        self.tasks = server_state.tasks
        self.app_state = state
        self.is_stopping = False  # the server: what is opened now is closed at once
        self._server_state: ServerState = weakref.proxy(server_state)  # the key these hang on
        ping_interval = config.ws_ping_interval or None
        self.quiet = Timeout[Timed](self.loop, ping_interval, lambda socket: socket.ping())
        self.unanswered = Timeout[Timed](
            self.loop, config.ws_ping_timeout, lambda socket: socket.give_up()
        )
        self.halfway = Timeout[Timed](
            self.loop, kind.message_seconds, lambda socket: socket.fail_slow_message()
        )
        self.ending = Timeout[Timed](self.loop, kind.patience, lambda socket: socket.abort())

    @property
    def default_headers(self) -> Headers:
        """Give the headers that uvicorn puts on every answer; it renews them each second."""
        return self._server_state.default_headers

    def forget(self, socket: Timed) -> None:
        """Stop all times of a socket that is gone."""
        for timeout in (self.quiet, self.unanswered, self.halfway, self.ending):
            timeout.stop(socket)

    def scope_of(self, opening: Opening, ends: Ends) -> dict[str, Any]:
        """Describe a request as ASGI wants it, and as uvicorn does."""
        root_path = self.config.root_path
        path, _, query = opening.target.partition(b"?")
        return {
            "type": "websocket",
            "asgi": {"version": self.config.asgi_version, "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "wss" if ends.is_secure else "ws",
            "server": ends.server,
            "client": ends.client,
            "root_path": root_path,
            "path": root_path + unquote(path.decode("ascii")),
            "raw_path": root_path.encode("ascii") + path,
            "query_string": query,
            "headers": opening.headers,
            "subprotocols": opening.subprotocols,
            "state": self.app_state.copy(),
            "extensions": {"websocket.http.response": {}},
        }


_surroundings: weakref.WeakKeyDictionary[ServerState, Surroundings] = weakref.WeakKeyDictionary()


def surroundings_of(
    kind: type[Timed], config: Config, server_state: ServerState, app_state: dict[str, Any]
) -> Surroundings:
    """Give those of a server, made for its first socket: uvicorn makes nothing per server."""
    around = _surroundings.get(server_state)
    if around is None:
        around = _surroundings[server_state] = Surroundings(kind, config, server_state, app_state)
    return around
