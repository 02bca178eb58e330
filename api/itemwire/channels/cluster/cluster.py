"""Receives the notices of the other nodes, and tells them what happens on this one."""

import logging
from collections.abc import Callable

from itemwire.channels.cluster.control import Control
from itemwire.channels.cluster.exchange import Exchange
from itemwire.channels.cluster.notices import Notice, read_notice, read_told
from itemwire.channels.cluster.questions import Questions
from itemwire.counters import ChannelCounters
from itemwire.engines.base import Deliver, Lose, Sink
from itemwire.engines.named import has_name

logger = logging.getLogger("itemwire.channels")


class Cluster:
    """Hands each notice to the part it is for.

    Revocations and disconnects are applied whichever engine there is, since a node that restarts
    reads those of its former life. Members and connection counts are exchanged only where there
    can be other nodes. Ephemeral messages of other nodes, and what their code watches, are handed
    to `published`; what operators ask is for `questions`.
    """

    def __init__(
        self,
        control: Control,
        exchange: Exchange,
        counters: ChannelCounters,
        published: Callable[[Notice], None],
        questions: Questions,
    ) -> None:
        self._id = questions.node_id
        self._questions = questions
        self._control = control
        self._counters = counters
        self._exchange = exchange
        self._published = published

    def start(self) -> None:
        """Tell the other nodes that this one is there."""
        self._exchange.start()

    async def stop(self) -> None:
        """Tell the other nodes that this one stops; wait, for a bounded time, until it is sent."""
        await self._exchange.stop()

    def tick(self) -> None:
        """Remove silent nodes, and end sockets that are too many; called about once a second."""
        self._exchange.tick()

    def receive(self, data: bytes) -> None:
        """Apply the notice of another node; a node's own comes back to it and is ignored.

        The bus is not trusted: a notice that is malformed, or past a bound, is logged, counted and
        dropped, and nothing is raised. Those of an application with a name are not for a node that
        has none.
        """
        try:
            notice = read_notice(data)
        except ValueError as error:
            if not has_name(data):
                self._note_unreadable(error)
            return
        if notice.node == self._id:
            return
        if self._questions.receive(notice):
            return
        if notice.message is not None or notice.watching is not None:
            self._published(notice)
        elif notice.gossip is None:
            self._control.apply(notice)
        elif not self._exchange.receive(notice.node, notice.gossip):
            self._note_dropped(notice.node)

    def sink(self, deliver: Deliver, lose: Lose) -> Sink:
        """Return where an engine hands everything: messages there, what nodes say here."""
        return Sink(deliver, self.receive, lose, self.hear, self._exchange.miss)

    def hear(self, channel: str, words: bytes) -> None:
        """Apply what another node tells on a channel; its own, or what cannot be read, as above."""
        try:
            told = read_told(words)
        except ValueError as error:
            self._note_unreadable(error)
            return
        if told.node != self._id and not self._exchange.hear(channel, told):
            self._note_dropped(told.node)

    def _note_unreadable(self, error: ValueError) -> None:
        self._counters.notices_dropped += 1
        logger.error("notice_unreadable problem=%s", error)

    def _note_dropped(self, node: str) -> None:
        self._counters.notices_dropped += 1
        logger.error("notice_dropped node=%r", node)
