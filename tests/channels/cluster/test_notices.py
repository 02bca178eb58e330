"""What nodes tell each other, as bytes that other versions must read."""

from __future__ import annotations

import pytest

from itemwire.channels.cluster.notices import MAX_NOTICE_BYTES, Notice, read_notice
from itemwire_auth.revocation import Revocation


@pytest.mark.parametrize(
    "notice",
    [
        pytest.param(Notice("n1", connection="c1"), id="connection"),
        pytest.param(Notice("n1", revocation=Revocation(9.5, token_id="t")), id="token"),
        pytest.param(
            Notice("n1", revocation=Revocation(9.5, token_id="t"), ends_at=7), id="margin"
        ),
        pytest.param(Notice("n1", revocation=Revocation(9.5, session="s")), id="session"),
        pytest.param(
            Notice("n1", revocation=Revocation(9.5, None, "älice", "iss", 3.5)), id="subject"
        ),
    ],
)
def test_reads_what_it_wrote(notice: Notice) -> None:
    """A node acts on it as the one that sent it did."""
    assert read_notice(notice.encoded()) == notice


def test_reads_what_a_newer_node_says_more() -> None:
    """Nodes are renewed one after the other."""
    data = b'{"node":"n1","connection":"c1","mood":"good"}'

    assert read_notice(data) == Notice("n1", connection="c1")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff", id="no-text"),
        pytest.param(b'{"connection":"c1"}', id="nobody"),
        pytest.param(b'{"node":"n1","revocation":{"until":9}}', id="everybody"),
    ],
)
def test_refuses_what_is_none(data: bytes) -> None:
    """A revocation that names nobody must not end everybody."""
    with pytest.raises(ValueError, match=r"."):
        read_notice(data)


def test_reads_a_notice_of_exactly_the_greatest_size() -> None:
    """A byte more is refused before it is parsed."""
    notice = Notice("n1", connection="c1")
    longest = notice.encoded().ljust(MAX_NOTICE_BYTES)

    assert read_notice(longest) == notice
    with pytest.raises(ValueError, match="larger"):
        read_notice(longest + b" ")
