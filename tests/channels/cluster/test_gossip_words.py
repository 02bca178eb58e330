"""Each line that nodes write to each other, as it is on the way: other releases read it."""

from __future__ import annotations

import pytest

from itemwire.channels.cluster.gossip import (
    MAX_SOCKETS,
    ClusterMember,
    Gossip,
    ItemWords,
    Line,
    MemberAway,
    MemberBack,
    MemberJoined,
    MemberLeft,
    MembersAsked,
    MembersChanged,
    MembersCounted,
    MembersRange,
    MembersSought,
    MembersTold,
    NodeStopping,
    SocketCount,
    SocketCounts,
    StateRequest,
    StateSent,
    ToldLine,
)
from itemwire.channels.cluster.notices import Notice, read_notice, read_told

ALICE = ClusterMember("c1", "alice", issuer="me")
WRITTEN = '{"connection":"c1","subject":"alice","issuer":"me"}'

TOLD: dict[str, ToldLine] = {
    f'{{"type":"came","channel":"x","member":{WRITTEN}}}': MemberJoined("x", ALICE),
    '{"type":"gone","channel":"x","connection":"c1"}': MemberLeft("x", "c1"),
    f'{{"type":"part","channel":"x","after":"","last":"c9","members":[{WRITTEN}]}}': MembersRange(
        "x", "", "c9", [ALICE]
    ),
    f'{{"type":"since","channel":"x","number":7,"members":[{WRITTEN}]}}': MembersChanged(
        "x", 7, [ALICE]
    ),
    '{"type":"since","channel":"x","number":7,"gone":["c2"],"counted":3}': MembersChanged(
        "x", 7, gone=["c2"], counted=3
    ),
    '{"type":"more","channel":"x","counted":3}': MembersCounted("x", 3),
    '{"type":"who","known":{"abc":7}}': MembersAsked({"abc": 7}),
    '{"type":"who","known":{},"missed":{"abc":7}}': MembersAsked({}, {"abc": 7}),
    '{"type":"all"}': MembersTold(),
    '{"type":"all","tags":[],"counted":3}': MembersTold([], 3),
}

IN_NOTICES: dict[str, Line] = {
    '{"type":"away","channel":"x","member":{"connection":"c1","subject":"alice"},"issuer":null}': (
        MemberAway("x", ALICE.shown)
    ),
    '{"type":"back","channel":"x","connection":"c1"}': MemberBack("x", "c1"),
    '{"type":"seek","channel":"x"}': MembersSought("x"),
    '{"type":"ask","to":"b","number":1,"channels":["x"]}': StateRequest("b", 1, ["x"]),
    '{"type":"answered","to":"b","number":1}': StateSent("b", 1),
    '{"type":"holds","callers":[[null,"alice",2]]}': SocketCounts([SocketCount(None, "alice", 2)]),
    '{"type":"farewell"}': NodeStopping(),
}


@pytest.mark.parametrize("text", TOLD)
def test_what_is_told_on_a_channel_is_written_and_read_so(text: str) -> None:
    """A number that is 0, and a list with nothing in it, are left out."""
    words = f'["b",9,8,[{text}]]'.encode()

    assert ItemWords("b", 9, 8, [TOLD[text]]).encoded() == words
    assert read_told(words).lines == [TOLD[text]]


@pytest.mark.parametrize("text", IN_NOTICES)
def test_what_is_told_in_a_notice_is_written_and_read_so(text: str) -> None:
    """Each line has its word."""
    notice = f'{{"node":"b","gossip":{{"number":1,"lines":[{text}]}}}}'.encode()

    assert Notice("b", gossip=Gossip(1, [IN_NOTICES[text]])).encoded() == notice
    assert read_notice(notice) == Notice("b", gossip=Gossip(1, [IN_NOTICES[text]]))


@pytest.mark.parametrize("numbers", [(0, MAX_SOCKETS), (-1, MAX_SOCKETS + 1)])
def test_a_number_of_members_is_read_within_its_bounds(numbers: tuple[int, int]) -> None:
    """Up to more than a process has descriptors."""
    is_read = numbers[0] == 0
    for number in numbers:
        for line in (MembersCounted("x", number), MembersTold(None, number)):
            words = ItemWords("x", 1, 0, [line]).encoded()
            if is_read:
                assert read_told(words).lines == [line]
            else:
                with pytest.raises(ValueError, match="int"):
                    read_told(words)
    assert MAX_SOCKETS >= 1 << 20
