"""What clients of `itemwire.v1.json` may ask and are told: welcome, presence, history."""

from contextlib import ExitStack
from operator import itemgetter

import pytest

from itemwire.testing import LiveServer
from tests.scenarios.clients import (
    EVERYTHING,
    PATIENCE,
    Envelope,
    JsonClient,
    json_client,
    plain_client,
)


def test_the_welcome_tells_who_and_where_one_is(server: LiveServer, item_id: str) -> None:
    """All a client needs to know before it does anything, in the first frame."""
    with json_client(server, item_id, scope=EVERYTHING) as alice:
        welcome = alice.welcome

    assert welcome == {
        "type": "welcome",
        "connection": welcome["connection"],
        "subject": "alice",
        "item": item_id,
        "can": ["subscribe", "publish", "history", "presence"],
        "epoch": welcome["epoch"],
        "resume": welcome["resume"],
        "offset": 0,
        "was_recovering": False,
        "recovered": False,
        "members": [alice.member],
        "member_count": 1,
        "expires_at": welcome["expires_at"],
        "ping_interval": 20.0,
        "max_message_bytes": 65_536,
    }
    assert isinstance(welcome["expires_at"], int)
    assert len(welcome["connection"]) >= 8
    assert welcome["epoch"]


@pytest.mark.parametrize("can", [["subscribe"], ["subscribe", "publish"], ["subscribe", "history"]])
def test_the_welcome_tells_what_one_may_do(
    server: LiveServer, item_id: str, can: list[str]
) -> None:
    """A console greys out what would be refused; who may not see members sees none."""
    scope = " ".join(f"items:{item_id}:{action}" for action in reversed(can))
    with json_client(server, item_id, scope=scope) as alice:
        assert alice.welcome["can"] == can
        assert "members" not in alice.welcome


def test_those_who_may_see_presence_see_who_comes_and_goes(
    server: LiveServer, item_id: str
) -> None:
    """The joiner reads of itself in its welcome, the others get `joined`, later `left`."""
    with json_client(server, item_id, "alice", scope=EVERYTHING) as alice:
        with json_client(server, item_id, "bob", scope=EVERYTHING) as bob:
            joined, members = alice.read(), bob.ask("members")["members"]
            assert bob.welcome["members"] == in_order(alice, bob)
        left = alice.read()
        with plain_client(server, item_id, "carol"):
            plain = alice.read()
        alone = [alice.read(), alice.ask("members")]

    assert joined == {"type": "joined", "item": item_id, "member": bob.member}
    assert members == in_order(alice, bob)
    assert left == {"type": "left", "item": item_id, "member": bob.member}
    assert (plain["type"], plain["member"]["subject"]) == ("joined", "carol")
    assert alone[0] == {"type": "left", "item": item_id, "member": plain["member"]}
    assert alone[1]["members"] == [alice.member]


def test_two_sockets_of_one_subject_are_two_members(server: LiveServer, item_id: str) -> None:
    """Two tabs of one person: closing one leaves the other there."""
    with json_client(server, item_id, scope=EVERYTHING) as first:
        with json_client(server, item_id, scope=EVERYTHING) as second:
            assert first.read()["member"] == second.member != first.member
        assert first.read() == {"type": "left", "item": item_id, "member": second.member}
        assert first.ask("members")["members"] == [first.member]


def test_who_may_not_see_presence_sees_none(server: LiveServer, item_id: str) -> None:
    """Neither `joined` nor `left` nor `members`; but others see that it is there."""
    with json_client(server, item_id, "carol") as carol:
        with json_client(server, item_id, scope=EVERYTHING) as alice:
            assert alice.welcome["members"] == in_order(carol, alice)
        with plain_client(server, item_id) as bob:
            bob.send("hello")
            message = carol.read()
        error = carol.ask("members")

    assert (message["type"], message["data"]) == ("message", "hello")
    assert (error["type"], error["code"], error["temporary"]) == ("error", "scope_missing", False)


@pytest.mark.parametrize(
    ("replay", "seen"), [(0, []), (2, [4, 5]), (5, [1, 2, 3, 4, 5]), (9, [1, 2, 3, 4, 5])]
)
def test_the_last_messages_come_first_then_the_live_ones(
    server: LiveServer, item_id: str, replay: int, seen: list[int]
) -> None:
    """A page that opens shows what was said, and goes on without gap or repeat."""
    with json_client(server, item_id) as alice:
        _publish(alice, 5)
        with (
            json_client(server, item_id, "bob", replay=replay) as bob,
            plain_client(server, item_id, "carol", replay=replay) as carol,
        ):
            _publish(alice, 1)
            told = [message["offset"] for message in bob.messages(len(seen) + 1)]
            heard = [int(carol.recv(timeout=PATIENCE)) for _ in range(len(seen) + 1)]

    assert bob.welcome["offset"] == 5
    assert bob.welcome["epoch"] == alice.welcome["epoch"]
    assert told == [*seen, 6]
    assert heard == [*seen, 1]


