"""Runs the application on uvicorn, with limits that fit live channels."""

import asyncio
import contextlib
import gc
import math
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Final, NamedTuple, cast

import uvicorn
from fastapi import FastAPI
from typing_extensions import override

from itemwire.channels.node import Node
from itemwire.main import create_app
from itemwire.observability.logs import configure_logs
from itemwire.settings import Settings
from itemwire_auth.addresses import with_mapped_forms

COLLECTOR_THRESHOLDS: Final = (20_000, 50, 100)

BACKLOG: Final = 4096  # a crowd that reconnects at once waits here, not in the clients' retries


ANSWER_SECONDS: Final = 1.0  # that peers have to answer a close before the port is closed
POLL_SECONDS: Final = 0.05


class Protocols(NamedTuple):
    """What uvicorn speaks HTTP and WebSocket with: import strings, or words of its own."""

    http: str
    ws: str


FASTPATH: Final = Protocols(
    http="itemwire.fastpath.http:HttpProtocol", ws="itemwire.fastpath.protocol:WebSocketProtocol"
)


class Server(uvicorn.Server):
    """Drains its node before it stops, and then ends with status 0; a second signal kills it."""

    @override
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; uvicorn's own would have the process die of the signal in the end."""
        if self.should_exit:
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)
        self.should_exit = True

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the sockets in batches, then what is left; all within the graceful timeout.

        The port stays open for the batches, so that who comes meanwhile is told to go elsewhere.
        """
        clock = asyncio.get_running_loop()
        limit = self.config.timeout_graceful_shutdown or 0
        deadline = clock.time() + limit
        node: Node = cast("FastAPI", self.config.app).state.node
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await self._drained(node, limit)
        # Ours may still be waiting for its peer's answer: it half-closes; uvicorn's just closes.
        self.config.timeout_graceful_shutdown = math.ceil(max(deadline - clock.time(), 0))
        await super().shutdown(sockets)

    async def _drained(self, node: Node, limit: float) -> None:
        """Wait until all sockets have been told, and a little for those that are polite."""
        ended = asyncio.Event()
        node.drain(min(node.drain_seconds, limit / 2), ended.set)
        await ended.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                while self._has_sockets:  # noqa: ASYNC110 - uvicorn tells of none that goes
                    await asyncio.sleep(POLL_SECONDS)

    @property
    def _has_sockets(self) -> bool:
        kind = self.config.ws_protocol_class
        return kind is not None and any(
            isinstance(one, kind) for one in self.server_state.connections
        )


def bind(settings: Settings) -> socket.socket:
    """Listen on the configured address; OSError says why not.

    A peer that takes none of what was sent to it for as long as an unanswered ping may take is
    dropped by the kernel (RFC 5482): a close would wait behind the unread bytes for ever.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        patience_ms = int((settings.ping_interval + settings.ping_timeout) * 1000)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience_ms)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(BACKLOG)  # who comes before the application is up waits
    except OSError:
        listener.close()
        raise
    return listener


def url_of(listener: socket.socket, scheme: str = "http") -> str:
    """Give the URL a listener is reached at from this machine."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def server_of(
    settings: Settings, protocols: Protocols = FASTPATH, kind: type[Server] = Server
) -> Server:
    """Make the uvicorn server; the application is checked here, before anything listens."""
    app = create_app(settings)
    return kind(
        uvicorn.Config(
            app,
            http=protocols.http,
            ws=protocols.ws,
            ws_max_size=settings.max_message_bytes,
            ws_ping_interval=settings.ping_interval,
            ws_ping_timeout=settings.ping_timeout,
            ws_per_message_deflate=settings.compression,
            timeout_graceful_shutdown=settings.graceful_timeout,
            backlog=BACKLOG,
            forwarded_allow_ips=with_mapped_forms(settings.trusted_proxies),
            server_header=False,
            access_log=False,
            log_config=None,
        )
    )


def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve until stopped by a signal; `announce` gets the URL once the port is taken."""
    configure_logs(settings.log_level, settings.log_format)
    server = server_of(settings)
    listener = bind(settings)
    announce(url_of(listener))
    calm_collector()
    server.run(sockets=[listener])


def calm_collector() -> None:
    """Let the garbage collector leave alone what start-up made, and come less often.

    Each handshake makes thousands of short-lived objects, so by default a full collection walks
    all modules and all sockets every few hundred handshakes. Measured at 1000 connects: 1000/s with
    a 95th percentile of 300 ms without this, 1600/s with 45 ms with it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)
