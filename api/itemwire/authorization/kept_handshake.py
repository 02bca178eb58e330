"""What is kept of a handshake, so that its route's dependencies can be asked again."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from fastapi import WebSocket
from starlette.types import Message, Scope

from itemwire.authorization.inputs import (
    NO_INPUTS,
    Inputs,
    Presented,
    pack,
    subprotocols_of,
    unpack,
)
from itemwire.authorization.routes import SocketRoute
from itemwire.close_reasons import QUERY_INVALID
from itemwire.counters import ChannelCounters
from itemwire_auth.authenticator import IDENTITY
from itemwire_auth.dependencies import VERIFIED
from itemwire_auth.principal import Principal

logger = logging.getLogger("itemwire.refusals")


class KeptInputs:
    """What is kept of one handshake's query and headers; its size is counted while it lives."""

    __slots__ = ("_counters", "packed")

    def __init__(self, packed: bytes, counters: ChannelCounters) -> None:
        self.packed = packed
        self._counters = counters
        counters.kept_handshake_bytes += len(packed)

    def __del__(self) -> None:
        """Count it out: the socket that it belonged to is gone, or was refreshed."""
        self._counters.kept_handshake_bytes -= len(self.packed)


@dataclass(frozen=True, slots=True)
class KeptHandshake:
    """What is kept of a handshake to ask its route's dependencies again.

    `inputs` is what may be read of it; it is empty where that would be over the bound.
    """

    path: str
    root_path: str
    client: object
    state: Mapping[str, object] | None
    inputs: Inputs = NO_INPUTS
    kept: KeptInputs | None = None

    @classmethod
    def of(
        cls,
        scope: Scope,
        inputs: Inputs,
        counters: ChannelCounters,
        *,
        without_credential: str | None = None,
    ) -> KeptHandshake:
        """Keep where a handshake came from and went to, and what dependencies may read of it.

        `without_credential` leaves out the credential; it is the name of the session cookie.
        """
        state = scope.get("state") or None
        place = cls(scope["path"], scope.get("root_path", ""), scope.get("client"), state)
        if inputs.is_empty:
            return place
        presented = Presented.of(scope, inputs)
        if without_credential is not None:
            presented = presented.with_token("", without_credential)
        return place.keeping(presented, inputs, counters)

    def keeping(
        self, presented: Presented, inputs: Inputs, counters: ChannelCounters
    ) -> KeptHandshake:
        """Return the same handshake with another query and headers, if they are not too large."""
        packed = pack(presented)
        if packed is None:
            return replace(self, inputs=NO_INPUTS, kept=None)
        return replace(self, inputs=inputs, kept=KeptInputs(packed, counters))

    @property
    def presented(self) -> Presented:
        """Return the query and the headers, as far as they are kept."""
        return Presented(b"", []) if self.kept is None else unpack(self.kept.packed)

    def to(
        self, route: SocketRoute, presented: Presented | None = None, *, more: Mapping[str, object]
    ) -> WebSocket:
        """Make a socket to ask a route's dependencies about; `more` is added to its scope."""
        presented = presented or self.presented
        scope: Scope = {
            "type": "websocket",
            "scheme": "ws",
            "path": self.path,
            "root_path": self.root_path,
            "query_string": presented.query,
            "headers": presented.headers,
            "subprotocols": subprotocols_of(presented.headers),
            "client": self.client,
            "server": None,
            "state": dict(self.state or {}),
            **route.application.scope_parts,
            **more,
        }
        scope.update(route.matches(scope)[1])
        return WebSocket(scope, receive=_no_request, send=_no_answer)

    def of_caller(self, principal: Principal, route: SocketRoute) -> WebSocket | None:
        """Make a socket of a verified caller; None if too little is kept for the dependencies."""
        if not self.has_all_for(route):
            return None
        return self.to(route, more={VERIFIED: principal, IDENTITY: principal.identity})

    def has_all_for(self, *routes: SocketRoute) -> bool:
        """Return whether it holds all that the dependencies of these routes may read now."""
        if all(self.inputs.covers(route.inputs) for route in routes):
            return True
        logger.warning("refresh_refused reason=%r path=%r", QUERY_INVALID.reason, self.path)
        return False


async def _no_request() -> Message:
    raise RuntimeError("the handshake is over: a dependency that is asked again cannot read")


async def _no_answer(_message: Message) -> None:
    raise RuntimeError("the handshake is over: a dependency that is asked again cannot send")
