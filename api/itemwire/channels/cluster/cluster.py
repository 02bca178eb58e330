"""The other nodes: what they are told by this one, and what it does of what they say."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping

from itemwire.channels.cluster.connection_counts import ConnectionCounts
from itemwire.channels.cluster.control import Control
from itemwire.channels.cluster.gossip import Gossip
from itemwire.channels.cluster.notices import Notice, read_notice
from itemwire.channels.cluster.remote_presence import RemotePresence
from itemwire.channels.connection import Connection
from itemwire.channels.lifecycle.registry import ConnectionRegistry
from itemwire.channels.limits.connections import ConnectionSlots
from itemwire.channels.presence.presence import Presence
from itemwire.channels.timers import CallLater
from itemwire.close_reasons import CONNECTION_LIMIT, CloseReason
from itemwire.engines.base import ANSWER_SECONDS, Engine
from itemwire.messages import Member

logger = logging.getLogger("itemwire.channels")


class Cluster:
    """Takes notices to the other nodes, and does what theirs say.

    Orders are obeyed on any engine: it may have kept those of before. Members and sockets are told
    of where there can be other nodes.
    """

    def __init__(
        self,
        node_id: str,
        engine: Engine,
        control: Control,
        *,
        registry: ConnectionRegistry,
        end_all: Callable[[Mapping[Connection, CloseReason]], object],
    ) -> None:
        self._id = node_id
        self._engine = engine
        self._control = control
        self._registry = registry
        self._end_all = end_all
        self._remote_presence: RemotePresence | None = None
        self._shares: ConnectionCounts | None = None
        self._under_way = 0
        self._all_said = asyncio.Event()

    def share(
        self, presence: Presence, slots: ConnectionSlots, grace: float, call_later: CallLater
    ) -> None:
        """Have members and places together with the other nodes, from the start on."""
        self._shares = ConnectionCounts(self._id, slots)

        def give_another(channel: str, member: Member) -> None:
            """Let a client be another member, for the one it took over is on another node."""
            subscription = self._registry.find_member(channel, member)
            if subscription is not None:
                presence.leave(channel, member)
                caller = subscription.connection.principal.identity
                subscription.member = presence.join(channel, caller, subscription.own_member)

        self._remote_presence = RemotePresence(
            self._id,
            presence,
            self._shares,
            self._spread,
            give_another,
            grace=grace,
            call_later=call_later,
        )
        presence.tell(self._remote_presence)
        if self._shares.is_limited:
            slots.on_change = self._remote_presence.count

    def start(self) -> None:
        """Tell the others that this node is there."""
        if self._remote_presence is not None:
            self._remote_presence.start()

    async def stop(self) -> None:
        """Tell the others that this node ends; wait until they can hear it, or it is no use."""
        if self._remote_presence is None:
            return
        self._remote_presence.stop()
        if self._under_way and self._engine.is_available:
            self._all_said.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self._all_said.wait()

    def tick(self) -> None:
        """Look who is silent, and end sockets that are too many; called about once a second."""
        # Nobody is heard while the engine is away, which is not their end.
        if self._remote_presence is None or self._shares is None or not self._engine.is_available:
            return
        self._remote_presence.tick()
        over = self._shares.over()
        if over:
            self._end_all(dict.fromkeys(self._registry.beyond(over), CONNECTION_LIMIT))

    def follow(self, channel: str) -> None:
        """Keep the members of a channel from now on."""
        if self._remote_presence is not None:
            self._remote_presence.follow(channel)

    def unfollow(self, channel: str) -> None:
        """Keep them no longer."""
        if self._remote_presence is not None:
            self._remote_presence.unfollow(channel)

    def receive(self, data: bytes) -> None:
        """Do what another node says; what this one said it has done."""
        try:
            notice = read_notice(data)
        except ValueError as error:
            logger.error("notice_unreadable problem=%s", error)  # noqa: TRY400 - no fault of ours
            return
        if notice.node == self._id:
            return
        if notice.gossip is None:
            self._control.apply(notice)
        elif self._remote_presence is not None:
            self._remote_presence.receive(notice.node, notice.gossip)

    def _spread(self, gossip: Gossip) -> None:
        """Tell the other nodes of what is here; what is lost they ask for."""
        notice = Notice(self._id, gossip=gossip)
        self._under_way += 1
        self._engine.post(notice.encoded(), 0, lambda _posted: self._posted())

    def _posted(self) -> None:
        self._under_way -= 1
        if not self._under_way:
            self._all_said.set()
