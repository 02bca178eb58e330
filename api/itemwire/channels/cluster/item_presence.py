"""The members on other nodes, item by item: heard on its channel, asked for if need be."""

from collections.abc import Callable
from functools import partial
from typing import Final

from itemwire.channels.cluster.asked_channels import Answered, AskedChannels
from itemwire.channels.cluster.doubts import Doubts
from itemwire.channels.cluster.first_answers import WAIT_SECONDS, FirstAnswers
from itemwire.channels.cluster.gossip import (
    ClusterMember,
    ItemWords,
    MemberJoined,
    MemberLeft,
    MembersAsked,
    MembersChanged,
    MembersCounted,
    MembersRange,
    MembersTold,
    ToldLine,
    tag_of,
)
from itemwire.channels.cluster.gossip_sender import GossipSender
from itemwire.channels.cluster.heard_members import HeardMembers
from itemwire.channels.cluster.item_talk import AT_ONCE, ItemTalk
from itemwire.channels.cluster.own_members import OwnMembers
from itemwire.channels.cluster.peer import ANSWER_TICKS, HEARTBEAT_TICKS, Peer, Place
from itemwire.channels.cluster.peers import Peers
from itemwire.channels.presence.presence import Presence
from itemwire.channels.timers import CallLater
from itemwire.engines.base import Answer, EngineError
from itemwire.messages import Member

DEAF_TICKS: Final = HEARTBEAT_TICKS + 2
"""By then each node has given a sign of life, which shows that notices of it were missed."""


