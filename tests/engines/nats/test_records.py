"""Records of the NATS engine, and what is known of the last ones."""

from __future__ import annotations

import pytest

from itemwire.engines.nats import last_records as nats_last_records
from itemwire.engines.nats.last_records import LastRecords
from itemwire.engines.nats.names import token_of
from itemwire.engines.nats.records import LastRecord, Record, encode_record, kept_of
from itemwire.engines.storage_format import pack
from itemwire.messages import Draft


def record(first: int, *texts: str, size_before: int = 0) -> Record:
    """Write a record of one epoch."""
    packed = [pack(Draft("42", "alice", 1.5, text)) for text in texts]
    return Record("e", first, size_before, sum(map(len, texts)), "node", packed, {})


def tip(sequence: int) -> LastRecord:
    """Stand somewhere."""
    return LastRecord.of(record(1, "a"), sequence, 0.0)


@pytest.mark.parametrize(
    ("name", "token"),
    [
        ("item:42", "item:42"),
        ("a.b", "a=2Eb"),
        ("*", "=2A"),
        (">", "=3E"),
        ("=2A", "=3D2A"),
        (" \r\n", "=20=0D=0A"),
        ("ü\ud800", "=C3=BC=ED=A0=80"),
    ],
)
def test_writes_any_name_as_one_token(name: str, token: str) -> None:
    """What is special in a subject cannot reach another channel (requirement 79)."""
    assert token_of(name) == token


def test_a_record_is_read_as_it_was_written() -> None:
    """And where somebody else has put something else, there is none."""
    written = record(5, "a", "bc")

    read = Record.read(encode_record(written))

    assert read == written
    assert read is not None
    assert [(one.offset, one.data) for one in read.publications()] == [(5, "a"), (6, "bc")]
    assert [one.offset for one in read.publications(after=5)] == [6]
    assert LastRecord.of(read, 9, 2.5) == LastRecord(9, 2.5, "e", 6, 3, {})
    assert Record.read(b"nonsense") is None


def test_a_record_of_a_newer_node_can_be_read() -> None:
    """Fields at the end that are not known here are left out."""
    data = encode_record(record(1, "a"))
    longer = bytes([data[0] + 1]) + data[1:] + b"\xc0"

    assert Record.read(longer) == record(1, "a")


def test_keeps_what_is_within_both_bounds() -> None:
    """Messages and bytes are counted from the end of the channel, not of the record."""
    written = record(1, "aa", "bb", "cc")
    last = LastRecord(1, 0.0, "e", 4, 8, {})

    assert [one.offset for one in kept_of(written, last, 100, 100)] == [1, 2, 3]
    assert [one.offset for one in kept_of(written, last, 2, 100)] == [3]
    assert [one.offset for one in kept_of(written, last, 100, 6)] == [2, 3]


def test_remembers_the_newest_record_of_so_many_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were used least are read again."""
    monkeypatch.setattr(nats_last_records, "MAX_CHANNELS", 2)
    tips = LastRecords()
    for name in ("a", "b"):
        tips.put(name, tip(1))
    tips.get("a")
    tips.put("c", tip(1))
    tips.advance("a", tip(5))
    tips.advance("a", tip(3))
    tips.advance("unused", tip(1))

    assert [tips.get(name) for name in ("a", "b", "c", "unused")] == [tip(5), None, tip(1), None]


def test_forgets_only_what_was_found_wrong() -> None:
    """A newer record that was heard of meanwhile is as good as one that is read."""
    tips, tried, heard = LastRecords(), tip(1), tip(2)
    tips.put("a", tried)
    tips.advance("a", heard)
    tips.forget("a", tried)
    tips.replace("a", tried, tip(9))
    kept = tips.get("a")
    tips.forget("a")

    assert kept is heard
    assert tips.get("a") is None
