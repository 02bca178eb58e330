"""A message as it is stored, and read again."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from itemwire.engines.storage_format import pack, unpack
from itemwire.messages import Draft, Publication

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


def test_reads_what_a_newer_node_has_added() -> None:
    """Nodes are updated one after the other."""
    packed = msgspec.msgpack.encode(["42", "alice", 1.5, 0, b"hello", "new"])

    assert unpack(packed, 1) == Publication("42", 1, "alice", 1.5, "hello")
