"""The other nodes: what they are told by this one, and what it does of what they say."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping

from itemwire.channels.cluster.connection_counts import Shares
from itemwire.channels.cluster.control import Orders
from itemwire.channels.cluster.gossip import Tidings
from itemwire.channels.cluster.notices import Notice, read_notice
from itemwire.channels.cluster.remote_presence import Neighbours
from itemwire.channels.connection import Connection
from itemwire.channels.lifecycle.registry import Roster
from itemwire.channels.limits.connections import Places
from itemwire.channels.presence.presence import Presence
from itemwire.close_reasons import CONNECTION_LIMIT, CloseReason
from itemwire.engines.base import ANSWER_SECONDS, Engine
from itemwire.messages import Member
from itemwire.timers import CallLater

logger = logging.getLogger("itemwire.channels")


class Abroad:
    """Takes notices to the other nodes, and does what theirs say.

    Orders are obeyed on any engine: it may have kept those of before. Members and sockets are told
    of where there can be other nodes.
    """

    def __init__(
        self,
        node_id: str,
        engine: Engine,
        orders: Orders,
        *,
        roster: Roster,
        end_all: Callable[[Mapping[Connection, CloseReason]], object],
    ) -> None:
        self._id = node_id
        self._engine = engine
        self._orders = orders
        self._roster = roster
        self._end_all = end_all
        self._neighbours: Neighbours | None = None
        self._shares: Shares | None = None
        self._under_way = 0
        self._all_said = asyncio.Event()

    def share(
        self, presence: Presence, places: Places, grace: float, call_later: CallLater
    ) -> None:
        """Have members and places together with the other nodes, from the start on."""
        self._shares = Shares(self._id, places)

        def give_another(channel: str, member: Member) -> None:
            """Let a client be another member, for the one it took over is on another node."""
            subscription = self._roster.find_member(channel, member)
            if subscription is not None:
                presence.leave(channel, member)
                caller = subscription.connection.principal.identity
                subscription.member = presence.join(channel, caller, subscription.own_member)

        self._neighbours = Neighbours(
            self._id,
            presence,
            self._shares,
            self._spread,
            give_another,
            grace=grace,
            call_later=call_later,
        )
        presence.tell(self._neighbours)
        if self._shares.is_limited:
            places.changed = self._neighbours.count

    def start(self) -> None:
        """Tell the others that this node is there."""
        if self._neighbours is not None:
            self._neighbours.start()

    async def stop(self) -> None:
        """Tell the others that this node ends; wait until they can hear it, or it is no use."""
        if self._neighbours is None:
            return
        self._neighbours.stop()
        if self._under_way and self._engine.is_available:
            self._all_said.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self._all_said.wait()

    def tick(self) -> None:
        """Look who is silent, and end sockets that are too many; called about once a second."""
        # Nobody is heard while the engine is away, which is not their end.
        if self._neighbours is None or self._shares is None or not self._engine.is_available:
            return
        self._neighbours.tick()
        over = self._shares.over()
        if over:
            self._end_all(dict.fromkeys(self._roster.beyond(over), CONNECTION_LIMIT))

    def hear(self, channel: str) -> None:
        """Keep the members of a channel from now on."""
        if self._neighbours is not None:
            self._neighbours.hear(channel)

    def forget(self, channel: str) -> None:
        """Keep them no longer."""
        if self._neighbours is not None:
            self._neighbours.forget(channel)

    def heed(self, data: bytes) -> None:
        """Do what another node says; what this one said it has done."""
        try:
            notice = read_notice(data)
        except ValueError as error:
            logger.error("notice_unreadable problem=%s", error)  # noqa: TRY400 - no fault of ours
            return
        if notice.node == self._id:
            return
        if notice.tidings is None:
            self._orders.obey(notice)
        elif self._neighbours is not None:
            self._neighbours.heed(notice.node, notice.tidings)

    def _spread(self, tidings: Tidings) -> None:
        """Tell the other nodes of what is here; what is lost they ask for."""
        notice = Notice(self._id, tidings=tidings)
        self._under_way += 1
        self._engine.post(notice.encoded(), 0, lambda _posted: self._posted())

    def _posted(self) -> None:
        self._under_way -= 1
        if not self._under_way:
            self._all_said.set()
