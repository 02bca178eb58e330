"""What a node exchanges with the others, if there can be any: members and counts."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from typing_extensions import override

from itemwire.channels.cluster.asked_channels import Answered
from itemwire.channels.cluster.connection_counts import ConnectionCounts
from itemwire.channels.cluster.cut_off import CutOff
from itemwire.channels.cluster.gossip import Gossip, ItemWords
from itemwire.channels.cluster.notices import Notice
from itemwire.channels.cluster.peer import HEARTBEAT_TICKS
from itemwire.channels.cluster.remote_presence import RemotePresence
from itemwire.channels.connection import Connection
from itemwire.channels.lifecycle.registry import ConnectionRegistry
from itemwire.channels.limits.connections import ConnectionSlots
from itemwire.channels.presence.presence import Presence
from itemwire.channels.timers import CallLater
from itemwire.close_reasons import CONNECTION_LIMIT, CloseReason
from itemwire.engines.base import ANSWER_SECONDS, Engine, EngineError
from itemwire.messages import Member
from itemwire_auth.principal import Identity

MUTE_TICKS: Final = HEARTBEAT_TICKS + 1
"""Since a notice was refused: by then another one was sent, and each node has sent a sign."""


class Audiences(Protocol):
    """Who hears what on this node."""

    def hears(self, channel: str, /) -> bool:
        """Return whether a channel has a subscription here, or a callback."""
        ...

    def end_all(self, ends: Mapping[Connection, CloseReason], /) -> object:
        """End connections together."""
        ...


class Exchange(Protocol):
    """Members and connection counts, kept together with the other nodes."""

    def start(self) -> None:
        """Tell the other nodes that this one is there."""
        ...

    async def stop(self) -> None:
        """Tell the other nodes that this one stops, and wait until the engine has taken it."""
        ...

    def tick(self) -> None:
        """Do what is due; called about once a second."""
        ...

    def follow(self, channel: str) -> None:
        """Keep the members of a channel on other nodes up to date from now on."""
        ...

    def unhear(self, channel: str) -> None:
        """Take note that nobody here hears a channel; the engine delivers it no longer."""
        ...

    def find_moved(self, channel: str, identity: Identity, done: Callable[[], None]) -> None:
        """Call back once it is known whether a caller that joins was on a node that was killed."""
        ...

    def ask_members(self, channel: str, answered: Answered) -> None:
        """Bring the members of a channel up to date; answer whether that could be done in time."""
        ...

    def receive(self, node_id: str, gossip: Gossip) -> bool:
        """Apply what another node says; return False if there was no room for all of it."""
        ...

    def hear(self, channel: str, told: ItemWords) -> bool:
        """Apply what another node tells on a channel; return False if there was no room for it."""
        ...

    def miss(self, channel: str) -> None:
        """Take note that something may have been told on a channel that was not heard here."""
        ...


class NoExchange(Exchange):
    """For an engine that serves one process: there is no other node."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @override
    def start(self) -> None:
        """Do nothing."""

    @override
    async def stop(self) -> None:
        """Do nothing."""

    @override
    def tick(self) -> None:
        """Do nothing."""

    @override
    def follow(self, channel: str) -> None:
        """Do nothing."""

    @override
    def unhear(self, channel: str) -> None:
        self._engine.unsubscribe(channel)

    @override
    def find_moved(self, channel: str, identity: Identity, done: Callable[[], None]) -> None:
        done()

    @override
    def ask_members(self, channel: str, answered: Answered) -> None:
        answered(True)

    @override
    def receive(self, node_id: str, gossip: Gossip) -> bool:
        return True

    @override
    def hear(self, channel: str, told: ItemWords) -> bool:
        return True

    @override
    def miss(self, channel: str) -> None:
        """Do nothing."""


