"""An application whose dependencies are asked again, without a server."""

import asyncio
from typing import NoReturn

from fastapi import APIRouter, WebSocket
from starlette.types import Scope

from itemwire.application import ChannelApplication
from itemwire.authorization.reauthorization import (
    Reauthorization,
    Reauthorizer,
    reauthorization_of,
)
from itemwire.authorization.routes import SocketRoute, add_sockets
from itemwire.channels.reauthorization import Offered, Verdict
from itemwire.dependencies import SubscribeGrant
from itemwire_auth.authenticator import Authenticator
from itemwire_auth.dependencies import SHORT_CUTS
from itemwire_auth.origins import OriginPolicy
from itemwire_auth.state import install_state
from itemwire_auth.testing import TokenFactory, signing_key
from tests.auth.conftest import NOW, verifier_of

FACTORY = TokenFactory(signing_key("HS256"), clock=lambda: NOW)


router = APIRouter()


@router.websocket("/items/{item_id}/ws")
async def item(websocket: WebSocket, grant: SubscribeGrant) -> None:
    """Do nothing: only what it depends on is asked."""


@router.websocket("/free/ws")
async def free(websocket: WebSocket) -> None:
    """Ask for no grant."""


class Application:
    """An application with these routes, and what it keeps of a socket."""

    def __init__(self) -> None:
        self.app = ChannelApplication()
        self.reauthorizer = Reauthorizer(keeps_credentials=False)
        install_state(self.app, Authenticator(verifier_of(FACTORY), OriginPolicy([])))
        add_sockets(self.app, router, SHORT_CUTS)

    def connected(self, path: str = "/items/42/ws", **facts: object) -> Reauthorization:
        """Keep of a handshake what is kept of it."""
        scope: Scope = {
            "type": "websocket",
            "path": path,
            **self.app.scope_parts,
            "headers": [],
            **facts,
        }
        for route in self.app.routes:
            if isinstance(route, SocketRoute):
                scope.update(route.matches(scope)[1])
        kept = reauthorization_of(WebSocket(scope, receive=never, send=never), self.reauthorizer)
        assert kept is not None
        return kept

    def verdict(self, offered: Offered, path: str = "/items/42/ws", **facts: object) -> Verdict:
        """Refresh with a token, or ask again about a caller; see that nothing runs on."""
        return self.verdict_of(self.connected(path, **facts), offered)

    def verdict_of(self, kept: Reauthorization, offered: Offered) -> Verdict:
        """Do so by what was kept of an earlier handshake."""

        async def scene() -> Verdict:
            answered: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
            async with self.reauthorizer:
                kept(offered, answered.set_result)
                verdict = await asyncio.wait_for(answered, 5)
            assert len(asyncio.all_tasks()) == 1
            return verdict

        return asyncio.run(scene())


async def never(*_: object) -> NoReturn:
    """Fail: nothing is read from a socket or written to it."""
    raise AssertionError("nobody reads or writes here")
