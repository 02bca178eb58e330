"""The open sockets of an application without channels, and what ends each of them."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Generator
from typing import Final

from starlette.websockets import WebSocket

from itemwire_auth.authenticator import Authenticator
from itemwire_auth.closing import DRAINING, TOKEN_EXPIRED, TOKEN_REVOKED, Close
from itemwire_auth.errors import AuthError, GoingAway, RevokedToken
from itemwire_auth.handled_socket import HandledSocket
from itemwire_auth.principal import Principal
from itemwire_auth.revocation import Revocation
from itemwire_auth.stopping import before_shutdown

logger = logging.getLogger("itemwire.auth")

LOOK_SECONDS: Final = 1.0
TELL_SECONDS: Final = 1.0  # in which clients answer the close of a server that stops
AT_ONCE: Final = 500  # sockets that are looked at without a pause

NOT_RUNNING: Final = (
    "the application does not run: start it with its lifespan (in tests, `with TestClient(app)`), "
    "and where another one mounts it, enter its lifespan in that of the outer one"
)


class OpenSockets:
    """The sockets that handlers have accepted, and what ends them.

    Once a second it is looked whose token has expired or was revoked. A server of uvicorn's that
    shuts down, or a call of `drain`, ends all of them.
    """

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._open: dict[HandledSocket, Principal] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_draining = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """End sockets when it is time, until the application stops."""
        self._loop, self._is_draining = asyncio.get_running_loop(), False
        looking = asyncio.create_task(self._keep_looking())
        try:
            with before_shutdown(self.drain):
                yield
        finally:
            looking.cancel()
            await asyncio.wait([looking])
            await self.drain()
            self._loop = None

    def check(self, principal: Principal) -> None:
        """Accept a caller whose socket is to be accepted now, or raise an AuthError.

        Raises RuntimeError while the application does not run, because nothing would end it.
        """
        self.check_running()
        if self._is_draining:
            raise GoingAway("the server is going away")
        self._authenticator.check_still_valid(principal)

    def check_running(self) -> None:
        """Raise RuntimeError on another event loop than that of the running application."""
        if self._loop is not asyncio.get_running_loop():
            raise RuntimeError(NOT_RUNNING)

    @contextlib.contextmanager
    def holding(self, websocket: WebSocket, principal: Principal) -> Generator[HandledSocket]:
        """Look after an accepted socket while its handler is in its block."""
        handled = HandledSocket(websocket)
        self._open[handled] = principal
        try:
            if self._is_draining:  # since it was checked
                handled.end(DRAINING)
            yield handled
        finally:
            del self._open[handled]

    def revoke(self, revocation: Revocation) -> int:
        """Refuse what a revocation covers, and end its sockets; return how many those are.

        Raises RuntimeError if as many as can be remembered are revoked.
        """
        if not self._authenticator.revocations.add(revocation):
            raise RuntimeError("too many revocations are in force: nothing was revoked")
        ended = [one for one, who in self._open.items() if one.is_open and revocation.covers(who)]
        for handled in ended:
            handled.end(TOKEN_REVOKED)
        logger.info("revoked_by_code revocation=%r closed=%d", revocation, len(ended))
        return len(ended)

    async def drain(self) -> None:
        """Take no more sockets, end all that are open, and wait a second for their clients."""
        self._is_draining = True
        for handled in list(self._open):
            if handled.is_open:
                handled.end(DRAINING)
        told = [handled.closing for handled in self._open if handled.closing is not None]
        if told:
            await asyncio.wait(told, timeout=TELL_SECONDS)

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self._look()
            except Exception:
                # The loop must survive: without further looks no socket would ever end.
                logger.exception("look_failed")

    async def _look(self) -> None:
        for number, (handled, principal) in enumerate(list(self._open.items()), 1):
            close = self._end_of(principal)
            if close is not None and handled.is_open:
                handled.end(close)
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)

    def _end_of(self, principal: Principal) -> Close | None:
        """Return why the socket of a caller is to end; None while it may stay."""
        try:
            self._authenticator.check_still_valid(principal)
        except RevokedToken:
            return TOKEN_REVOKED
        except AuthError:
            return TOKEN_EXPIRED
        return None
