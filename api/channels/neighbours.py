"""The members of other nodes: told as they come and go, asked for where missed."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

from api.channels.presence import Presence
from api.channels.tidings import (
    CHANNELS_A_LINE,
    Answered,
    Ask,
    Came,
    Gone,
    Line,
    Part,
    Tidings,
    packed,
    parts_of,
)
from api.channels.timers import CallLater, call_later
from api.messages import Member

BATCH_SECONDS: Final = 0.05
BEAT_TICKS: Final = 2
ANSWER_TICKS: Final = 3  # then it is asked again
DEAD_TICKS: Final = 7  # three beats, and one tick for how they fall


class Neighbours:
    """What other nodes have on the channels heard here, and what they are told of this one.

    A notice that was missed shows in the number of the next; what the node has on every channel
    heard here is then asked for anew. Silence is counted in ticks of this node, which stand still
    with it: no clock is compared with another, and none can be set.
    """

    def __init__(
        self,
        node_id: str,
        presence: Presence,
        send: Callable[[Tidings], None],
        call_later: CallLater = call_later,
    ) -> None:
        self._id = node_id
        self._presence = presence
        self._send = send
        self._call_later = call_later
        self._own: dict[str, dict[str, Member]] = {}
        self._heard: set[str] = set()
        self._others: dict[str, _Neighbour] = {}
        self._lines: list[Line] = []
        self._number = 0
        self._asked = 0
        self._ticks = 0
        self._is_scheduled = self._is_running = self._owes_beat = False

    def start(self) -> None:
        """Tell the others that this node is there; each tells the same of itself."""
        self._is_running = self._owes_beat = True
        self._schedule()

    def stop(self) -> None:
        """Say no more."""
        self._is_running = False

    def came(self, channel: str, member: Member) -> None:
        """Tell of a member of this node."""
        self._own.setdefault(channel, {})[member.connection] = member
        self._say(Came(channel, member))

    def went(self, channel: str, member: Member) -> None:
        """Tell that it left."""
        own = self._own.get(channel, {})
        if own.pop(member.connection, None) is None:
            return
        if not own:
            del self._own[channel]
        self._say(Gone(channel, member.connection))

    def hear(self, channel: str) -> None:
        """Keep the members of a channel from now on, and ask who is there."""
        if channel in self._heard:
            return
        self._heard.add(channel)
        for other in self._others.values():
            other.unsure[channel] = None
        if self._others:
            self._schedule()

    def forget(self, channel: str) -> None:
        """Keep the members of a channel no longer: nobody here hears it."""
        self._heard.discard(channel)
        for other in self._others.values():
            other.unsure.pop(channel, None)
            if channel in other.asked:
                other.doubt(())
            self._replace(other, Part(channel, "", "", []))

    def heed(self, node_id: str, tidings: Tidings) -> None:
        """Take in what another node tells."""
        other = self._others.get(node_id)
        if other is None:
            other = self._others[node_id] = _Neighbour(tidings.number - 1)
            other.doubt(self._heard)
            self._owes_beat = True
            self._schedule()
        other.silent = 0
        if tidings.number <= other.number:
            return
        if tidings.number > other.number + 1:
            other.doubt(self._heard)
            self._schedule()
        other.number = tidings.number
        for line in tidings.lines:
            self._read(node_id, other, line)

    def tick(self) -> None:
        """Give a sign of life, and give up who has given none; called about once a second."""
        self._ticks += 1
        self._owes_beat = self._owes_beat or self._ticks % BEAT_TICKS == 0
        for node_id, other in list(self._others.items()):
            other.silent += 1
            if other.silent >= DEAD_TICKS:
                self._bury(node_id)
            elif other.asked:
                other.waited += 1
                if other.waited >= ANSWER_TICKS:
                    other.doubt(())
        self._flush()

    def _bury(self, node_id: str) -> None:
        dead = self._others.pop(node_id)
        for channel in list(dead.members):
            self._replace(dead, Part(channel, "", "", []))

    def _read(self, node_id: str, other: "_Neighbour", line: Line) -> None:
        match line:
            case Came(channel, member):
                self._add(other, channel, [member])
            case Gone(channel, connection):
                self._remove(other, channel, [connection])
            case Part(channel):
                if channel in self._heard:
                    self._replace(other, line)
            case Ask() | Answered() if line.to == self._id:
                self._converse(node_id, other, line)

    def _converse(self, node_id: str, other: "_Neighbour", line: Ask | Answered) -> None:
        if isinstance(line, Ask):
            self._answer(node_id, line.number, line.channels)
        elif line.number == other.ask_number:
            other.settle()
            self._schedule()

    def _answer(self, to: str, number: int, channels: Iterable[str]) -> None:
        for channel in channels:
            self._lines += parts_of(channel, self._own.get(channel, {}).values())
        self._say(Answered(to, number))

    def _replace(self, other: "_Neighbour", part: Part) -> None:
        known = other.members.get(part.channel, {})
        there = {member.connection for member in part.members}
        over = [
            one
            for one in known
            if one not in there and part.after < one and (not part.last or one <= part.last)
        ]
        self._remove(other, part.channel, over)
        self._add(other, part.channel, part.members)

    def _add(self, other: "_Neighbour", channel: str, members: Iterable[Member]) -> None:
        if channel not in self._heard:
            return
        for member in members:
            known = other.members.setdefault(channel, {})
            if member.connection not in known:
                known[member.connection] = member
                self._presence.arrive(channel, member)

    def _remove(self, other: "_Neighbour", channel: str, connections: Iterable[str]) -> None:
        known = other.members.get(channel, {})
        for connection in connections:
            member = known.pop(connection, None)
            if member is not None:
                self._presence.depart(channel, member)
        if not known:
            other.members.pop(channel, None)

    def _say(self, line: Line) -> None:
        self._lines.append(line)
        self._schedule()

    def _schedule(self) -> None:
        if self._is_running and not self._is_scheduled:
            self._is_scheduled = True
            self._call_later(BATCH_SECONDS, self._flush_batch)

    def _flush_batch(self) -> None:
        self._is_scheduled = False
        self._flush()

    def _flush(self) -> None:
        if not self._is_running:
            return
        for node_id, other in self._others.items():
            if other.unsure and not other.asked:
                self._asked += 1
                other.ask(self._asked)
                self._lines.append(Ask(node_id, self._asked, list(other.asked)))
        lines, self._lines = self._lines, []
        owes_beat, self._owes_beat = self._owes_beat, False
        for pack in packed(lines) if lines else [[]] if owes_beat else []:
            self._number += 1
            self._send(Tidings(self._number, pack))


class _Neighbour:
    """What is known of another node, and on which channels that may be wrong."""

    __slots__ = ("ask_number", "asked", "members", "number", "silent", "unsure", "waited")

    def __init__(self, number: int) -> None:
        self.number = number  # of its notice that was read last
        self.members: dict[str, dict[str, Member]] = {}
        self.unsure: dict[str, None] = {}
        self.asked: tuple[str, ...] = ()  # of the unsure ones, what it has been asked for
        self.ask_number = 0
        self.silent = self.waited = 0

    def doubt(self, channels: Iterable[str]) -> None:
        """Be unsure of channels too, and wait for no answer that was begun before."""
        self.unsure.update(dict.fromkeys(channels))
        self.asked, self.ask_number = (), 0

    def ask(self, number: int) -> None:
        """Note that it is asked for some of what is unsure."""
        self.asked = tuple(islice(self.unsure, CHANNELS_A_LINE))
        self.ask_number, self.waited = number, 0

    def settle(self) -> None:
        """Note that what it was asked for was said, every part of it."""
        for channel in self.asked:
            self.unsure.pop(channel, None)
        self.asked, self.ask_number = (), 0
