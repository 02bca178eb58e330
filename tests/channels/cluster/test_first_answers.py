"""When all members of an item are known: as soon as those who were named have told theirs."""

from __future__ import annotations

from itemwire.channels.cluster.first_answers import FirstAnswers
from itemwire.channels.cluster.peer import Peer, Place
from itemwire.channels.cluster.peers import Peers


class Others:
    """Two other nodes, and what was heard of them on a channel."""

    def __init__(self) -> None:
        self.peers = Peers({"one": Peer(0), "two": Peer(0)})
        self.answers = FirstAnswers(self.peers)

    def tell(self, name: str, *, is_stale: bool = False) -> None:
        """Hear one of them."""
        place = self.peers[name].places["x"] = Place()
        place.is_stale = is_stale

    @property
    def are_in(self) -> bool:
        """Tell whether all is known."""
        return self.answers.are_in("x")


def test_where_nobody_asked_all_is_known_unless_something_was_missed() -> None:
    """Of a node that stops, nothing more is to be heard."""
    others = Others()
    before = others.are_in
    others.tell("one", is_stale=True)
    meanwhile = others.are_in
    others.peers["one"].is_stopping = True

    assert (before, meanwhile, others.are_in) == (True, False, True)


def test_who_was_named_is_waited_for_and_nobody_else() -> None:
    """A tag that no node has is nobody's."""
    others = Others()
    others.answers.begin("x")
    others.tell("one")
    nobody_named = others.are_in
    others.answers.note_tags("x", None)
    cannot_say = others.are_in
    others.answers.note_tags("x", ["two", "nobody"])
    named = others.are_in
    others.tell("two")

    assert (nobody_named, cannot_say, named, others.are_in) == (False, False, False, True)


def test_where_no_other_was_named_the_first_answer_is_all() -> None:
    """It is from the only node that has members there."""
    others = Others()
    others.answers.begin("x")
    others.tell("one")
    others.answers.note_tags("x", [])

    assert others.are_in


def test_where_nobody_answered_every_node_is_asked_once_in_a_while() -> None:
    """After the time in which who hears the channel would have; each says what it has."""
    others = Others()
    others.answers.begin("x")
    early = others.answers.must_seek("x", 0, 3)
    others.answers.end_wait(["x", "y"])
    sought = [others.answers.must_seek("x", tick, 3) for tick in range(5)]
    others.tell("one")
    one = others.are_in
    others.tell("two")

    assert (early, sought) == (False, [True, False, False, True, False])
    assert (one, others.are_in) == (False, True)
    assert not others.answers.must_seek("x", 9, 3)
    assert not others.answers.must_seek("y", 9, 3)


def test_after_a_break_the_time_is_waited_for_and_no_more() -> None:
    """All was known before; who has said something meanwhile answers."""
    others = Others()
    for name in others.peers:
        others.tell(name)
    others.answers.begin_anew("x")
    before = others.are_in
    others.answers.end_wait(["x"])
    sought = others.answers.must_seek("x", 0, 3)

    assert (before, sought, others.are_in) == (False, False, True)


def test_a_break_before_anybody_answered_leaves_it_open() -> None:
    """The time begins anew, and what is known is still not all."""
    others = Others()
    others.answers.begin("x")
    others.answers.end_wait(["x"])
    named = others.answers.may_name("x")
    others.answers.begin_anew("x")
    named_anew = others.answers.may_name("x")
    others.answers.end_wait(["x"])

    assert (named, named_anew, others.are_in) == (True, False, False)
    others.answers.forget("x")
    assert others.are_in
