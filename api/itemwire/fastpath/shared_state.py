"""What all sockets of one server share, so that each socket stays small and cheap."""

import asyncio
import weakref
from collections.abc import Callable
from typing import Any, ClassVar, Final, NamedTuple, Protocol, cast
from urllib.parse import unquote

from uvicorn.config import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from itemwire.fastpath.connection_limit import STATE_KEY, ConnectionLimit, peer_host
from itemwire.fastpath.handshake import Headers, OpeningHandshake
from itemwire.fastpath.timeouts import Timeout
from itemwire.pacing import Pacing

MESSAGE_RUNS_AT_ONCE: Final = 8  # of all sockets in one turn of the event loop
ENDS_AT_ONCE: Final = 64  # cut connections whose end is reported in a turn: about 1 ms

ASGIApp = Callable[[dict[str, Any], Any, Any], Any]


class TimedSocket(Protocol):
    """A socket's time limits, and what it does when one of them passes."""

    __slots__ = ()

    close_seconds: ClassVar[float]
    refusal_seconds: ClassVar[float]
    message_seconds: ClassVar[float]

    def ping(self) -> None:
        """Send a ping: the connection was quiet for the ping interval."""
        ...

    def fail_unanswered_ping(self) -> None:
        """Close: the peer did not answer a ping in time."""
        ...

    def fail_slow_message(self) -> None:
        """Close: the peer did not finish a message in time."""
        ...

    def abort(self) -> None:
        """Drop the connection: it did not close in time."""
        ...


class Addressed:
    """A transport as far as uvicorn asks it for addresses, and without its socket.

    Once it was asked for that, a transport of uvloop keeps the object for it, and two tuples for
    its addresses: 364 bytes for as long as the connection lasts.
    """

    __slots__ = ("_transport",)

    def __init__(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def get_extra_info(self, name: str) -> object:
        """Return what the transport does; of an address, host and port."""
        info: object = None if name == "socket" else self._transport.get_extra_info(name)
        return cast("tuple[object, ...]", info)[:2] if isinstance(info, tuple) else info


class SocketAddresses(NamedTuple):
    """The two addresses of a connection, as ASGI writes them, and whether it uses TLS."""

    server: tuple[str, int | None] | None
    client: tuple[str, int] | None
    is_secure: bool

    @classmethod
    def of(cls, transport: asyncio.Transport) -> "SocketAddresses":
        """Return the addresses of a transport; costs two system calls."""
        asked = cast("asyncio.Transport", Addressed(transport))
        return cls(get_local_addr(asked), get_remote_addr(asked), is_ssl(asked))


class SharedState:
    """The application, settings and timers of one server."""

    def __init__(
        self,
        kind: type[TimedSocket],
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.app = cast("ASGIApp", config.loaded_app)
        self.config = config
        self.max_message_bytes = config.ws_max_size
        self.connections = server_state.connections
        self.tasks = server_state.tasks
        self.app_state = app_state
        self.message_runs = Pacing(MESSAGE_RUNS_AT_ONCE)
        self.ends = Pacing(ENDS_AT_ONCE)
        self.discarding = Pacing()  # what refused peers send, which no message has to wait for
        self.is_stopping = False  # the server is: a socket that opens now is closed at once
        # Weak: `_shared_states` holds this object by that key.
        self._server_state: ServerState = weakref.proxy(server_state)
        ping_interval = config.ws_ping_interval or None
        self.ping_timer = Timeout[TimedSocket](
            self.loop, ping_interval, lambda socket: socket.ping()
        )
        self.pong_timer = Timeout[TimedSocket](
            self.loop, config.ws_ping_timeout, lambda socket: socket.fail_unanswered_ping()
        )
        self.message_timer = Timeout[TimedSocket](
            self.loop, kind.message_seconds, lambda socket: socket.fail_slow_message()
        )
        self.close_timer = Timeout[TimedSocket](
            self.loop, kind.close_seconds, lambda socket: socket.abort()
        )
        self.refusal_timer = Timeout[TimedSocket](
            self.loop, kind.refusal_seconds, lambda socket: socket.abort()
        )
        self._timers = (
            self.ping_timer,
            self.pong_timer,
            self.message_timer,
            self.close_timer,
            self.refusal_timer,
        )
        self._limit: ConnectionLimit | None = app_state.get(STATE_KEY)

    @property
    def default_headers(self) -> Headers:
        """The headers that uvicorn puts on every response; it renews the date each second."""
        return self._server_state.default_headers

    def forget(self, socket: TimedSocket) -> None:
        """Stop all timers of a socket that is gone."""
        for timer in self._timers:
            timer.stop(socket)

    def release_connection(self, transport: asyncio.Transport) -> None:
        """Stop counting a TCP connection that the HTTP class had admitted."""
        if self._limit is not None:
            self._limit.release(peer_host(transport))

    def scope_of(self, opening: OpeningHandshake, addresses: SocketAddresses) -> dict[str, Any]:
        """Return the ASGI scope of an opening handshake, with the values uvicorn would give."""
        root_path = self.config.root_path
        path, _, query = opening.target.partition(b"?")
        state = self.app_state.copy()
        state.pop(STATE_KEY, None)  # is for the server: it would be kept with each socket
        return {
            "type": "websocket",
            "asgi": {"version": self.config.asgi_version, "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "wss" if addresses.is_secure else "ws",
            "server": addresses.server,
            "client": addresses.client,
            "root_path": root_path,
            "path": root_path + unquote(path.decode("ascii")),
            "raw_path": root_path.encode("ascii") + path,
            "query_string": query,
            "headers": opening.headers,
            "subprotocols": opening.subprotocols,
            "state": state,
            "extensions": {"websocket.http.response": {}},
        }


_shared_states: weakref.WeakKeyDictionary[ServerState, SharedState] = weakref.WeakKeyDictionary()


def shared_state_of(
    kind: type[TimedSocket], config: Config, server_state: ServerState, app_state: dict[str, Any]
) -> SharedState:
    """Return a server's state, made for its first socket: uvicorn has no hook per server."""
    shared = _shared_states.get(server_state)
    if shared is None:
        shared = _shared_states[server_state] = SharedState(kind, config, server_state, app_state)
    return shared
