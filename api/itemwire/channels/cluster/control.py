"""Revocations and disconnects by operators, applied on this node and all others."""

import logging
import math
from collections.abc import Callable, Mapping

from itemwire.channels.cluster.notices import Notice
from itemwire.channels.connection import Connection
from itemwire.channels.lifecycle.expiry import Expiry, send_expiring
from itemwire.channels.lifecycle.registry import ConnectionRegistry
from itemwire.close_reasons import TOKEN_REVOKED, CloseReason
from itemwire.engines.base import Answer, Engine, EngineError
from itemwire_auth.revocation import Revocation, Revocations

logger = logging.getLogger("itemwire.channels")


class Control:
    """Applies revocations and disconnects to this node, and passes them on to others."""

    def __init__(
        self,
        node_id: str,
        engine: Engine,
        revocations: Revocations,
        *,
        registry: ConnectionRegistry,
        expiry: Expiry,
        end_all: Callable[[Mapping[Connection, CloseReason]], int],
        clock: Callable[[], float],
    ) -> None:
        self._id = node_id
        self._engine = engine
        self._revocations = revocations
        self._registry = registry
        self._expiry = expiry
        self._end_all = end_all
        self._clock = clock

    def revoke(self, revocation: Revocation, margin: float, answer: Answer[int]) -> None:
        """Revoke tokens, here at once and then on every node; answer how many end here.

        With a margin, in seconds, connections end when it is over unless they are refreshed.
        """
        is_stored = self._revocations.add(revocation)
        ends_at = math.ceil(self._clock() + margin) if margin else None
        ended = self._end_covered(revocation, ends_at)
        if is_stored:
            notice = Notice(self._id, revocation=revocation, ends_at=ends_at)
            self._post(notice, revocation.until, ended, answer)
        else:
            answer(EngineError("there is no room for another revocation"))

    def disconnect(self, connection_id: str, answer: Answer[int]) -> None:
        """End a connection, on whichever node it is; answer how many ended here."""
        ended = self._end_by_id(connection_id)
        self._post(Notice(self._id, connection=connection_id), self._clock(), ended, answer)

    def apply(self, notice: Notice) -> None:
        """Apply what another node has applied to itself."""
        revocation, ended = notice.revocation, 0
        if revocation is not None:
            if not self._revocations.add(revocation):
                logger.error("revocations_full: their tokens come in again")
            ended += self._end_covered(revocation, notice.ends_at)
        if notice.connection is not None:
            ended += self._end_by_id(notice.connection)
        logger.info("notice_applied notice=%r ended=%d", notice, ended)

    def _end_covered(self, revocation: Revocation, ends_at: int | None) -> int:
        """End the connections of revoked tokens, now or at a time; return how many they are."""
        covered = self._registry.covered_by(revocation)
        if ends_at is None or ends_at <= self._clock():
            return self._end_all(dict.fromkeys(covered, TOKEN_REVOKED))
        send_expiring(one for one in covered if self._expiry.revoke(one, ends_at))
        return len(covered)

    def _end_by_id(self, connection_id: str) -> int:
        connection = self._registry.find(connection_id)
        return self._end_all({connection: TOKEN_REVOKED} if connection else {})

    def _post(self, notice: Notice, until: float, ended: int, answer: Answer[int]) -> None:
        """Tell the other nodes what was applied here, and answer once the engine has it."""

        def posted(problem: EngineError | None) -> None:
            answer(ended if problem is None else problem)

        self._engine.post(notice.encoded(), until, posted)
