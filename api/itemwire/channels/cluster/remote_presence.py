"""What a node knows of the others: which there are, and what all of them tell all."""

import math
from collections.abc import Callable
from typing import Final

from typing_extensions import override

from itemwire.channels.cluster.asked_channels import Answered
from itemwire.channels.cluster.connection_counts import ConnectionCounts
from itemwire.channels.cluster.gossip import (
    EVERY_ITEM,
    SOCKETS,
    ClusterMember,
    Gossip,
    ItemWords,
    Line,
    MemberAway,
    MemberBack,
    MembersSought,
    NodeStopping,
    SocketCounts,
    StateRequest,
    StateSent,
)
from itemwire.channels.cluster.gossip_sender import GossipSender
from itemwire.channels.cluster.item_presence import ItemPresence
from itemwire.channels.cluster.life_checks import LifeChecks
from itemwire.channels.cluster.peer import HEARTBEAT_TICKS, Peer
from itemwire.channels.cluster.peers import Peers
from itemwire.channels.presence.presence import OtherNodes, Presence
from itemwire.channels.timers import CallLater, call_later
from itemwire.engines.base import Answer
from itemwire.messages import Member
from itemwire_auth.principal import Identity

MAX_PEERS: Final = 1000  # nodes known at the same time, so that forged ids cannot use up memory