class SharedExchange(Exchange):
    """For an engine that several nodes share: what each has is known to the others."""

    def __init__(
        self,
        node_id: str,
        engine: Engine,
        *,
        presence: Presence,
        registry: ConnectionRegistry,
        slots: ConnectionSlots,
        grace: float,
        call_later: CallLater,
        hub: Audiences,
    ) -> None:
        self._id = node_id
        self._engine = engine
        self._presence = presence
        self._registry = registry
        self._hub = hub
        self._cut_off = CutOff(registry, hub.end_all)
        self._counts = ConnectionCounts(node_id, slots)
        self._remote_presence = RemotePresence(
            node_id,
            presence,
            self._counts,
            self._post,
            tell=self._tell,
            listen=engine.subscribe,
            release=self._release,
            yield_member=self._yield_member,
            grace=grace,
            call_later=call_later,
        )
        self._items = self._remote_presence.items
        self._posts = 0  # that the engine has not answered
        self._mute_ticks = 0  # for which the other nodes may not have heard of this one
        self._all_posted = asyncio.Event()
        presence.report_to(self._remote_presence)
        if self._counts.is_limited:
            slots.on_change = self._remote_presence.report_count

    @override
    def start(self) -> None:
        self._remote_presence.start()

    @override
    async def stop(self) -> None:
        self._remote_presence.stop()
        if self._posts and self._engine.is_available:
            self._all_posted.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self._all_posted.wait()

    @override
    def tick(self) -> None:
        """Remove silent nodes, and end sockets that are too many or that hear nothing."""
        # While the engine is away every node is silent, which is not their end.
        if not self._engine.is_available:
            self._remote_presence.answer_all()
            self._cut_off.tick()
            return
        self._cut_off.hear()
        self._remote_presence.tick(is_mute=self._mute_ticks > 0)
        self._mute_ticks = max(self._mute_ticks - 1, 0)
        excess = self._counts.find_excess()
        if excess:
            self._hub.end_all(dict.fromkeys(self._registry.newest_above(excess), CONNECTION_LIMIT))

    @override
    def follow(self, channel: str) -> None:
        self._items.follow(channel)

    @override
    def unhear(self, channel: str) -> None:
        self._items.unfollow(channel)
        if not self._items.keeps(channel):
            self._engine.unsubscribe(channel)

    def _release(self, channel: str) -> None:
        """Hear a channel no longer that was kept for its members alone."""
        if not self._hub.hears(channel):
            self._engine.unsubscribe(channel)

    @override
    def find_moved(self, channel: str, identity: Identity, done: Callable[[], None]) -> None:
        self._remote_presence.find_moved(channel, identity, done)

    @override
    def ask_members(self, channel: str, answered: Answered) -> None:
        def told(is_complete: bool) -> None:
            answered(is_complete and not self._mute_ticks)

        self._remote_presence.ask(channel, told)
        if self._mute_ticks or not self._engine.is_available:
            self._remote_presence.answer_all()

    @override
    def receive(self, node_id: str, gossip: Gossip) -> bool:
        return self._remote_presence.receive(node_id, gossip)

    @override
    def hear(self, channel: str, told: ItemWords) -> bool:
        return self._remote_presence.hear(channel, told)

    @override
    def miss(self, channel: str) -> None:
        self._items.miss(channel)

    def _yield_member(self, channel: str, member: Member) -> None:
        """Give a client a new member: another node also resumed the member that it had resumed."""
        subscription = self._registry.find_member(channel, member)
        # A member that began here has no other id to go on with: the other node gives way.
        if subscription is not None and subscription.own_member.connection != member.connection:
            self._presence.leave(channel, member)
            identity = subscription.connection.principal.identity
            subscription.member = self._presence.join(channel, identity, subscription.own_member)

    def _post(self, gossip: Gossip) -> None:
        """Send lines to the other nodes; a node that misses some asks for them."""
        self._posts += 1
        self._engine.post(Notice(self._id, gossip=gossip).encoded(), 0, self._posted)

    def _tell(self, channel: str, told: ItemWords) -> None:
        """Tell the nodes that hear a channel; one that misses it asks for it."""

        def answered(problem: EngineError | None) -> None:
            if problem is not None:
                self._items.note_failure(channel)
            self._posted(problem)

        self._posts += 1
        self._engine.tell(channel, told.encoded(), answered)

    def _posted(self, problem: EngineError | None) -> None:
        """Note whether it was sent; while notices are refused, nodes do not hear of each other."""
        self._posts -= 1
        if problem is not None:
            self._mute_ticks = MUTE_TICKS
        if not self._posts:
            self._all_posted.set()
