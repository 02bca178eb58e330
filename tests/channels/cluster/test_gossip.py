"""What nodes write to each other: the words of the wire, and the size of lines and notices."""

from __future__ import annotations

import msgspec
import pytest

from itemwire.channels.cluster.gossip import (
    CALLERS_A_LINE,
    MAX_NUMBER,
    MAX_SOCKETS,
    MEMBERS_A_LINE,
    NOTICE_BYTES,
    ClusterMember,
    Gossip,
    Line,
    MemberAway,
    MemberJoined,
    MemberLeft,
    MembersRange,
    NodeStopping,
    SocketCount,
    SocketCounts,
    StateRequest,
    StateSent,
    count_lines,
    member_ranges,
    pack_lines,
)
from itemwire.messages import Member

ALICE = ClusterMember("c1", "alice")


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (MemberJoined("x", ALICE), "came"),
        (MemberLeft("x", "c1"), "gone"),
        (MembersRange("x", "", "", [ALICE]), "part"),
        (StateRequest("b", 1, ["x"]), "ask"),
        (StateSent("b", 1), "answered"),
        (MemberAway("x", Member("c1", "alice")), "away"),
        (SocketCounts([SocketCount(None, "alice", 1)]), "holds"),
        (NodeStopping(), "farewell"),
    ],
)
def test_each_line_has_its_word(line: Line, word: str) -> None:
    """Nodes of two versions must read each other while they are upgraded one by one."""
    written = msgspec.json.encode(Gossip(1, [line]))

    assert msgspec.json.decode(written)["lines"][0]["type"] == word
    assert msgspec.json.decode(written, type=Gossip).lines == [line]


def test_a_sign_of_life_is_a_number_alone() -> None:
    """It is sent every other second by every node to every other."""
    assert msgspec.json.encode(Gossip(7)) == b'{"number":7}'


@pytest.mark.parametrize(
    "written",
    [
        {"number": -1},
        {"number": MAX_NUMBER + 1},
        {"number": 1, "lines": [{"type": "holds", "callers": [[None, "a", -1]]}]},
        {"number": 1, "lines": [{"type": "holds", "callers": [[None, "a", MAX_SOCKETS + 1]]}]},
        {"number": 1, "lines": [{"type": "came", "channel": "x", "member": ["", "a"]}]},
        {"number": 1, "lines": [{"type": "away", "channel": "x", "member": ["", "a"]}]},
        {
            "number": 1,
            "lines": [
                {"type": "part", "channel": "x", "after": "", "last": "", "members": [["", "a"]]}
            ],
        },
    ],
)
def test_reads_no_number_or_id_that_cannot_be(written: object) -> None:
    """The bus is not trusted: such a line would lock a caller out, or never be removed."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(written), type=Gossip)


def test_reads_numbers_up_to_their_bounds() -> None:
    """The accepted twins."""
    for number in (0, MAX_NUMBER):
        assert (
            msgspec.json.decode(msgspec.json.encode(Gossip(number)), type=Gossip).number == number
        )
    for sockets in (0, MAX_SOCKETS):
        line = SocketCounts([SocketCount("i", "alice", sockets)])
        written = msgspec.json.encode(Gossip(1, [line]))
        assert msgspec.json.decode(written, type=Gossip).lines == [line]


@pytest.mark.parametrize(
    ("count", "sizes"),
    [
        (0, [0]),
        (1, [1]),
        (MEMBERS_A_LINE, [MEMBERS_A_LINE]),
        (MEMBERS_A_LINE + 1, [MEMBERS_A_LINE, 1]),
        (2 * MEMBERS_A_LINE, [MEMBERS_A_LINE, MEMBERS_A_LINE]),
    ],
)
def test_ranges_adjoin_and_cover_all(count: int, sizes: list[int]) -> None:
    """Each begins where the one before it ends, the first at no id and the last without end."""
    members = [ClusterMember(f"c{number:03}", "a") for number in range(count)]
    ranges = list(member_ranges("x", reversed(members)))

    assert [len(one.members) for one in ranges] == sizes
    assert [one for part in ranges for one in part.members] == members
    assert [one.after for one in ranges] == ["", *(one.last for one in ranges[:-1])]
    assert ranges[-1].last == ""
    assert all(one.last == one.members[-1].connection for one in ranges[:-1])


def test_counts_are_divided_into_lines() -> None:
    """None is left out."""
    counts = [SocketCount(None, str(number), 1) for number in range(2 * CALLERS_A_LINE + 1)]
    lines = list(count_lines(counts))

    assert [len(line.callers) for line in lines] == [CALLERS_A_LINE, CALLERS_A_LINE, 1]
    assert [one for line in lines for one in line.callers] == counts
    assert list(count_lines([])) == []


def _line_of(size: int) -> Line:
    empty = len(msgspec.json.encode(MemberLeft("", "")))
    return MemberLeft("x" * (size - empty), "")


@pytest.mark.parametrize(
    ("sizes", "packs"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([100], [1], id="one"),
        pytest.param([NOTICE_BYTES - 100, 100], [2], id="just full"),
        pytest.param([NOTICE_BYTES - 100, 101], [1, 1], id="one byte more"),
        pytest.param([2 * NOTICE_BYTES, 100], [1, 1], id="larger than a notice"),
        pytest.param([100, NOTICE_BYTES, 100], [1, 1, 1], id="each alone"),
        pytest.param([NOTICE_BYTES // 2] * 5, [2, 2, 1], id="two by two"),
    ],
)
def test_lines_are_packed_in_their_order_up_to_the_size(sizes: list[int], packs: list[int]) -> None:
    """A notice that is too large would be dropped by the others."""
    lines = list(map(_line_of, sizes))
    packed = list(pack_lines(lines))

    assert [len(pack) for pack in packed] == packs
    assert [line for pack in packed for line in pack] == lines
