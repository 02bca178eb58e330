"""A real server for tests: Itemwire, or any ASGI application, on a free port."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import uvicorn
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from itemwire.application import ChannelApplication
from itemwire.placement import mounted_in
from itemwire.serving.listening import bind, url_of
from itemwire.serving.server import Protocols, fitting_protocols, server_of
from itemwire.settings import Settings
from itemwire.testing.clients import WAIT_SECONDS, AsyncChannelClient, ChannelClient
from itemwire.testing.refusals import Ended, Refusal, refusal_of
from itemwire_auth.testing import TokenFactory

# Those of `uvicorn package:app`, which know nothing of ours: sessions run over ASGI alone.
STOCK: Final = Protocols(http="httptools", ws="auto")

JSON: Final = "itemwire.v1.json"

TICK_SECONDS: Final = 0.1  # of uvicorn, which looks this often whether it is to end

Headers = dict[str, str]


class LiveServer:
    """A running server, with methods that open clients of it."""

    def __init__(self, url: str, server: uvicorn.Server) -> None:
        self.url = url
        self.server = server

    def socket_url(self, path: str) -> str:
        """Return the WebSocket URL of a path."""
        return self.url.replace("http", "ws", 1) + path

    def connect(
        self,
        path: str,
        *,
        headers: Headers | None = None,
        subprotocols: tuple[str, ...] = (),
    ) -> ClientConnection:
        """Open a socket without the headers of a browser; `InvalidStatus` if it is refused."""
        return connect(
            self.socket_url(path),
            additional_headers=headers,
            subprotocols=[Subprotocol(name) for name in subprotocols] or None,
            open_timeout=WAIT_SECONDS,
            max_size=None,
            proxy=None,
            compression=None,
        )

    @contextmanager
    def client(
        self,
        path: str,
        *,
        headers: Headers | None = None,
        subprotocols: tuple[str, ...] = (JSON,),
    ) -> Generator[ChannelClient]:
        """Open a socket and yield its client; raises `Ended` if the handshake is refused."""
        try:
            connection = self.connect(path, headers=headers, subprotocols=subprotocols)
        except InvalidStatus as error:
            raise Ended(_denial(error)) from error
        with connection:
            unanswered = bool(subprotocols and not connection.subprotocol)
            yield ChannelClient(connection, unanswered=unanswered)

    @asynccontextmanager
    async def async_client(
        self,
        path: str,
        *,
        headers: Headers | None = None,
        subprotocols: tuple[str, ...] = (JSON,),
    ) -> AsyncGenerator[AsyncChannelClient]:
        """Open a socket and yield its asyncio client; raises `Ended` if it is refused."""
        opening = connect_async(
            self.socket_url(path),
            additional_headers=headers,
            subprotocols=[Subprotocol(name) for name in subprotocols] or None,
            open_timeout=WAIT_SECONDS,
            max_size=None,
            proxy=None,
            compression=None,
        )
        try:
            connection = await opening
        except InvalidStatus as error:
            raise Ended(_denial(error)) from error
        async with connection:
            unanswered = bool(subprotocols and not connection.subprotocol)
            yield AsyncChannelClient(connection, unanswered=unanswered)

    def refusal(
        self,
        path: str,
        *,
        headers: Headers | None = None,
        subprotocols: tuple[str, ...] = (),
    ) -> Refusal:
        """Open a socket that the server must refuse, and return the refusal.

        Raises `AssertionError` if the server accepts and sends a frame, `TimeoutError` if it
        accepts and sends nothing.
        """
        unanswered = False
        try:
            with self.connect(path, headers=headers, subprotocols=subprotocols) as connection:
                unanswered = bool(subprotocols and not connection.subprotocol)
                frame = connection.recv(timeout=WAIT_SECONDS)
        except InvalidStatus as error:
            return _denial(error)
        except ConnectionClosed as error:
            return refusal_of(error, unanswered=unanswered)
        raise AssertionError(f"not refused: received {frame!r}")


def _denial(error: InvalidStatus) -> Refusal:
    return Refusal(error.response.status_code, body=bytes(error.response.body or b""))


@contextmanager
def live_server(settings: Settings, server: uvicorn.Server | None = None) -> Generator[LiveServer]:
    """Run a server in a thread on a free port: Itemwire's, unless another is given.

    It has started when it is given. Raises `RuntimeError` if it does not start.
    """
    server = server or server_of(settings)
    listener = bind(settings.model_copy(update={"port": 0}))
    url = url_of(listener)  # before the start: a server that cannot start closes its listener
    up = threading.Event()
    end = end_at_once(server)
    thread = threading.Thread(target=_run, args=(server, listener, up), daemon=True)
    thread.start()
    try:
        # Two that start at once disturb each other: Python's filters of warnings belong to all
        # threads, and FastAPI changes them for a moment with each field of a route.
        up.wait(WAIT_SECONDS)
        if up.is_set() and not server.started:
            raise RuntimeError("the application did not start; see its log for the cause")
        yield LiveServer(url, server)
    finally:
        end()
        thread.join(WAIT_SECONDS)


def end_at_once(server: uvicorn.Server) -> Callable[[], None]:
    """Return what ends a server that is not yet started: at once, not with its next tick.

    Any thread may call it. A test run stops hundreds of servers.
    """
    is_ending = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def main_loop() -> None:
        loops.append(asyncio.get_running_loop())
        ticks = 0
        while not await server.on_tick(ticks):
            ticks += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await is_ending.wait()

    def end() -> None:
        server.should_exit = True
        for loop in loops:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                loop.call_soon_threadsafe(is_ending.set)

    server.main_loop = main_loop  # type: ignore[method-assign] # of any kind of server
    return end


def _run(server: uvicorn.Server, listener: socket.socket, up: threading.Event) -> None:
    """Serve until the server is told to end; set an event once it serves, or will never do so."""
    start = server.startup

    async def startup(sockets: list[socket.socket] | None = None) -> None:
        await start(sockets)
        up.set()

    server.startup = startup  # type: ignore[method-assign] # of any kind of server
    try:
        with contextlib.suppress(SystemExit):  # uvicorn raises it if start-up fails
            server.run(sockets=[listener])
    finally:
        listener.close()  # uvicorn does not close it if start-up fails early
        up.set()


@contextmanager
def live_application(
    app: Any,  # noqa: ANN401 - any ASGI application; each framework has its own type
    *,
    protocols: Protocols | None = None,
    **options: Any,  # noqa: ANN401 - uvicorn's options, of many types
) -> Generator[LiveServer]:
    """Run any ASGI application in a thread on a free port, with the protocol classes it has.

    Those are Itemwire's where it has channels, as under `itemwire serve`, and uvicorn's own for any
    other application; `protocols=FASTPATH` or `STOCK` decides otherwise. Further options are those
    of `uvicorn.Config`. Raises `RuntimeError` if the application does not start.
    """
    protocols = protocols or (fitting_protocols() if _has_channels(app) else STOCK)
    defaults = {"log_config": None, "access_log": False, "timeout_graceful_shutdown": 1}
    merged: dict[str, Any] = {**defaults, **options}
    config = uvicorn.Config(app, http=protocols.http, ws=protocols.ws, **merged)
    # `model_construct` reads no environment variables: those of the test run have no effect.
    with live_server(Settings.model_construct(), uvicorn.Server(config)) as live:
        yield live


def _has_channels(app: Any) -> bool:  # noqa: ANN401 - any ASGI application
    """Return whether an application is Itemwire's, or has channels among its routes."""
    parts = (app, *mounted_in(getattr(app, "routes", ())))
    return any(isinstance(part, ChannelApplication) for part in parts)


def settings_for(tokens: TokenFactory, **changes: Any) -> Settings:  # noqa: ANN401 - settings
    """Return settings that accept the tokens of a factory with an HS256 key, and no others.

    `changes` are further settings by name. No environment variable or `.env` file is read.
    Raises `TypeError` for any other kind of key.
    """
    if not isinstance(tokens.key.key, bytes):
        raise TypeError("a key pair cannot be the secret: write it to a file, pass keys_file=")
    if tokens.key.algorithm != "HS256" or tokens.key.kid is not None:
        raise TypeError("the secret is an HS256 key without kid: for others, pass keys_file=")
    try:
        secret = tokens.key.key.decode()
    except UnicodeDecodeError:
        # Not chained: the cause would show the key.
        raise TypeError("the key is not UTF-8 text: use signing_key_from_secret") from None
    values: dict[str, Any] = {
        "_env_file": None,
        "secret": secret,
        "issuer": tokens.issuer,
        "audience": tokens.rules.audience,
        "token_types": tokens.rules.types,
    }
    return Settings(**(values | changes))
