"""Asks again about the caller of a connection that is on one item's channel."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from itemwire.channels.connection import Subscription
from itemwire.channels.lifecycle.rechecks import Rechecks
from itemwire.channels.node import Node
from itemwire.channels.reauthorization import Denied, Reauthorize, Verdict
from itemwire.close_reasons import CREDENTIALS_INVALID, FORBIDDEN, INTERNAL
from itemwire_auth.scopes import Action

logger = logging.getLogger("itemwire.channels")


@dataclass(frozen=True, slots=True)
class ItemRecheck:
    """Works the rights out again, and ends the connection if its caller may not stay."""

    node: Node
    rechecks: Rechecks
    subscription: Subscription
    reauthorize: Reauthorize

    @classmethod
    def begin(cls, node: Node, subscription: Subscription, reauthorize: Reauthorize | None) -> None:
        """Ask from now on, if callers are asked about again here."""
        if node.rechecks is not None and reauthorize is not None:
            recheck = cls(node, node.rechecks, subscription, reauthorize)
            node.rechecks.watch(subscription.connection, recheck)

    def __call__(self, answer: Callable[[bool], None]) -> None:
        """Ask once; answer whether that is unknown for now."""
        connection = self.subscription.connection
        principal = connection.principal

        def worked_out(verdict: Verdict) -> None:
            # A refresh that came meanwhile has found out more.
            if connection.is_open and connection.principal is principal:
                try:
                    self._apply(verdict)
                except Exception:
                    logger.exception("session_failed connection=%s", connection.id)
                    connection.end(INTERNAL)
            answer(isinstance(verdict, Denied) and verdict.is_temporary)

        self.reauthorize(principal, worked_out)

    def _apply(self, verdict: Verdict) -> None:
        connection, item_id = self.subscription.connection, self.subscription.item_id
        identity = connection.principal.identity
        if isinstance(verdict, Denied):
            if not verdict.is_temporary:
                connection.end(verdict.reason)
        elif verdict.principal.identity != identity:
            connection.end(CREDENTIALS_INVALID)
        elif not verdict.fits(item_id, identity, Action.SUBSCRIBE):
            connection.end(FORBIDDEN)
        else:
            self.rechecks.confirm(connection, verdict.principal)
            self.node.change_rights(self.subscription, verdict)