class RemotePresence(OtherNodes):
    """The other nodes: their signs of life, their connection counts, and who of them is away.

    All of that goes to every node, by numbered notices. Members are told on the channel of their
    item, as `ItemPresence` says. A gap in the numbers shows that a notice was missed: its node is
    asked to say on each channel how far it has come, lest something was missed there too. Silence
    is counted in ticks of this node, which stop when it is suspended: no clock is compared with
    another.

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
        *,
        tell: Callable[[str, ItemWords], None],
        listen: Callable[[str, Answer[None]], None],
        release: Callable[[str], None],
        yield_member: Callable[[str, Member], None],
        grace: float = 0,
        call_later: CallLater = call_later,
    ) -> None:
        self._id = node_id
        self._counts = counts
        self._sender = GossipSender(self._collect, send, call_later)
        # One tick more than the grace time: the first may come at once.
        self._grace_ticks = math.ceil(grace) + 1 if grace else 0
        self._life = LifeChecks(self._ask_for_sign, self._suspect, call_later)
        self._peers = Peers()
        self.items = ItemPresence(
            node_id,
            presence,
            self._peers,
            self._sender,
            tell=tell,
            listen=listen,
            release=release,
            seek=self._seek,
            yield_member=yield_member,
            call_later=call_later,
        )
        self._own_away: set[tuple[str, str]] = set()  # channels and ids of those that may return
        self._taken: tuple[str, str] | None = None  # the channel and id that was just taken over
        self._lines: list[Line] = []  # for the next batch
        self._requests: dict[str, int] = {}  # nodes to answer, and the numbers of their requests
        self._signs: dict[str, None] = {}  # nodes that have asked whether this one lives
        self._last_request = 0
        self._ticks = 0

    def start(self) -> None:
        """Tell the other nodes that this one is there; each replies with a sign of its own."""
        self._sender.start()

    def stop(self) -> None:
        """Send what is left, say that this node stops, and send nothing more."""
        self._sender.stop()

    @override
    def report_joined(
        self, channel: str, identity: Identity, member: Member, *, is_late: bool = False
    ) -> None:
        own = ClusterMember(member.connection, member.subject, member.info, issuer=identity[0])
        self._peers.discard_away(channel, member.connection)
        if (channel, member.connection) in self._own_away:
            self._say_back(channel, member)
        taken, self._taken = self._taken, None
        by_name = taken == (channel, member.connection)
        self.items.join(channel, own, by_name=by_name, is_late=is_late)

    @override
    def report_left(self, channel: str, member: Member) -> bool:
        self._own_away.discard((channel, member.connection))
        return self.items.leave(channel, member.connection)

    @override
    def report_away(self, channel: str, identity: Identity, member: Member) -> None:
        issuer, _ = identity
        self._own_away.add((channel, member.connection))
        self._lines.append(MemberAway(channel, member, issuer))
        self._sender.schedule_urgent()  # its caller may be back on another node in a moment

    @override
    def take_over(self, channel: str, identity: Identity) -> Member | None:
        member = self._peers.take_over(channel, identity)
        if member is not None:
            self._say_back(channel, member)
            self._taken = channel, member.connection
        return member

    def _seek(self, channel: str) -> None:
        self._lines.append(MembersSought(channel))
        self._sender.schedule_urgent()

    def _say_back(self, channel: str, member: Member) -> None:
        """Tell nodes that do not hear the item, too, that a member is away no longer."""
        self._own_away.discard((channel, member.connection))
        self._lines.append(MemberBack(channel, member.connection))
        self._sender.schedule_urgent()

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

    def ask(self, channel: str, answered: Answered) -> None:
        """Answer once all members of a channel are known, or when time is up.

        The answer is whether they are, and no node is silent. A node that has just started first
        waits until the others had time to answer its greeting.
        """

        def told(is_current: bool) -> None:
            answered(is_current and not self._peers.is_any_silent)

        self.items.ask(channel, told)

    def answer_all(self) -> None:
        """Answer all that was asked with what is known: the engine is away."""
        self.items.asked.answer_all()

    def hear(self, channel: str, told: ItemWords) -> bool:
        """Apply what another node tells on a channel; return False if there was no room for it."""
        if not self.items.keeps(channel):
            return True
        peer = self._peer_of(told.node, 0)
        if peer is None:
            return False
        if peer.is_suspect:
            self._resume(peer)
        return self.items.hear(told.node, peer, channel, told)

    def receive(self, node_id: str, gossip: Gossip) -> bool:
        """Apply what another node says; return False if there was no room for all of it."""
        peer = self._peer_of(node_id, gossip.number)
        if peer is None:
            return False
        if gossip.number <= peer.last_number:
            return True  # a duplicate, or late: what it said was asked for since
        if peer.is_stopping or peer.is_suspect or gossip.number > peer.last_number + 1:
            self._resume(peer)
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
        self.items.tick()
        self._sender.flush()

    def _peer_of(self, node_id: str, number: int) -> Peer | None:
        """Return what is known of another node, which may be new; None where there is no room."""
        peer = self._peers.get(node_id)
        if peer is None and len(self._peers) < MAX_PEERS:
            peer = self._peers[node_id] = Peer(number - 1, self._grace_ticks)
            self._mark_stale(peer)
            self._sender.require_heartbeat()  # it does not know this node yet
        return peer

    def _remove_peer(self, node_id: str) -> None:
        peer = self._peers.pop(node_id)
        self._counts.remove_node(node_id)
        self._requests.pop(node_id, None)
        self._signs.pop(node_id, None)
        for channel in {*peer.members, *peer.counted}:
            self.items.heard.remove_all(peer, channel)
        self.items.asked.check_all()

    def _peer_stops(self, node_id: str, peer: Peer) -> None:
        """Keep the members of a stopping node for the grace time: they may return elsewhere."""
        self._counts.remove_node(node_id)
        peer.mark_stopping(self._grace_ticks)
        self.items.remove_counted(peer)
        self._life.heard(node_id)
        if not self._grace_ticks:
            self._remove_peer(node_id)
        self.items.asked.check_all()

    def _resume(self, peer: Peer) -> None:
        """Go on with a node that was thought to be gone, or of which something was missed."""
        if peer.is_suspect:
            self.items.doubt_taken_over(peer)
        peer.mark_running()
        self._mark_stale(peer)

    def _mark_stale(self, peer: Peer) -> None:
        """Ask a peer for everything: it is new here, or a notice of it may have been missed."""
        peer.away.clear()  # the missed notice may have said that one of them returned
        counts = [SOCKETS] if self._counts.is_limited else []
        is_asked = self.items.was_deaf or not self.items.keeps_any
        items = [] if is_asked else [EVERY_ITEM]
        peer.mark_stale([*counts, *items], is_missed=True)
        self._sender.schedule()

    def _apply(self, node_id: str, peer: Peer, line: Line) -> bool:
        """Apply one line; return False if there was no room for it."""
        match line:
            case SocketCounts():
                return self._counts.receive(node_id, line)
            case StateRequest(to, number, asked) if to == self._id:
                self._answer(node_id, number, asked)
            case StateSent(to, 0) if to == self._id:
                self._life.heard(node_id)
            case StateSent(to, number) if to == self._id and number == peer.request_number:
                self._state_received(node_id, peer)
            case MemberAway():
                self._note_away(peer, line)
            case MembersSought(channel):
                self.items.answer_seeking(channel)
            case MemberBack(channel, connection):
                self._peers.discard_away(channel, connection)
            case _:
                pass  # between two others, about a request that was cancelled, or of an older node
        return True

    def _note_away(self, peer: Peer, line: MemberAway) -> None:
        """Let whoever comes here continue a member that is away, unless it is elsewhere by now."""
        channel, member = line.channel, line.member
        is_elsewhere = self.items.heard.is_known(channel, member.connection, except_on=peer)
        if peer.away.has_room and not is_elsewhere:
            peer.add_away(channel, (line.issuer, member.subject), member)

    def _answer(self, node_id: str, number: int, asked: list[str]) -> None:
        """Send what is asked for with the next batch; for nothing at all, a sign of life."""
        if not asked:
            self._signs[node_id] = None
            self._sender.schedule_urgent()
            return
        if SOCKETS in asked:
            self._counts.report_all()
        if EVERY_ITEM in asked:
            self.items.talk.repeat_all()
        self._requests[node_id] = number
        self._sender.schedule()

    def _state_received(self, node_id: str, peer: Peer) -> None:
        if SOCKETS in peer.requested:
            self._counts.end_snapshot(node_id)
        peer.mark_current()
        self._sender.schedule()  # for what is still stale

    def _collect(self) -> list[Line]:
        """Return everything that is to be sent now, and forget it; tell what is to be told.

        An answer comes after all it promises: while counts are left for the next batch, so is it.
        """
        self.items.flush()
        self._request_stale()
        signs, self._signs = self._signs, {}
        lines: list[Line] = [
            *(StateSent(node_id, 0) for node_id in signs),
            *self._counts.pop_lines(),
            *self._lines,
        ]
        self._lines = []
        if self._counts.has_unreported:
            self._sender.schedule()
        else:
            requests, self._requests = self._requests, {}
            lines += [StateSent(node_id, number) for node_id, number in requests.items()]
        return lines

    def _request_stale(self) -> None:
        """Ask each peer for what is stale, unless it is asked already."""
        for node_id, peer in self._peers.items():
            if peer.stale and not peer.requested:
                self._last_request += 1
                asked = peer.request(self._last_request)
                if SOCKETS in asked:
                    self._counts.begin_snapshot(node_id)
                self._lines.append(StateRequest(node_id, self._last_request, list(asked)))
