"""Runs the application on uvicorn, with settings that fit live channels."""

import asyncio
import contextlib
import logging
import math
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from types import FrameType
from typing import Any, Final, NamedTuple

import uvicorn
from typing_extensions import override
from uvicorn.importer import ImportFromStringError, import_from_string

from itemwire.assembly import running_assemblies
from itemwire.channels.node import Node
from itemwire.fastpath.trial import fastpath_problem
from itemwire.main import create_app
from itemwire.middleware.startup_errors import IS_UNFIT
from itemwire.observability.logs import configure_logs
from itemwire.serving.collector import calm_collector
from itemwire.serving.forwarded_client import ServerConfig
from itemwire.serving.listening import BACKLOG, bind, file_removed, url_of
from itemwire.serving.readiness import READY, STOPPING, notify
from itemwire.serving.signals import drain_at_more_signals, ignore_signals, may_end_at_once
from itemwire.serving.streams import drop_what_cannot_be_written
from itemwire.settings import Settings
from itemwire_auth.forwarded import TrustedProxies

logger = logging.getLogger("itemwire.fastpath")

UNFIT: Final = 78  # EX_CONFIG of sysexits.h, as for a wrong setting

STARTUP_FAILURE: Final = 3  # the status with which uvicorn ends if its application does not start

ANSWER_SECONDS: Final = 1.0  # for clients to answer a close frame before the port is closed
POLL_SECONDS: Final = 0.05


class Protocols(NamedTuple):
    """uvicorn's `http` and `ws` options: import strings, or names that uvicorn defines."""

    http: str
    ws: str


FASTPATH: Final = Protocols(
    http="itemwire.fastpath.http:HttpProtocol", ws="itemwire.fastpath.protocol:WebSocketProtocol"
)

UVICORNS_OWN: Final = Protocols(http="auto", ws="auto")


def fitting_protocols() -> Protocols:
    """Return the fast path, or uvicorn's own classes where it does not fit this uvicorn.

    The log says so then. With those classes the application serves through ASGI alone.
    """
    problem = fastpath_problem()
    if problem is None:
        return FASTPATH
    logger.warning(
        "fastpath_off uvicorn=%s websockets=%s problem=%s",
        uvicorn.__version__,
        version("websockets"),
        problem,
    )
    return UVICORNS_OWN


class DrainingServer(uvicorn.Server):
    """Drains the nodes of its application when a signal comes, then ends with status 0.

    A second signal kills it. `on_serving` is called as soon as the application has started.
    """

    on_serving: Callable[[], object] | None = None

    @override
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop. uvicorn's own method would raise the signal again at the end."""
        if self.should_exit and may_end_at_once(sig):
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)
        self.should_exit = True

    @override
    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal comes, or exit with a status if the application does not start."""
        drain_at_more_signals(self.handle_exit)
        super().run(sockets)
        if not self.started:  # older versions of uvicorn just return
            sys.exit(STARTUP_FAILURE)

    @override
    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve; an engine that no restart makes fit ends the process as a wrong setting does."""
        try:
            await super().serve(sockets)
        finally:
            if not self.started and getattr(self.lifespan, "state", {}).get(IS_UNFIT):
                sys.exit(UNFIT)

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, and say so: it has its engine, and has asked for its keys."""
        await super().startup(sockets)
        if self.started and self.on_serving is not None:
            self.on_serving()

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the sockets in batches, then all that is left, within the graceful timeout.

        The port stays open during the batches: new clients are told to connect to another node.
        """
        clock = asyncio.get_running_loop()
        limit = self.config.timeout_graceful_shutdown or 0
        deadline = clock.time() + limit
        nodes = [one.node for one in running_assemblies()]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await self._drained(nodes, limit)
        # uvicorn waits for open connections; it gets the time that is left.
        self.config.timeout_graceful_shutdown = math.ceil(max(deadline - clock.time(), 0))
        await super().shutdown(sockets)

    async def _drained(self, nodes: Sequence[Node], limit: float) -> None:
        """Wait until all sockets have a close frame, then briefly for clients to answer it."""
        ended = [asyncio.Event() for _ in nodes]
        for node, event in zip(nodes, ended, strict=True):
            node.drain(min(node.drain_seconds, limit / 2), event.set)
        for event in ended:
            await event.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                while self._has_sockets:  # noqa: ASYNC110 - uvicorn has no event for it
                    await asyncio.sleep(POLL_SECONDS)

    @property
    def _has_sockets(self) -> bool:
        kind = self.config.ws_protocol_class
        return kind is not None and any(
            isinstance(one, kind) for one in self.server_state.connections
        )


