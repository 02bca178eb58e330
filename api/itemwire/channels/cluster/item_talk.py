"""What this node tells on the channels of items: numbered, and told again for a while."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final

from itemwire.channels.cluster.gossip import (
    ItemWords,
    MemberJoined,
    MemberLeft,
    MembersAsked,
    MembersCounted,
    ToldLine,
    pack_lines,
)
from itemwire.channels.cluster.recent_changes import RecentChanges
from itemwire.channels.cluster.reminders import Reminders

AT_ONCE: Final = 200  # questions and reminders in a batch of 50 ms: 4000 a second


class ItemTalk:
    """Collects what is to be told on each channel, and tells it with the next batch.

    Each message names the one before it on its channel, so who missed one knows it with the next.
    As there may be no next one, a number is told again a few times. A channel's number is
    forgotten after that, if the node has to do with the channel no longer: it has no members
    there then, and begins anew.
    """

    def __init__(
        self,
        node_id: str,
        tell: Callable[[str, ItemWords], None],
        *,
        is_kept: Callable[[str], bool],
        is_shared: Callable[[str], bool],
    ) -> None:
        self._id = node_id
        self._tell = tell
        self._is_kept = is_kept
        self._is_shared = is_shared
        self._shared: set[str] = set()  # also after the node has nothing to do with them any more
        self._number = 0
        self._last: dict[str, int] = {}  # by channel, the number of what was told there last
        self._changed: dict[str, int] = {}  # the number with which a member came or left last
        self._recent: dict[str, RecentChanges] = {}  # on shared channels: who came or left
        self._lines: dict[str, list[ToldLine]] = {}  # for the next batch
        self._questions: dict[str, None] = {}  # channels to ask on
        self._denied: dict[str, None] = {}  # channels on which this node has nothing
        self._again: dict[str, int | None] = {}  # channels whose number is due, how often it was
        self._reminders = Reminders(self._shared.__contains__)

    @property
    def has_more(self) -> bool:
        """Return whether something waits for the next batch."""
        return bool(self._lines or self._questions or self._denied or self._again)

    def knows_all(self, channel: str, number: int | None) -> bool:
        """Return whether who has heard all up to a number knows who is on a channel here."""
        return number is not None and number >= self._changed.get(channel, 0)

    def changed_since(self, channel: str, number: int) -> set[str] | None:
        """Return who came or left after a number was told, or is about to; None if not known."""
        last = self._changed.get(channel)
        if last is None:
            return None
        recent = self._recent.get(channel)
        if number >= last:
            changed: list[str] | None = []
        else:
            changed = None if recent is None else recent.after(number)
        return None if changed is None else {*changed, *_changed_in(self._lines.get(channel, ()))}

    def add(self, channel: str, *lines: ToldLine) -> None:
        """Tell lines on a channel with the next batch."""
        self._lines.setdefault(channel, []).extend(lines)

    def ask(self, channel: str) -> None:
        """Ask who is on a channel: with the next line there, or one of the next batches."""
        self._questions[channel] = None

    def hasten(self, channel: str) -> None:
        """Ask on a channel with the next batch, if it is to be asked on at all."""
        if channel in self._questions:
            self.add(channel)

    def deny(self, channel: str) -> None:
        """Tell on a channel that this node has nothing to do with it."""
        self._denied[channel] = None

    def repeat_all(self) -> None:
        """Tell the number of each channel once more, with the next batches."""
        self._again = dict.fromkeys(self._last) | self._again

    def note_failure(self, channel: str) -> None:
        """Take note that something may not have been heard: its number is told again."""
        if channel in self._last:
            self._reminders.begin(channel)

    def forget(self, channel: str) -> None:
        """Ask no more on a channel, and forget its number in a while."""
        self._questions.pop(channel, None)
        if channel in self._last:
            self._reminders.end(channel)

    def tick(self) -> None:
        """Have numbers told again that are due, and forget those that nobody needs."""
        due = self._reminders.tick()
        self._again.update(due.again)
        for channel in due.over:
            if not (self._is_kept(channel) or channel in self._lines):
                self._last.pop(channel, None)
                self._changed.pop(channel, None)
                self._recent.pop(channel, None)
                self._shared.discard(channel)

    def flush(
        self, question_on: Callable[[str], MembersAsked], at_once: int = AT_ONCE
    ) -> list[str]:
        """Tell what waits, or a batch of it; return the channels that were asked on.

        Questions and reminders are bounded, except where something else is told.
        """
        lines, self._lines = self._lines, {}
        asked = [one for one in lines if one in self._questions]
        asked += _first(at_once, (one for one in self._questions if one not in lines))
        for channel in asked:
            del self._questions[channel]
            lines.setdefault(channel, []).insert(0, question_on(channel))
        for channel, told in lines.items():
            self._again.pop(channel, None)
            for pack in pack_lines(told):
                self._send(channel, pack)
            if any(not isinstance(line, MembersAsked) for line in told):  # who asks looks again
                self._reminders.begin(channel)
        self._deny()
        for channel in _first(at_once - len(asked), self._again):
            count = self._again.pop(channel)
            self._send(channel, [])
            if count is not None:
                self._reminders.go_on(channel, count)
        return asked

    def _deny(self) -> None:
        for channel in _first(AT_ONCE, self._denied):
            del self._denied[channel]
            if not self._is_kept(channel):
                self._send(channel, [])
                self._reminders.end(channel)

    def _send(self, channel: str, lines: list[ToldLine]) -> None:
        if self._is_shared(channel):
            self._shared.add(channel)
        self._number += 1
        # With no part in it any more it has no members there, and will answer no question.
        previous = self._last.get(channel, 0) if self._is_kept(channel) else 0
        self._last[channel] = self._number
        if any(isinstance(line, (MemberJoined, MemberLeft, MembersCounted)) for line in lines):
            self._note_changes(channel, lines)
        self._tell(channel, ItemWords(self._id, self._number, previous, lines))

    def _note_changes(self, channel: str, lines: list[ToldLine]) -> None:
        """Remember who came or left with the last number, for those who miss it."""
        # Who has heard of the change before this one missed nothing in between.
        begin = self._changed.get(channel, self._number - 1)
        self._changed[channel] = self._number
        if channel in self._shared:
            recent = self._recent.setdefault(channel, RecentChanges(begin))
            recent.add(_changed_in(lines), self._number)


def _changed_in(lines: Iterable[ToldLine]) -> Iterator[str]:
    """Yield the connections of those who come or leave with these lines."""
    for line in lines:
        if isinstance(line, MemberJoined):
            yield line.member.connection
        elif isinstance(line, MemberLeft):
            yield line.connection


def _first(count: int, channels: Iterable[str]) -> list[str]:
    """Return so many of the channels at most."""
    return list(islice(channels, max(count, 0)))