@pytest.mark.parametrize(
    ("asked", "offsets", "complete"),
    [
        pytest.param({}, [1, 2, 3, 4, 5], True, id="all"),
        pytest.param({"limit": 2}, [4, 5], False, id="the_newest"),
        pytest.param({"limit": 5}, [1, 2, 3, 4, 5], True, id="exactly_all"),
        pytest.param({"after": 2}, [3, 4, 5], True, id="after"),
        pytest.param({"after": 2, "limit": 2}, [3, 4], False, id="the_oldest_after"),
        pytest.param({"before": 3}, [1, 2], True, id="before"),
        pytest.param({"before": 5, "limit": 2}, [3, 4], False, id="the_newest_before"),
        pytest.param({"after": 1, "before": 4}, [2, 3], True, id="between"),
        pytest.param({"after": 3, "before": 4}, [], True, id="between_neighbours"),
        pytest.param({"after": 4, "before": 2}, [], True, id="the_wrong_way_round"),
        pytest.param({"after": 5}, [], True, id="after_the_last"),
        pytest.param({"after": 500}, [], True, id="after_what_is_not_yet"),
        pytest.param({"before": 500}, [1, 2, 3, 4, 5], True, id="before_what_is_not_yet"),
        pytest.param({"before": 0}, [], True, id="before_all"),
    ],
)
def test_history_is_read_back_in_parts(
    server: LiveServer, item_id: str, asked: dict[str, int], offsets: list[int], complete: bool
) -> None:
    """Pages forward and backward, each saying whether something within was left out."""
    with json_client(server, item_id) as alice:
        _publish(alice, 5)
        lived = alice.messages(5)
        answer = alice.ask("history", **asked)

    assert answer["type"] == "reply"
    assert (answer["epoch"], answer["offset"]) == (alice.welcome["epoch"], 5)
    assert answer["messages"] == [lived[offset - 1] for offset in offsets]
    assert answer["complete"] is complete


def test_history_is_bounded(server: LiveServer, item_id: str) -> None:
    """What was forgotten is not passed off as all there was."""
    with json_client(server, item_id) as alice:
        _publish(alice, 103)
        answer = alice.ask("history", limit=1000)
        with json_client(server, item_id, replay=1000) as late:
            replayed = [message["offset"] for message in late.messages(100)]

    assert [message["offset"] for message in answer["messages"]] == list(range(4, 104))
    assert answer["complete"] is False
    assert replayed == list(range(4, 104))


def test_history_needs_its_right(server: LiveServer, item_id: str) -> None:
    """The right to subscribe does not include the right to read the history."""
    with json_client(server, item_id, scope="items:subscribe items:publish") as alice:
        _publish(alice, 1)
        error = alice.ask("history")

    assert (error["type"], error["code"]) == ("error", "scope_missing")


def test_a_key_publishes_once(server: LiveServer, item_id: str) -> None:
    """A client that lost the answer asks again and is told the same (requirement 111)."""
    with json_client(server, item_id) as alice, json_client(server, item_id, "bob") as bob:
        first = alice.ask("publish", data="a", key="k")
        again = alice.ask("publish", data="other", key="k")
        other = alice.ask("publish", data="b", key="l")
        heard = [(message["offset"], message["data"]) for message in bob.messages(2)]

    assert again["offset"] == first["offset"] == 1
    assert again["epoch"] == first["epoch"]
    assert other["offset"] == 2
    assert heard == [(1, "a"), (2, "b")]


def test_a_key_counts_for_its_item_only(server: LiveServer, item_id: str) -> None:
    """Clients number their messages alike."""
    with ExitStack() as stack:
        clients = [
            stack.enter_context(json_client(server, name)) for name in (item_id, f"{item_id}:b")
        ]
        for client in clients:
            client.ask("publish", data="mine", key="1")

        assert [client.read()["data"] for client in clients] == ["mine", "mine"]


def in_order(*clients: JsonClient) -> list[Envelope]:
    """List clients as members are listed: by connection."""
    return sorted((one.member for one in clients), key=itemgetter("connection"))


def _publish(client: JsonClient, count: int) -> None:
    for number in range(1, count + 1):
        assert client.ask("publish", data=number)["type"] == "reply"