class SingleServer(DrainingServer):
    """The only process of a server, which tells its supervisor when it stops."""

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, after the supervisor was told."""
        notify(STOPPING)
        await super().shutdown(sockets)


def server_of(
    settings: Settings,
    protocols: Protocols | None = None,
    kind: type[DrainingServer] = DrainingServer,
    host: str | None = None,
) -> DrainingServer:
    """Return the uvicorn server, not yet listening, of `create_app` or of a host application.

    `host` says where that one is, as in `package.main:app`. The protocol classes are those of the
    fast path where it fits.

    Raises `ValueError` if the application refuses to run with these settings, or is not there.
    """
    protocols = protocols or fitting_protocols()
    app = create_app(settings) if host is None else _imported(host)
    server = kind(
        ServerConfig(
            app,
            TrustedProxies(settings.trusted_proxies),
            http=protocols.http,
            ws=protocols.ws,
            ws_max_size=settings.max_message_bytes,
            ws_ping_interval=settings.ping_interval,
            ws_ping_timeout=settings.ping_timeout,
            ws_per_message_deflate=settings.compression,
            timeout_graceful_shutdown=settings.graceful_timeout,
            backlog=BACKLOG,
            server_header=False,
            access_log=False,
            log_config=None,
        )
    )
    if host is not None:
        _load(server.config, host, app)
    return server


def _imported(host: str) -> Any:  # noqa: ANN401 - any ASGI application
    """Return the application that a module names; raises ValueError if it names none.

    What its code raises beside that ends the process as an application that does not start: a
    server that it needs may be away. The traceback is for who wrote it.
    """
    try:
        found = import_from_string(host)
    except ImportFromStringError as error:
        raise ValueError(str(error)) from error
    except ValueError:  # of settings, its own or those of the channels
        raise
    except Exception:
        logging.getLogger("uvicorn.error").exception("%s cannot be imported", host)
        sys.exit(STARTUP_FAILURE)
    if not callable(found):
        raise _no_application(host, found)
    return found


def _load(config: uvicorn.Config, host: str, app: object) -> None:
    """Load a host application, or raise ValueError if ASGI cannot serve it.

    uvicorn would say that it serves, and answer each request with 500.
    """
    config.load()
    if config.interface != "asgi3":
        raise _no_application(host, app)


def _no_application(host: str, found: object) -> ValueError:
    return ValueError(
        f"{host} is no ASGI application, but of type {type(found).__name__}: name the FastAPI "
        "application that includes the channels, or a function without arguments that makes it"
    )


def serve(settings: Settings, announce: Callable[[str], None], host: str | None = None) -> None:
    """Serve until a signal comes; `announce` is called with the URL once it is served."""
    prepare_process(settings)
    server = server_of(settings, kind=SingleServer, host=host)
    listener = bind(settings)
    server.on_serving = lambda: say_ready(announce, url_of(listener))
    calm_collector()
    with file_removed(settings):
        server.run(sockets=[listener])


def prepare_process(settings: Settings) -> None:
    """Set up what belongs to the process: its streams, its log and its signals."""
    drop_what_cannot_be_written()
    configure_logs(settings.log_level, settings.log_format)
    ignore_signals()


def say_ready(announce: Callable[[str], None], url: str) -> None:
    """Tell whoever waits for it, people and supervisors, that a URL is served."""
    announce(url)
    notify(READY)
