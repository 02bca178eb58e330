"""The members on other nodes: reported as they join and leave, requested if missed."""

import math
from collections.abc import Callable, Iterable
from typing import Final

from typing_extensions import override

from itemwire.channels.cluster.asked_channels import Answered, AskedChannels
from itemwire.channels.cluster.connection_counts import ConnectionCounts
from itemwire.channels.cluster.gossip import (
    SOCKETS,
    ClusterMember,
    Gossip,
    Line,
    MemberAway,
    MemberJoined,
    MemberLeft,
    MemberLine,
    MembersRange,
    NodeStopping,
    SocketCounts,
    StateRequest,
    StateSent,
)
from itemwire.channels.cluster.gossip_sender import GossipSender
from itemwire.channels.cluster.life_checks import LifeChecks
from itemwire.channels.cluster.own_members import OwnMembers
from itemwire.channels.cluster.peer import HEARTBEAT_TICKS, Peer
from itemwire.channels.cluster.peers import Peers
from itemwire.channels.presence.presence import OtherNodes, Presence
from itemwire.channels.timers import CallLater, call_later
from itemwire.messages import Member
from itemwire_auth.principal import Identity

MAX_PEERS: Final = 1000  # nodes known at the same time, so that forged ids cannot use up memory


class RemotePresence(OtherNodes):
    """The members of other nodes on followed channels, and the reports of this node's own.

    Members are reported as they join and leave. A missed notice shows as a gap in the numbers of
    its node, which is then asked for its state on every channel followed here. Silence is counted
    in ticks of this node, which stop when it is suspended: no clock is compared with another.

    A member is there as long as any node has it. One that is away is taken over by the node that
    its caller returns to, and its former node gives it up. If two nodes take over the same
    member, the one with the greater id gives its client another one (`yield_member`).

    Notices may be forged: whatever they say, no call raises, and what is stored stays bounded.
    What a forged node has said is forgotten once that node has been silent for `DEAD_TICKS`.
    """

    def __init__(
        self,
        node_id: str,
        presence: Presence,
        counts: ConnectionCounts,
        send: Callable[[Gossip], None],
        yield_member: Callable[[str, Member], None],
        *,
        grace: float = 0,
        call_later: CallLater = call_later,
    ) -> None:
        self._id = node_id
        self._presence = presence
        self._counts = counts
        self._yield_member = yield_member
        self._sender = GossipSender(self._collect, send, call_later)
        # One tick more than the grace time: the first may come at once.
        self._grace_ticks = math.ceil(grace) + 1 if grace else 0
        self._own = OwnMembers()
        self._life = LifeChecks(self._ask_for_sign, self._suspect, call_later)
        self._followed: set[str] = set()  # channels with a subscriber here
        self._asked = AskedChannels(self._is_current, self._forget_unless_kept)
        self._peers = Peers()
        self._lines: list[Line] = []  # for the next batch
        self._last_request = 0
        self._ticks = 0

    def start(self) -> None:
        """Tell the other nodes that this one is there; each replies with a sign of its own."""
        self._sender.start()

    def stop(self) -> None:
        """Send what is left, say that this node stops, and send nothing more."""
        self._sender.stop()

    @override
    def report_joined(self, channel: str, identity: Identity, member: Member) -> None:
        own = ClusterMember(member.connection, member.subject, member.info, issuer=identity[0])
        self._own.add(channel, own)
        self._peers.discard_away(channel, member.connection)
        self._queue(MemberJoined(channel, own))

    @override
    def report_left(self, channel: str, member: Member) -> bool:
        if self._own.remove(channel, member.connection):
            self._queue(MemberLeft(channel, member.connection))
        return not self._is_known(channel, member.connection)

    @override
    def report_away(self, channel: str, identity: Identity, member: Member) -> None:
        issuer, _ = identity
        self._queue(MemberAway(channel, member, issuer))
        self._sender.schedule_urgent()  # its caller may be back on another node in a moment

    @override
    def take_over(self, channel: str, identity: Identity) -> Member | None:
        return self._peers.take_over(channel, identity)

    def find_moved(self, channel: str, identity: Identity, done: Callable[[], None]) -> None:
        """Call back once each node that has a member of this caller has shown that it lives.

        One that does not within half a second may have been killed: its members are taken for
        away, so that this caller continues as the member that it was there.
        """
        nodes = self._peers.may_have_lost(channel, identity) if self._grace_ticks else []
        self._life.check(nodes, done)

    def _ask_for_sign(self, node_id: str) -> None:
        self._lines.append(StateRequest(node_id, 0, []))
        self._sender.schedule_urgent()

    def _suspect(self, node_id: str) -> None:
        peer = self._peers.get(node_id)
        if peer is not None and self._grace_ticks and not (peer.is_suspect or peer.is_stopping):
            peer.suspect()

    def report_count(self, identity: Identity) -> None:
        """Report that a caller has another number of sockets here now."""
        if self._counts.report(identity):
            self._sender.schedule_urgent()
        else:
            self._sender.schedule()

    def follow(self, channel: str) -> None:
        """Keep the members of a channel up to date from now on, and ask who is there."""
        is_kept = self._is_kept(channel)
        self._followed.add(channel)
        if not is_kept:
            self._peers.request(channel)
            if self._peers:
                self._sender.schedule()

    def unfollow(self, channel: str) -> None:
        """Forget the members of a channel: it has no subscriber here any more."""
        self._followed.discard(channel)
        self._forget_unless_kept(channel)

    def ask(self, channel: str, answered: Answered) -> None:
        """Answer once every other node has said which members it has, or when time is up.

        The answer is whether all of them have, and none is silent. A node that has just started
        first waits until the others had time to answer its greeting.
        """

        def told(is_current: bool) -> None:
            answered(is_current and not self._peers.is_any_silent)

        is_kept = self._is_kept(channel)
        self._asked.add(channel, told)
        if not is_kept:
            self._peers.request(channel)
        if self._is_current(channel):
            self._asked.check((channel,))
            return
        self._peers.ask_first(channel)
        self._sender.schedule_urgent()

    def answer_all(self) -> None:
        """Answer all that was asked with what is known: the engine is away."""
        self._asked.answer_all()

    def receive(self, node_id: str, gossip: Gossip) -> bool:
        """Apply what another node says; return False if there was no room for all of it."""
        peer = self._peers.get(node_id)
        if peer is None:
            if len(self._peers) >= MAX_PEERS:
                return False
            peer = self._add_peer(node_id, gossip.number)
        if gossip.number <= peer.last_number:
            return True  # a duplicate, or late: what it said was asked for since
        if peer.is_stopping or peer.is_suspect or gossip.number > peer.last_number + 1:
            peer.mark_running()
            self._mark_stale(peer)
        peer.note_sign(gossip.number)
        is_stored = True
        for line in gossip.lines:
            if isinstance(line, NodeStopping):
                self._peer_stops(node_id, peer)
                break  # its last line: what follows is forged, and the peer may be removed
            is_stored &= self._apply(node_id, peer, line)
        return is_stored

    def tick(self, *, is_mute: bool = False) -> None:
        """Send a sign of life, and remove peers that gave none, unless all may be mute."""
        self._ticks += 1
        if self._ticks % HEARTBEAT_TICKS == 0:
            self._sender.require_heartbeat()
        for node_id, peer in () if is_mute else list(self._peers.items()):
            if peer.tick():
                self._remove_peer(node_id)
            elif peer.is_silent:
                self._suspect(node_id)
        self._asked.tick()
        self._sender.flush()

    def _add_peer(self, node_id: str, number: int) -> Peer:
        peer = self._peers[node_id] = Peer(number - 1)
        self._mark_stale(peer)
        self._sender.require_heartbeat()  # it does not know this node yet
        return peer

    def _remove_peer(self, node_id: str) -> None:
        peer = self._peers.pop(node_id)
        self._counts.remove_node(node_id)
        self._own.forget_node(node_id)
        for channel in list(peer.members):
            self._remove_all(peer, channel)
        self._asked.check_all()

    def _peer_stops(self, node_id: str, peer: Peer) -> None:
        """Keep the members of a stopping node for the grace time: they may return elsewhere."""
        self._counts.remove_node(node_id)
        peer.mark_stopping(self._grace_ticks)
        self._life.heard(node_id)
        if not self._grace_ticks:
            self._remove_peer(node_id)
        self._asked.check_all()

    def _mark_stale(self, peer: Peer) -> None:
        """Ask a peer for everything: it is new here, or a notice of it may have been missed."""
        peer.away.clear()  # the missed notice may have said that one of them returned
        counts = [SOCKETS] if self._counts.is_limited else []
        peer.mark_stale([*counts, *self._asked, *self._followed], is_missed=True)
        self._sender.schedule()

    def _apply(self, node_id: str, peer: Peer, line: Line) -> bool:
        """Apply one line; return False if there was no room for it."""
        match line:
            case SocketCounts():
                return self._counts.receive(node_id, line)
            case StateRequest(to, number, channels) if to == self._id:
                self._answer(node_id, number, channels)
            case StateSent(to, 0) if to == self._id:
                self._life.heard(node_id)
            case StateSent(to, number) if to == self._id and number == peer.request_number:
                self._state_received(node_id, peer)
            case MemberJoined() | MemberLeft() | MemberAway() | MembersRange():
                return self._apply_member_line(node_id, peer, line)
            case _:
                pass  # between two other nodes, or about a request that was cancelled
        return True

    def _apply_member_line(self, node_id: str, peer: Peer, line: MemberLine) -> bool:
        match line:
            case MemberJoined(channel, member):
                is_stored = self._add(peer, channel, [member])
                self._resolve_owner(node_id, channel, member)
                self._update(channel, [member])
                return is_stored
            case MemberLeft(channel, connection):
                peer.away.discard(channel, connection)
                self._remove(peer, channel, [connection])
            case MemberAway(channel, member):
                is_elsewhere = self._is_known(channel, member.connection, except_on=peer)
                if peer.away.has_room and not is_elsewhere:
                    peer.away.add(channel, (line.issuer, member.subject), member, 0)
            case MembersRange(channel):
                return not self._is_kept(channel) or self._replace(peer, line)
        return True

    def _answer(self, node_id: str, number: int, channels: list[str]) -> None:
        """Send the state of these channels with the next batch; without any, a sign of life."""
        if not channels:
            self._own.sign_to(node_id)
            self._sender.schedule_urgent()
            return
        if SOCKETS in channels:
            self._counts.report_all()
        self._own.request(node_id, number, (one for one in channels if one != SOCKETS))
        self._sender.schedule()

    def _state_received(self, node_id: str, peer: Peer) -> None:
        if SOCKETS in peer.requested:
            self._counts.end_snapshot(node_id)
        answered = peer.requested
        peer.mark_current()
        self._sender.schedule()  # for the channels that are still stale
        self._asked.check(answered)

    def _resolve_owner(self, node_id: str, channel: str, member: Member) -> None:
        """Make sure that only one node has a member that another node has just reported."""
        self._peers.discard_away(channel, member.connection)
        if not self._own.has(channel, member.connection):
            return
        if self._presence.discard_away(channel, member):
            self._presence.leave(channel, member)  # its caller returned there
        elif node_id < self._id:
            self._yield_member(channel, member)

    def _is_kept(self, channel: str) -> bool:
        """Return whether the members of a channel on other nodes are kept up to date here."""
        return channel in self._followed or channel in self._asked

    def _is_current(self, channel: str) -> bool:
        """Return whether every other node has said which members it has on a channel."""
        is_greeted = self._ticks > 0  # within a second, each node has answered the greeting
        return is_greeted and self._peers.is_current(channel)

    def _forget_unless_kept(self, channel: str) -> None:
        """Forget the members of a channel on other nodes, which nobody here needs any more."""
        if not self._is_kept(channel):
            for peer in self._peers.values():
                peer.forget(channel)
                self._remove_all(peer, channel)

    def _is_known(self, channel: str, connection: str, except_on: Peer | None = None) -> bool:
        """Return whether any node has a member, leaving one of them out."""
        is_here = self._own.has(channel, connection)
        return is_here or self._peers.has(channel, connection, except_on)

    def _replace(self, peer: Peer, part: MembersRange) -> bool:
        """Replace the peer's members in a range of ids; return False without room for all."""
        peer.note_part(part.channel)
        there = {member.connection for member in part.members}
        gone = [
            one
            for one in peer.members.get(part.channel, ())
            if one not in there and part.after < one and (not part.last or one <= part.last)
        ]
        self._remove(peer, part.channel, gone)
        is_stored = self._add(peer, part.channel, part.members)
        for member in part.members if peer.taken_over else ():
            self._give_back(peer, part.channel, member.shown)
        self._update(part.channel, part.members)
        return is_stored

    def _give_back(self, peer: Peer, channel: str, member: Member) -> None:
        """Give a member back that was taken over from a node which, after all, still has it."""
        if (channel, member.connection) in peer.taken_over:
            peer.taken_over.discard((channel, member.connection))
            if self._own.has(channel, member.connection):
                self._yield_member(channel, member)

    def _add(self, peer: Peer, channel: str, members: Iterable[ClusterMember]) -> bool:
        if not self._is_kept(channel):
            return True
        is_stored = True
        for member in members:
            is_known = self._is_known(channel, member.connection)
            if not peer.add_member(channel, member):
                is_stored = False
            elif not is_known:
                self._presence.add(channel, member.shown)
        return is_stored

    def _update(self, channel: str, members: Iterable[Member]) -> None:
        """Apply the `info` of members that are not this node's own."""
        for member in members:
            if not self._own.has(channel, member.connection):
                self._presence.update(channel, member)

    def _remove(self, peer: Peer, channel: str, connections: Iterable[str]) -> None:
        for connection in connections:
            member = peer.remove_member(channel, connection)
            if member is not None and not self._is_known(channel, connection):
                self._presence.remove(channel, member)

    def _remove_all(self, peer: Peer, channel: str) -> None:
        self._remove(peer, channel, list(peer.members.get(channel, ())))

    def _queue(self, line: Line) -> None:
        self._lines.append(line)
        self._sender.schedule()

    def _collect(self) -> list[Line]:
        """Return everything that is to be sent now, and forget it.

        An answer comes after all it promises: while counts are left for the next batch, so is it.
        """
        self._request_stale()
        lines: list[Line] = [*self._counts.pop_lines(), *self._lines]
        self._lines = []
        if not self._counts.has_unreported:
            lines += self._own.pop_answers()
        if self._counts.has_unreported or self._own.is_asked:
            self._sender.schedule()
        return lines

    def _request_stale(self) -> None:
        """Ask each peer for some stale channels, unless it is asked already."""
        for node_id, peer in self._peers.items():
            if peer.stale and not peer.requested:
                self._last_request += 1
                channels = peer.request(self._last_request)
                if SOCKETS in channels:
                    self._counts.begin_snapshot(node_id)
                self._lines.append(StateRequest(node_id, self._last_request, list(channels)))
