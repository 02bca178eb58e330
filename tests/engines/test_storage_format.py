"""A message as it is stored, and read again."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from itemwire.engines.storage_format import (
    WITH_EXTRAS,
    bytes_of,
    columns_of,
    draft_of,
    pack,
    unpack,
)
from itemwire.messages import Draft, Extras, Payload, Publication, meta_size
from tests.fakes import ITEM, NOW, draft

TEXTS = st.text(st.characters(codec="utf-8"))
PAYLOADS = st.one_of(
    TEXTS,
    st.binary(),
    st.recursive(st.none() | st.integers(-(2**53), 2**53) | TEXTS, st.lists).map(
        lambda value: msgspec.Raw(msgspec.json.encode(value))
    ),
)


@given(TEXTS, TEXTS.filter(bool) | st.none(), st.floats(0, 2e9), PAYLOADS, st.integers(1, 2**53))
def test_a_message_is_read_as_it_was_published(
    item: str,
    sender: str | None,
    sent_at: float,
    data: str | bytes | msgspec.Raw,
    offset: int,
) -> None:
    """Live and history must be the same, byte for byte, whatever was published."""
    draft = Draft(item, sender, sent_at, data, key="no part of it")

    read = unpack(pack(draft), offset)

    assert read == Publication.of(draft, offset)
    assert type(read.data) is type(data)


@pytest.mark.parametrize(
    "packed",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"hello", id="something-else"),
        pytest.param(msgspec.msgpack.encode(["42", "alice"]), id="half"),
        pytest.param(msgspec.msgpack.encode(["42", "alice", 1.5, 0, b"\xff"]), id="no-text"),
    ],
)
def test_says_what_it_cannot_read(packed: bytes) -> None:
    """Somebody else may write under our names."""
    with pytest.raises(ValueError, match="message 7"):
        unpack(packed, 7)


EXTRAS = st.builds(
    Extras,
    st.just(UNSET) | st.dictionaries(TEXTS, TEXTS, max_size=2).filter(lambda m: meta_size(m) < 99),
    st.sampled_from([UNSET, True]),
)


@given(PAYLOADS, EXTRAS)
def test_what_goes_with_a_message_is_read_with_it(data: Payload, extras: Extras) -> None:
    """In both forms: as one value, and as two columns."""
    stored = draft(data, None, extras)

    assert unpack(pack(stored), 1) == Publication.of(stored, 1)
    assert draft_of(ITEM, "alice", NOW, *columns_of(stored)) == stored


@pytest.mark.parametrize("data", ["a", b"a", msgspec.Raw(b"1")])
def test_a_message_without_extras_is_stored_as_by_older_nodes(data: Payload) -> None:
    """They read what a newer node stores, while nodes are updated one after the other."""
    stored = draft(data)

    assert len(msgspec.msgpack.decode(pack(stored))) == 5
    assert columns_of(stored) == bytes_of(data)


def test_reads_columns_that_no_node_has_written() -> None:
    """One of them must not keep the others from being read."""
    assert draft_of(ITEM, "alice", NOW, WITH_EXTRAS, b"\xc1").data == b"\xc1"
    assert draft_of(ITEM, "alice", NOW, 0, b"\xff").data == "\ufffd"


def test_reads_what_a_newer_node_has_added() -> None:
    """Nodes are updated one after the other."""
    packed = msgspec.msgpack.encode(["42", "alice", 1.5, 0, b"hello", None, False, "new"])

    assert unpack(packed, 1) == Publication("42", 1, "alice", 1.5, "hello")