class ItemPresence:
    """What is told on the channels that this node has to do with, and what it tells there.

    A channel is kept while it has a subscriber here, while somebody asks for its members, and
    while members of this node are on it, with a connection or away. A node that begins to keep one
    asks on it; those that hear it answer there, once for all who have asked meanwhile. Whose
    numbers show that something was missed is asked again.
    """

    def __init__(
        self,
        node_id: str,
        presence: Presence,
        peers: Peers,
        sender: GossipSender,
        *,
        tell: Callable[[str, ItemWords], None],
        listen: Callable[[str, Answer[None]], None],
        release: Callable[[str], None],
        seek: Callable[[str], None],
        yield_member: Callable[[str, Member], None],
        call_later: CallLater,
    ) -> None:
        self._id = node_id
        self._tag: Final = tag_of(node_id)
        self._presence = presence
        self._peers = peers
        self._sender = sender
        self._listen = listen
        self._release = release
        self._seek = seek
        self._yield_member = yield_member
        self._call_later = call_later
        self.own = OwnMembers(presence.most_listed)
        self.heard: Final = HeardMembers(self.own, peers, presence)
        self.talk = ItemTalk(node_id, tell, is_kept=self.keeps, is_shared=peers.are_on)
        self.asked = AskedChannels(self._is_current, self._release_unless_kept)
        self._answers = FirstAnswers(peers)
        self._doubts = Doubts(ANSWER_TICKS)
        self._followed: set[str] = set()  # channels with a subscriber here
        self._begun: set[str] = set()  # channels that are heard, and were asked on
        self._ticks = 0
        self._missed_tick = -DEAF_TICKS  # when it was found last that channels were not heard

    @property
    def was_deaf(self) -> bool:
        """Return whether this node has missed what it missed by itself, and has asked already."""
        return self._ticks - self._missed_tick < DEAF_TICKS

    def keeps(self, channel: str) -> bool:
        """Return whether the members of a channel on other nodes are kept up to date here."""
        return channel in self._followed or channel in self.asked or self.own.has_any(channel)

    @property
    def keeps_any(self) -> bool:
        """Return whether there is any channel that is kept."""
        return bool(self._begun)

    def follow(self, channel: str) -> None:
        """Keep the members of a channel up to date, which is heard from now on."""
        self._followed.add(channel)
        self._begin(channel)

    def unfollow(self, channel: str) -> None:
        """Forget the members of a channel without a subscriber, unless it is kept nevertheless."""
        self._followed.discard(channel)
        if not self.keeps(channel):
            self._forget(channel)

    def ask(self, channel: str, answered: Answered) -> None:
        """Answer once all members of a channel are known, or when time is up."""
        is_kept = self.keeps(channel)
        self.asked.add(channel, answered)
        if not is_kept:
            self._answers.begin(channel)
            self._listen(channel, partial(self._listened, channel))
        if self._is_current(channel):
            self.asked.check((channel,))
        else:
            self.talk.hasten(channel)
            self._sender.schedule_urgent()
            self._seek_unheard(channel)

    def _seek_unheard(self, channel: str) -> None:
        """Ask every node about a channel that somebody waits for, if nobody there has answered."""
        is_waited_for = self.asked.are_waiting(channel)
        if is_waited_for and self._answers.must_seek(channel, self._ticks, ANSWER_TICKS):
            self._seek(channel)

    def answer_seeking(self, channel: str) -> None:
        """Tell what this node has on a channel, if only nothing."""
        if self.keeps(channel):
            self.own.want(channel)
        else:
            self.talk.deny(channel)
        self._sender.schedule_urgent()

    def _listened(self, channel: str, problem: EngineError | None) -> None:
        if problem is None and self.keeps(channel):
            self._begin(channel)
            self.talk.hasten(channel)
            self._sender.schedule_urgent()

    def miss(self, channel: str) -> None:
        """Ask for what may have been told while the channel was not heard."""
        self._missed_tick = self._ticks
        if channel in self._begun:
            self._answers.begin_anew(channel)
            self._ask(channel)

    def note_failure(self, channel: str) -> None:
        """Ask again, and tell again how far this node is, after something was not told."""
        self.talk.note_failure(channel)
        if channel in self._begun:
            self._answers.begin_anew(channel)
            self._doubts.add(channel, self._ticks, is_sure=True)  # due with the next tick

    def doubt_taken_over(self, peer: Peer) -> None:
        """Ask a node what it still has of the members that were taken over from it."""
        for channel in {channel for channel, _ in peer.taken_over} & peer.places.keys():
            peer.places[channel].doubt()
            self._ask(channel)

    def join(
        self, channel: str, member: ClusterMember, *, by_name: bool = False, is_late: bool = False
    ) -> None:
        """Tell that a member is on this node, with its `info` as it is now.

        In a crowd, and of one that is late, the number is told with the next tick, unless the
        member is to have a name.
        """
        if self.own.add(channel, member, by_name=by_name, is_late=is_late):
            self._queue(channel, MemberJoined(channel, member))

    def leave(self, channel: str, connection: str) -> bool:
        """Tell that a member is not on this node any more; return whether it is on no other."""
        if self.own.remove(channel, connection):
            self._queue(channel, MemberLeft(channel, connection))
        is_gone = not self.heard.is_known(channel, connection)
        self._release_unless_kept(channel)
        return is_gone

    def hear(self, node_id: str, peer: Peer, channel: str, told: ItemWords) -> bool:
        """Apply what another node tells on a channel; return False if there was no room for it."""
        place = peer.places.get(channel)
        is_first = place is None
        if place is None:
            place = peer.places[channel] = Place()
        elif place.is_late(told.number):
            return True  # a duplicate, or late: what it said was asked for since
        if not told.previous:
            self.heard.remove_all(peer, channel)
        place.advance(told.number, told.previous, has_lines=bool(told.lines))
        is_stored = True
        for line in told.lines:
            if self.keeps(channel):  # a member that was the last one here may just have gone
                is_stored &= self._apply(node_id, peer, place, channel, line)
        if place.is_stale and self.keeps(channel):
            self._doubts.add(channel, self._ticks + ANSWER_TICKS)
            if not is_first or self._answers.may_name(channel):  # else a question is on its way
                self._ask(channel)
        self.asked.check((channel,))
        return is_stored

    def tick(self) -> None:
        """Ask again where answers are overdue, and do what else is due."""
        self._ticks += 1
        self._tell_counts()
        self.talk.tick()
        for channel, is_sure in self._doubts.pop_due(self._ticks):
            if self.keeps(channel) and (is_sure or self._peers.is_stale_on(channel)):
                self.talk.ask(channel)
                self._doubts.go_on(channel, self._ticks)
            else:
                self._doubts.forget(channel)
        self.asked.tick()

    def flush(self) -> None:
        """Tell what waits, or a batch of it."""
        for channel, answer in self.own.pop_answers(self.talk.changed_since):
            if isinstance(answer, MembersChanged):
                self.talk.add(channel, answer)
                continue
            tags = self._peers.tags(channel) if self._answers.may_name(channel) else None
            self.talk.add(channel, *answer, MembersTold(tags, self.own.counted(channel)))
        at_once = 0 if self._sender.is_hasty else AT_ONCE
        asked = self.talk.flush(self._peers.question_on, at_once)
        if asked:
            self._call_later(WAIT_SECONDS, partial(self._end_wait, asked))
        if self.talk.has_more or self.own.is_asked:
            self._sender.schedule()

    def remove_counted(self, peer: Peer) -> None:
        """Remove the members of another node that have no names: nobody waits for them."""
        for channel in list(peer.counted):
            self.heard.count(peer, channel, 0)

    def _begin(self, channel: str) -> None:
        """Ask on a channel, which is heard from now on, unless it was heard before."""
        if channel not in self._begun:
            self._begun.add(channel)
            self._answers.begin(channel)
            self._ask(channel)

    def _ask(self, channel: str) -> None:
        self.talk.ask(channel)
        self._sender.schedule()

    def _end_wait(self, channels: list[str]) -> None:
        self._answers.end_wait(channels)
        self.asked.check(channels)
        for channel in channels:
            self._seek_unheard(channel)

    def _is_current(self, channel: str) -> bool:
        """Return whether every other node has said which members it has on a channel."""
        is_greeted = self._ticks > 0  # within a second, each node has answered the greeting
        return is_greeted and (not self._peers or self._answers.are_in(channel))

    def _release_unless_kept(self, channel: str) -> None:
        if not self.keeps(channel):
            self._forget(channel)
            self._release(channel)

    def _forget(self, channel: str) -> None:
        """Forget the members of a channel on other nodes, which nobody here needs any more."""
        self._begun.discard(channel)
        self._answers.forget(channel)
        self._doubts.forget(channel)
        self.talk.forget(channel)
        self.own.unwant(channel)
        for peer in self._peers.values():
            peer.places.pop(channel, None)
            self.heard.remove_all(peer, channel)

    def _tell_counts(self) -> None:
        """Tell how many members of this node are without a name, where that has changed.

        Also where it has nothing to do with the channel any more, like the last that left.
        """
        for channel, named in self.own.pop_changed():
            lines = [MemberJoined(channel, member) for member in named]
            self.talk.add(channel, *lines, MembersCounted(channel, self.own.counted(channel)))
            self._sender.schedule()

    def _queue(self, channel: str, line: ToldLine) -> None:
        self.talk.add(channel, line)
        self._sender.schedule()

    def _apply(self, node_id: str, peer: Peer, place: Place, channel: str, line: ToldLine) -> bool:
        """Apply one line; return False if there was no room for it."""
        match line:
            case MembersAsked():
                self._take_question(channel, line)
            case MembersTold(tags, counted):
                place.note_all_told()
                self._answers.note_tags(channel, tags)
                self.heard.count(peer, channel, counted)
            case MembersCounted(on, counted) if on == channel:
                self.heard.count(peer, channel, counted)
            case MemberJoined(on, member) if on == channel:
                is_stored = self.heard.add(peer, channel, [member])
                self._resolve_owner(node_id, channel, member)
                self.heard.update(channel, [member])
                return is_stored
            case MemberLeft(on, connection) if on == channel:
                peer.away.discard(channel, connection)
                self.heard.remove(peer, channel, [connection])
            case MembersRange(on) if on == channel:
                place.note_part(line.after)
                return self._replace(peer, line)
            case MembersChanged(on, number) if on == channel:
                place.note_changes(number)
                return self._change(peer, line)
            case _:
                pass  # about another channel than it was told on: no node of ours has said so
        return True

    def _take_question(self, channel: str, question: MembersAsked) -> None:
        """Answer with the next batch, unless who asks knows all members of this node."""
        known = question.known.get(self._tag)
        if not self.talk.knows_all(channel, known):
            self.own.want(channel, known or question.missed.get(self._tag, 0))
            self._sender.schedule_urgent()

    def _resolve_owner(self, node_id: str, channel: str, member: Member) -> None:
        """Make sure that only one node has a member that another node has just reported."""
        self._peers.discard_away(channel, member.connection)
        if not self.own.has(channel, member.connection):
            return
        if self._presence.discard_away(channel, member):
            self._presence.leave(channel, member)  # its caller returned there
        elif node_id < self._id:
            self._yield_member(channel, member)
        else:
            self._say_own(channel, member.connection)

    def _say_own(self, channel: str, connection: str) -> None:
        """Tell that this node has a member which another one has as well: one of them yields."""
        self._queue(channel, MemberJoined(channel, self.own.name(channel, connection)))

    def _replace(self, peer: Peer, part: MembersRange) -> bool:
        """Replace the peer's members in a range of ids; return False without room for all."""
        there = {member.connection for member in part.members}
        gone = [
            one
            for one in peer.members.get(part.channel, ())
            if one not in there and part.after < one and (not part.last or one <= part.last)
        ]
        self.heard.remove(peer, part.channel, gone)
        return self._take_told(peer, part.channel, part.members)

    def _change(self, peer: Peer, changed: MembersChanged) -> bool:
        """Apply who came and left on a peer; return False without room for all."""
        for connection in changed.gone:
            peer.away.discard(changed.channel, connection)
        self.heard.remove(peer, changed.channel, changed.gone)
        self.heard.count(peer, changed.channel, changed.counted)
        return self._take_told(peer, changed.channel, changed.members)

    def _take_told(self, peer: Peer, channel: str, members: list[ClusterMember]) -> bool:
        """Take over what a peer has answered of its members; return False without room for all."""
        is_stored = self.heard.add(peer, channel, members)
        for member in members:
            self._give_back(peer, channel, member.shown)
        self.heard.update(channel, members)
        return is_stored

    def _give_back(self, peer: Peer, channel: str, member: Member) -> None:
        """Give a member back that was taken over from a node which, after all, still has it."""
        is_taken = (channel, member.connection) in peer.taken_over
        peer.taken_over.discard((channel, member.connection))
        if not self.own.has(channel, member.connection):
            return
        if is_taken:
            self._yield_member(channel, member)
        else:
            self._say_own(channel, member.connection)
