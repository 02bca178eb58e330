"""What requests of clients have in common: a `ref`, an item, and how they are refused."""

import logging
from typing import Annotated, ClassVar

import msgspec
from msgspec import UNSET, UnsetType

from itemwire.channels.connection import Connection, Subscription
from itemwire.channels.delivery.in_flight import TooManyInFlight
from itemwire.channels.limits.item_rules import MessageRefused
from itemwire.channels.limits.requests import PastRate, RequestKind
from itemwire.channels.sessions.context import Context
from itemwire.close_reasons import SCOPE_MISSING, CloseReason
from itemwire.engines.base import EngineError
from itemwire.messages import Error, Ref
from itemwire_auth.scopes import Action

logger = logging.getLogger("itemwire.channels")

Offset = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class ClientRequest(msgspec.Struct, frozen=True, tag_field="type", forbid_unknown_fields=True):
    """What every request may have: a `ref` that comes back in the answer."""

    kind: ClassVar[RequestKind] = RequestKind.OTHER

    ref: Ref | UnsetType = UNSET
    item: str | UnsetType = UNSET  # for sockets with many items; a socket of one ignores it

    def deny(
        self,
        context: Context,
        code: str,
        detail: str,
        *,
        temporary: bool = False,
        retry: str | UnsetType = UNSET,
    ) -> None:
        """Send the client the error for a request that is refused."""
        error = Error(code, temporary=temporary, detail=detail, ref=self.ref, retry=retry)
        context.connection.send(error)

    def refuse(self, context: Context, reason: CloseReason) -> None:
        """Send the client the error for a request that the application has refused."""
        error = Error(
            reason.reason,
            temporary=reason.is_temporary,
            detail=reason.meaning,
            ref=self.ref,
            retry=reason.retry,
        )
        context.connection.send(error)


class ItemRequest(ClientRequest, frozen=True):
    """A request about an item whose channel the client is on."""

    def not_joined(self, context: Context) -> None:
        """Send the client the error for an item that it has not joined."""
        if self.item is UNSET:
            self.deny(context, "payload_invalid", "Say which `item` this is about.")
        else:
            self.deny(context, "not_joined", "Join the item first.")

    def permitted(
        self, context: Context, subscription: Subscription | None, action: Action
    ) -> Subscription | None:
        """Return the subscription if its client may do this; else None, and the client is told."""
        if subscription is None:
            self.not_joined(context)
            return None
        if action in subscription.can:
            return subscription
        logger.warning(
            "denied connection=%s channel=%s action=%s reason=%s",
            context.connection.id,
            subscription.channel,
            action,
            SCOPE_MISSING.reason,
        )
        self.deny(context, SCOPE_MISSING.reason, f"This needs the right to {action} on this item.")
        return None

    def failed(self, context: Context, problem: EngineError) -> None:
        """Send the client the error for a failure of the engine; the log has the reason."""
        if isinstance(problem, PastRate):
            context.slow_down(problem.wait, self.ref, str(problem))
            return
        if isinstance(problem, MessageRefused):
            self.deny(context, problem.reason.reason, str(problem))
            return
        log_failure(context.connection, problem)
        fault = problem.fault
        temporary = fault.refusal.is_temporary
        self.deny(context, fault.refusal.reason, fault.detail, temporary=temporary)


def log_failure(connection: Connection, problem: EngineError) -> None:
    """Log that the engine could not do what a client asked."""
    # Not for each of a flood; that the engine is behind has a line of its own.
    if not isinstance(problem, TooManyInFlight):
        logger.error("engine_failed connection=%s problem=%s", connection.id, problem)
