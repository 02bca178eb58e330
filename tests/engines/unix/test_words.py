"""What a node and the engine process say: each message and error arrives as it was."""

from __future__ import annotations

import msgspec
import pytest

from itemwire.engines import faults
from itemwire.engines.base import EngineError, History
from itemwire.engines.faults import UNKNOWN, EngineFault
from itemwire.engines.unix.told_messages import draft_of, history_of, message_of, read_of
from itemwire.engines.unix.words import (
    FAULTS,
    MessageWord,
    PublishWord,
    RefusedWord,
    decode_engine_words,
    decode_node_words,
    encode_word,
)
from itemwire.messages import Draft, Extras, Payload, Position, Publication
from tests.fakes import draft


@pytest.mark.parametrize(
    "one",
    [
        draft(),
        draft("tëxt 😀", key="k"),
        draft(b"\x00\xff"),
        draft(msgspec.Raw(b'{"a":[1,null]}')),
        draft("", extras=Extras({"trace": "é", "": ""}, end=True)),
        Draft("42", None, 1.5, "from nobody"),
    ],
    ids=["text", "unicode", "bytes", "json", "extras", "nobody"],
)
def test_a_message_arrives_as_it_was(one: Draft) -> None:
    """Of each kind of payload, with a key and all that goes with it."""
    said = PublishWord(1, "item:42", 0, message_of(one), one.key)
    (heard,) = decode_node_words(b"\x91" + encode_word(said))

    assert isinstance(heard, PublishWord)
    assert draft_of(heard.message, heard.key) == one


@pytest.mark.parametrize("payload", ["a", b"b", msgspec.Raw(b"1")], ids=["text", "bytes", "json"])
def test_a_history_arrives_as_it_was(payload: Payload) -> None:
    """With what is retained."""
    publications = [Publication.of(draft(payload), offset) for offset in (4, 5)]
    history = History(Position("e", 5), publications, complete=False, retained=publications[1])
    (heard,) = decode_engine_words(b"\x91" + encode_word(read_of(7, history)))

    assert heard == read_of(7, history)
    assert history_of(read_of(7, history)) == history


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_an_error_means_the_same_to_the_node(fault: EngineFault) -> None:
    """A publisher is told alike, whichever process has the engine."""
    error = RefusedWord.of(1, EngineError("it is so", fault)).error

    assert (str(error), error.fault) == ("it is so", fault)


def test_every_fault_can_be_told() -> None:
    """One that is added later, too; a name that a node does not know says nothing."""
    there = {one for one in vars(faults).values() if isinstance(one, EngineFault)}

    assert set(FAULTS.values()) == there
    assert RefusedWord(1, "it is so", "unheard of").error.fault is UNKNOWN


@pytest.mark.parametrize("data", [b"\xff", b"\xed\xa0\x80"])
def test_text_that_is_none_is_no_message(data: bytes) -> None:
    """What a codec would trip over must not come so far."""
    with pytest.raises(ValueError, match="decode"):
        draft_of(MessageWord("42", "alice", 1.5, 0, data, None, end=False), None)
