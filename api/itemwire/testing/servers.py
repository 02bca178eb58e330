"""A real server for tests: this application, or any, on a port of its own."""

import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import uvicorn
from typing_extensions import override
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from itemwire.serving.server import FASTPATH, Protocols, bind, server_of, url_of
from itemwire.settings import Settings
from itemwire.testing.clients import WAIT_SECONDS, AsyncChannelClient, ChannelClient
from itemwire.testing.refusals import Ended, Refusal, refusal_of
from itemwire_auth.testing import TokenFactory

STOCK: Final = Protocols(http="httptools", ws="websockets-sansio")

JSON: Final = "itemwire.v1.json"

Headers = dict[str, str]


class LiveServer:
    """A running server, and clients for it."""

    def __init__(self, url: str, server: uvicorn.Server) -> None:
        self.url = url
        self.server = server

    def socket_url(self, path: str) -> str:
        """Give the WebSocket URL of a path."""
        return self.url.replace("http", "ws", 1) + path

    def connect(
        self,
        path: str,
        *,
        headers: Headers | None = None,
        subprotocols: tuple[str, ...] = (),
    ) -> ClientConnection:
        """Open a socket, as a client that is no browser."""
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
    ) -> Iterator[ChannelClient]:
        """Open a socket with a client whose every wait has an end; `Ended` if it is denied."""
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
    ) -> AsyncIterator[AsyncChannelClient]:
        """Do the same on asyncio."""
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
        """Open a socket that must be refused, and tell how.

        AssertionError if it is accepted and something comes, TimeoutError if nothing does.
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
def live_server(settings: Settings, server: uvicorn.Server | None = None) -> Iterator[LiveServer]:
    """Run a server in a thread on a free port, Itemwire's own unless another is given."""
    server = server or server_of(settings)
    listener = bind(settings.model_copy(update={"port": 0}))
    url = url_of(listener)  # now, for the server closes what it could not start on
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield LiveServer(url, server)
    finally:
        server.should_exit = True
        thread.join(WAIT_SECONDS)


@contextmanager
def live_application(
    app: Any,  # noqa: ANN401 - any ASGI application; frameworks type theirs in their own ways
    *,
    protocols: Protocols = FASTPATH,
    **options: Any,  # noqa: ANN401 - uvicorn's, each with a type of its own
) -> Iterator[LiveServer]:
    """Run any ASGI application in a thread on a free port, with Itemwire's protocol classes.

    `protocols=STOCK` takes uvicorn's own. Further options are those of `uvicorn.Config`.
    RuntimeError says that the application did not start.
    """
    defaults = {"log_config": None, "access_log": False, "timeout_graceful_shutdown": 1}
    config = uvicorn.Config(app, http=protocols.http, ws=protocols.ws, **(defaults | options))
    server = _Server(config)
    # Constructed, not read: the environment of whoever runs the tests has no say.
    with live_server(Settings.model_construct(), server) as live:
        server.up.wait(WAIT_SECONDS)
        if not server.started:
            raise RuntimeError("the application did not start; what it logged says why")
        yield live


class _Server(uvicorn.Server):
    """Tells when the application has started, or failed to."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()

    @override
    def run(self, sockets: Any = None) -> None:
        try:
            with contextlib.suppress(SystemExit):  # how uvicorn says that start-up failed
                super().run(sockets)
        finally:
            self.up.set()
            for listener in sockets or ():
                listener.close()  # also where start-up failed before uvicorn would

    @override
    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.up.set()


def settings_for(tokens: TokenFactory, **changes: Any) -> Settings:  # noqa: ANN401 - settings
    """Make settings that take the tokens of a factory with an HS256 key, and no others."""
    if not isinstance(tokens.key.key, bytes):
        raise TypeError("a pair of keys goes into a keys file: pass keys_file=")
    if tokens.key.algorithm != "HS256" or tokens.key.kid is not None:
        raise TypeError("a secret is an HS256 key without kid: for another, pass keys_file=")
    try:
        secret = tokens.key.key.decode()
    except UnicodeDecodeError:
        # Without the cause, which shows the key.
        raise TypeError("the key is no text: make it by signing_key_from_secret") from None
    own = {
        "secret": secret,
        "issuer": tokens.issuer,
        "audience": (tokens.audience,),
        "token_types": (tokens.token_type,),
    }
    return Settings(_env_file=None, **(own | changes))
