"""Messages as they stand in the file, those of earlier versions among them."""

from __future__ import annotations

from typing import Final

import msgspec
import pytest

from itemwire.engines.sqlite.messages import decode_history, encode_message
from itemwire.messages import Extras, Payload, Publication
from tests.fakes import draft

DEEP: Final = {
    "arrays": b"[" * 5000 + b"]" * 5000,
    "objects": b'{"data":' * 5000 + b"1" + b"}" * 5000,
    "brackets-in-text": b'["]}\\"]\\\\",' * 5000 + b"0" + b"]" * 5000,
}
AROUND: Final[list[Payload]] = [
    "[{\\",
    b"\xff",
    msgspec.Raw(b'{"a":["]]"]}'),
    "",
    msgspec.Raw(b"1"),
]


@pytest.mark.parametrize("data", AROUND)
def test_reads_what_goes_with_a_message(data: Payload) -> None:
    """And of an older file's messages, which have nothing, nothing."""
    marked = draft(data, None, Extras({"a": '"}]'}, end=True))
    rows = f"[[1,{encode_message(marked)}],[2,{encode_message(draft(data))}]]"

    assert decode_history(rows.encode()) == [
        Publication.of(marked, 1),
        Publication.of(draft(data), 2),
    ]
    assert "meta" not in encode_message(draft(data))


@pytest.mark.parametrize("payload", DEEP.values(), ids=DEEP)
def test_reads_a_history_with_a_payload_that_no_parser_takes(payload: bytes) -> None:
    """Requirement 133: one message of a Python with a deeper stack would hide all the others."""
    payloads = [*AROUND, msgspec.Raw(payload), *AROUND, msgspec.Raw(payload)]
    rows = [
        f"[{offset},{encode_message(draft(data))}]" for offset, data in enumerate(payloads, start=1)
    ]

    found = decode_history(f"[{','.join(reversed(rows))}]".encode())

    assert found == [Publication.of(draft(data), at) for at, data in enumerate(payloads, start=1)]
