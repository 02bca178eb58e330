"""The members of other nodes: told as they come and go, asked for where missed."""

import math
from collections.abc import Callable, Iterable
from typing import Final

from typing_extensions import override

from itemwire.channels.cluster.connection_counts import ConnectionCounts
from itemwire.channels.cluster.gossip import (
    SOCKETS,
    Gossip,
    Line,
    MemberAway,
    MemberJoined,
    MemberLeft,
    MembersPage,
    NodeStopping,
    SocketCounts,
    StateRequest,
    StateSent,
    packed,
    parts_of,
)
from itemwire.channels.cluster.peer import Peer
from itemwire.channels.presence.presence import OtherNodes, Presence
from itemwire.channels.timers import CallLater, call_later
from itemwire.messages import Member
from itemwire_auth.principal import Identity

BATCH_SECONDS: Final = 0.05
HURRY_SECONDS: Final = 0.01  # a page that is loaded again goes to another node, and may not come in
BEAT_TICKS: Final = 2
ANSWER_TICKS: Final = 3  # then it is asked again


class RemotePresence(OtherNodes):
    """What other nodes have on the channels heard here, and what they are told of this one.

    A notice that was missed shows in the number of the next; what the node has on every channel
    heard here is then asked for anew. Silence is counted in ticks of this node, which stand still
    with it: no clock is compared with another, and none can be set.

    A member is there for as long as any node has it. One that was cut off is taken over by
    whichever node its caller comes back to, and then its own node lets go of it. Where two nodes
    take over the same one, the one with the greater id gives its client another (`yield_member`).
    """

    def __init__(
        self,
        node_id: str,
        presence: Presence,
        shares: ConnectionCounts,
        send: Callable[[Gossip], None],
        yield_member: Callable[[str, Member], None],
        *,
        grace: float = 0,
        call_later: CallLater = call_later,
    ) -> None:
        self._id = node_id
        self._presence = presence
        self._shares = shares
        self._send = send
        self._yield_member = yield_member
        self._grace_ticks = math.ceil(grace) + 1 if grace else 0  # the first one comes at any time
        self._call_later = call_later
        self._own: dict[str, dict[str, Member]] = {}
        self._heard: set[str] = set()
        self._others: dict[str, Peer] = {}
        self._lines: list[Line] = []
        self._owed: list[StateSent] = []  # until all that was asked for is said
        self._number = 0
        self._asked = 0
        self._ticks = 0
        self._is_scheduled = self._is_hurried = self._is_running = self._owes_beat = False

    def start(self) -> None:
        """Tell the others that this node is there; each tells the same of itself."""
        self._is_running = self._owes_beat = True
        self._schedule()

    def stop(self) -> None:
        """Say what is left to be said, that this node ends, and no more."""
        self._lines.append(NodeStopping())
        self._flush()
        self._is_running = False

    @override
    def came(self, channel: str, member: Member) -> None:
        self._own.setdefault(channel, {})[member.connection] = member
        self._forget_away(channel, member)
        self._say(MemberJoined(channel, member))

    @override
    def went(self, channel: str, member: Member) -> bool:
        own = self._own.get(channel, {})
        if own.pop(member.connection, None) is not None:
            if not own:
                del self._own[channel]
            self._say(MemberLeft(channel, member.connection))
        return not self._is_known(channel, member.connection)

    @override
    def was_cut_off(self, channel: str, caller: Identity, member: Member) -> None:
        issuer, _ = caller
        self._say(MemberAway(channel, member, issuer))
        self._hurry()

    @override
    def take_over(self, channel: str, caller: Identity) -> Member | None:
        taken = (other.away.take(channel, caller) for other in self._others.values())
        return next(filter(None, taken), None)

    def count(self, identity: Identity) -> None:
        """Tell how many sockets a caller has here now."""
        if self._shares.note(identity):
            self._hurry()
        else:
            self._schedule()

    def follow(self, channel: str) -> None:
        """Keep the members of a channel from now on, and ask who is there."""
        if channel in self._heard:
            return
        self._heard.add(channel)
        for other in self._others.values():
            other.distrust((channel,))
        if self._others:
            self._schedule()

    def unfollow(self, channel: str) -> None:
        """Keep the members of a channel no longer: nobody here hears it."""
        self._heard.discard(channel)
        for other in self._others.values():
            other.unsure.pop(channel, None)
            if channel in other.asked:
                other.doubt(())
            self._replace(other, MembersPage(channel, "", "", []))

    def receive(self, node_id: str, gossip: Gossip) -> None:
        """Take in what another node tells."""
        other = self._others.get(node_id)
        if other is None:
            other = self._others[node_id] = Peer(gossip.number - 1)
            self._doubt(other)
            self._owes_beat = True
            self._schedule()
        if gossip.number <= other.number:
            return
        other.silent = 0
        if gossip.number > other.number + 1:
            self._doubt(other)
            self._schedule()
        other.number = gossip.number
        for line in gossip.lines:
            self._read(node_id, other, line)

    def tick(self) -> None:
        """Give a sign of life, and give up who has given none; called about once a second."""
        self._ticks += 1
        self._owes_beat = self._owes_beat or self._ticks % BEAT_TICKS == 0
        for node_id, other in list(self._others.items()):
            other.silent += 1
            if other.silent >= other.patience:
                self._bury(node_id)
            elif other.asked:
                other.waited += 1
                if other.waited >= ANSWER_TICKS:
                    other.doubt(())
        self._flush()

    def _doubt(self, other: Peer) -> None:
        other.away.clear()  # one of them may have come back
        other.doubt([SOCKETS, *self._heard] if self._shares.is_limited else self._heard)

    def _bury(self, node_id: str) -> None:
        self._shares.forget(node_id)
        dead = self._others.pop(node_id)
        for channel in list(dead.members):
            self._replace(dead, MembersPage(channel, "", "", []))

    def _read(self, node_id: str, other: Peer, line: Line) -> None:
        match line:
            case MemberJoined() | MemberLeft() | MemberAway() | MembersPage():
                self._read_of_member(node_id, other, line)
            case SocketCounts():
                self._shares.receive(node_id, line)
            case NodeStopping():
                self._part_from(node_id, other)
            case StateRequest() | StateSent() if line.to == self._id:
                self._converse(node_id, other, line)

    def _read_of_member(
        self, node_id: str, other: Peer, line: MemberJoined | MemberLeft | MemberAway | MembersPage
    ) -> None:
        match line:
            case MemberJoined(channel, member):
                self._add(other, channel, [member])
                self._settle_owner(node_id, channel, member)
            case MemberLeft(channel, connection):
                other.away.drop(channel, connection)
                self._remove(other, channel, [connection])
            case MemberAway(channel, member):
                is_there = self._is_known(channel, member.connection, but=other)
                if other.away.takes_more and not is_there:
                    other.away.add(channel, (line.issuer, member.subject), member, 0)
            case MembersPage(channel):
                if channel in self._heard:
                    self._replace(other, line)

    def _converse(self, node_id: str, other: Peer, line: StateRequest | StateSent) -> None:
        if isinstance(line, StateRequest):
            self._answer(node_id, line.number, line.channels)
        elif line.number == other.ask_number:
            if SOCKETS in other.asked:
                self._shares.settle(node_id)
            other.settle()
            self._schedule()

    def _part_from(self, node_id: str, other: Peer) -> None:
        """Keep the members of a node that ends until they are back elsewhere, or it is too late."""
        self._shares.forget(node_id)
        other.leave(self._grace_ticks)
        if not other.patience:
            self._bury(node_id)

    def _settle_owner(self, node_id: str, channel: str, member: Member) -> None:
        """See to it that one node has a member, which is on another one now."""
        self._forget_away(channel, member)
        if member.connection not in self._own.get(channel, {}):
            return
        if self._presence.let_go(channel, member):
            self._presence.leave(channel, member)
        elif node_id < self._id:
            self._yield_member(channel, member)

    def _is_known(self, channel: str, connection: str, but: Peer | None = None) -> bool:
        """Tell whether a member is on any node, or on any but one."""
        if connection in self._own.get(channel, ()):
            return True
        others = (one for one in self._others.values() if one is not but)
        return any(connection in one.members.get(channel, ()) for one in others)

    def _forget_away(self, channel: str, member: Member) -> None:
        for other in self._others.values():
            other.away.drop(channel, member.connection)

    def _answer(self, to: str, number: int, channels: Iterable[str]) -> None:
        for channel in channels:
            if channel == SOCKETS:
                self._shares.say_all()
            else:
                self._lines += parts_of(channel, self._own.get(channel, {}).values())
        self._owed.append(StateSent(to, number))
        self._schedule()

    def _replace(self, other: Peer, part: MembersPage) -> None:
        known = other.members.get(part.channel, {})
        there = {member.connection for member in part.members}
        over = [
            one
            for one in known
            if one not in there and part.after < one and (not part.last or one <= part.last)
        ]
        self._remove(other, part.channel, over)
        self._add(other, part.channel, part.members)

    def _add(self, other: Peer, channel: str, members: Iterable[Member]) -> None:
        if channel not in self._heard:
            return
        for member in members:
            is_known = self._is_known(channel, member.connection)
            other.members.setdefault(channel, {})[member.connection] = member
            if not is_known:
                self._presence.arrive(channel, member)

    def _remove(self, other: Peer, channel: str, connections: Iterable[str]) -> None:
        known = other.members.get(channel, {})
        for connection in connections:
            member = known.pop(connection, None)
            if member is not None and not self._is_known(channel, connection):
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

    def _hurry(self) -> None:
        if self._is_running and not self._is_hurried:
            self._is_hurried = True
            self._call_later(HURRY_SECONDS, self._flush_soon)

    def _flush_soon(self) -> None:
        self._is_hurried = False
        self._flush()

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
                if SOCKETS in other.asked:
                    self._shares.ask(node_id)
                self._lines.append(StateRequest(node_id, self._asked, list(other.asked)))
        lines, self._lines = [*self._shares.lines(), *self._lines], []
        if self._shares.has_more:
            self._schedule()
        else:
            lines += self._owed
            self._owed = []
        owes_beat, self._owes_beat = self._owes_beat, False
        for pack in packed(lines) if lines else [[]] if owes_beat else []:
            self._number += 1
            self._send(Gossip(self._number, pack))
