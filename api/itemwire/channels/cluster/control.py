"""What is ordered from outside, here and everywhere: tokens taken back, connections ended."""

import logging
import math
from collections.abc import Callable, Iterable, Mapping

from itemwire.channels.cluster.notices import Notice
from itemwire.channels.connection import Connection
from itemwire.channels.lifecycle.expiry import Expiry
from itemwire.channels.lifecycle.registry import ConnectionRegistry
from itemwire.close_reasons import TOKEN_REVOKED, CloseReason
from itemwire.engines.base import Answer, Engine, EngineError
from itemwire.messages import Expiring
from itemwire_auth.revocation import Revocation, Revocations

logger = logging.getLogger("itemwire.channels")


class Control:
    """Carries out orders on this node, and takes them to the others through the engine."""

    def __init__(
        self,
        node_id: str,
        engine: Engine,
        revocations: Revocations,
        *,
        registry: ConnectionRegistry,
        ends: Expiry,
        end_all: Callable[[Mapping[Connection, CloseReason]], int],
        clock: Callable[[], float],
    ) -> None:
        self._id = node_id
        self._engine = engine
        self._revocations = revocations
        self._registry = registry
        self._ends = ends
        self._end_all = end_all
        self._clock = clock

    def revoke(self, revocation: Revocation, margin: float, answer: Answer[int]) -> None:
        """Take tokens back: here at once, then on every node; answer how many it ends here."""
        is_kept = self._revocations.add(revocation)
        ends_at = math.ceil(self._clock() + margin) if margin else None
        ended = self._end_covered(revocation, ends_at)
        if is_kept:
            notice = Notice(self._id, revocation=revocation, ends_at=ends_at)
            self._post(notice, revocation.until, ended, answer)
        else:
            answer(EngineError("there is no room for another revocation"))

    def disconnect(self, connection_id: str, answer: Answer[int]) -> None:
        """End a connection, on whichever node it is; answer how many ended here."""
        ended = self._end_by_id(connection_id)
        self._post(Notice(self._id, connection=connection_id), self._clock(), ended, answer)

    def apply(self, notice: Notice) -> None:
        """Do what another node has done."""
        revocation, ended = notice.revocation, 0
        if revocation is not None:
            if not self._revocations.add(revocation):
                logger.error("revocations_full: their tokens come in again")
            ended += self._end_covered(revocation, notice.ends_at)
        if notice.connection is not None:
            ended += self._end_by_id(notice.connection)
        logger.info("notice_applied notice=%r ended=%d", notice, ended)

    def _end_covered(self, revocation: Revocation, ends_at: int | None) -> int:
        """End the connections of tokens taken back, now or then; tell how many they are."""
        covered = self._registry.covered_by(revocation)
        if ends_at is None or ends_at <= self._clock():
            return self._end_all(dict.fromkeys(covered, TOKEN_REVOKED))
        warn(one for one in covered if self._ends.revoke(one, ends_at))
        return len(covered)

    def _end_by_id(self, connection_id: str) -> int:
        connection = self._registry.find(connection_id)
        return self._end_all({connection: TOKEN_REVOKED} if connection else {})

    def _post(self, notice: Notice, until: float, ended: int, answer: Answer[int]) -> None:
        """Tell the other nodes what has been done here."""

        def posted(problem: EngineError | None) -> None:
            answer(ended if problem is None else problem)

        self._engine.post(notice.encoded(), until, posted)


def warn(connections: Iterable[Connection]) -> None:
    """Tell clients when their connections end, those who can do something about it."""
    for connection in connections:
        # Who is not welcome yet reads it in `welcome`; an echo has no way to be refreshed.
        if connection.is_welcomed:
            connection.send(Expiring(connection.expires_at))
