"""What a connection published is recognized once, among whatever else comes."""

from itemwire.channels.delivery.own_messages import OWN_SECONDS, OwnMessages
from itemwire.messages import Draft, Publication

CHANNEL = "item:42"


def draft(data: str = "hello", sender: str = "alice") -> Draft:
    """Write a message."""
    return Draft("42", sender, 1.5, data)


def test_recognizes_each_message_once() -> None:
    """Two connections that publish the same at the same time hear each other."""
    own: OwnMessages[str] = OwnMessages()
    own.add(CHANNEL, draft(), "first", now=0)
    own.add(CHANNEL, draft(), "second", now=0)

    found = [own.publisher_of(CHANNEL, Publication.of(draft(), offset)) for offset in (1, 2, 3)]

    assert found == ["first", "second", None]
    assert not own.expected


def test_takes_no_other_message_for_it() -> None:
    """Another sender, other data, another channel."""
    own: OwnMessages[str] = OwnMessages()
    own.add(CHANNEL, draft(), "first", now=0)

    others = [(CHANNEL, draft("else")), (CHANNEL, draft(sender="bob")), ("item:43", draft())]

    assert {own.publisher_of(at, Publication.of(one, 1)) for at, one in others} == {None}
    assert own.expected


def test_forgets_what_does_not_come() -> None:
    """A message that the engine refused is never delivered."""
    own: OwnMessages[str] = OwnMessages()
    own.add(CHANNEL, draft("refused"), "first", now=0)

    own.add(CHANNEL, draft(), "first", now=OWN_SECONDS)

    assert len(own.expected) == 1
