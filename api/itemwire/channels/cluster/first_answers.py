"""Channels whose members on other nodes may not all be known yet, after somebody asked."""

from collections.abc import Iterable
from typing import Final

from itemwire.channels.cluster.peers import Peers

WAIT_SECONDS: Final = 0.1  # a node that lives answers within 0.05 s, unless it is very busy


class _Asking:
    __slots__ = ("has_waited", "is_anew", "sought_at", "tags")

    def __init__(self) -> None:
        self.is_anew = False  # all was known, before something may have been missed
        self.has_waited = False
        self.sought_at: int | None = None  # the tick at which every node was asked
        self.tags: set[str] | None = None  # of nodes that have members, as one has said


class FirstAnswers:
    """Says when all who have members on a channel have told them, as far as can be known.

    Nobody knows who hears a channel before they say so. Who answers names the others that have
    members, and once all of these have told theirs, that is all. Where nobody answers, somebody
    who wants to know has to seek: then every node says what it has there, if only nothing.
    """

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._asking: dict[str, _Asking] = {}

    def begin(self, channel: str) -> None:
        """Wait for the answers on a channel, of which nothing is known."""
        self._asking[channel] = _Asking()

    def begin_anew(self, channel: str) -> None:
        """Wait for what may have been missed on a channel."""
        if channel not in self._asking:
            asking = self._asking[channel] = _Asking()
            asking.is_anew = True
        self._asking[channel].has_waited = False

    def forget(self, channel: str) -> None:
        """Wait no more."""
        self._asking.pop(channel, None)

    def end_wait(self, channels: Iterable[str]) -> None:
        """Take note that whoever hears these channels has had the time to answer."""
        for channel in channels:
            asking = self._asking.get(channel)
            if asking is not None:
                asking.has_waited = True

    def note_tags(self, channel: str, tags: Iterable[str] | None) -> None:
        """Take note which nodes have members on a channel, as one has said that may know."""
        asking = self._asking.get(channel)
        if asking is not None and tags is not None:
            known = asking.tags or set()
            asking.tags = known | set(self._peers.tags()).intersection(tags)

    def may_name(self, channel: str) -> bool:
        """Return whether those that are known here can be named as all that have members."""
        asking = self._asking.get(channel)
        return asking is None or asking.has_waited

    def must_seek(self, channel: str, now: int, every: int) -> bool:
        """Return whether every node is to be asked now, as nobody has answered; once in a while."""
        asking = self._asking.get(channel)
        if asking is None or not asking.has_waited or asking.is_anew or asking.tags is not None:
            return False
        if asking.sought_at is not None and now < asking.sought_at + every:
            return False
        asking.sought_at = now
        return True

    def are_in(self, channel: str) -> bool:
        """Return whether all members on a channel are known."""
        if self._peers.is_stale_on(channel):
            return False
        asking = self._asking.get(channel)
        if asking is None:
            return True
        if asking.is_anew:
            is_over = asking.has_waited
        else:
            wanted = self._peers.tags() if asking.tags is None else asking.tags
            is_over = not self._peers.silent_on(channel, wanted)
        if is_over:
            del self._asking[channel]
        return is_over
