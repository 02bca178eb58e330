"""The registry of closes: what clients, logs and documents rely on for ever."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from itemwire.close_reasons import (
    CLOSE_REASONS,
    CloseReason,
    Retry,
    read_reason,
)
from itemwire_auth import closing
from itemwire_auth.closing import CLOSE_OF_STATUS, MAX_REASON_BYTES, SENDABLE_CODES, Close
from itemwire_auth.errors import AuthError

# The stable part. A row may be added here; none may change.
PROMISED = {
    "credentials_missing": (1008, "token"),
    "credentials_invalid": (1008, "token"),
    "token_expired": (1008, "token"),
    "token_revoked": (1008, "token"),
    "ticket_invalid": (1008, "token"),
    "origin_denied": (1008, "never"),
    "forbidden": (1008, "never"),
    "scope_missing": (1008, "never"),
    "item_invalid": (1008, "never"),
    "query_invalid": (1008, "never"),
    "tls_required": (1008, "never"),
    "rate_limited": (1008, "later"),
    "connection_limit": (1008, "later"),
    "slow_consumer": (1008, "now"),
    "messages_lost": (1013, "now"),
    "message_timeout": (1008, "now"),
    "ping_timeout": (1011, "now"),
    "payload_invalid": (1007, "never"),
    "message_too_big": (1009, "never"),
    "internal": (1011, "later"),
    "draining": (1012, "now"),
    "store_refused": (1011, "never"),
    "overloaded": (1013, "later"),
}


def auth_errors(root: type[AuthError] = AuthError) -> Iterator[type[AuthError]]:
    """Walk the tree of why a caller may not come in."""
    yield root
    for error in root.__subclasses__():
        yield from auth_errors(error)


def test_keeps_every_reason_with_its_code_and_verdict() -> None:
    """Clients decide by these whether to come back."""
    rows = {row.reason: (row.code, row.retry.value) for row in CLOSE_REASONS.values()}

    assert rows == PROMISED


@pytest.mark.parametrize("row", list(CLOSE_REASONS.values()), ids=CLOSE_REASONS)
def test_fits_each_reason_into_a_close_frame(row: CloseReason) -> None:
    """A control frame holds 125 bytes, two of them the code (RFC 6455 section 5.5)."""
    assert 0 < len(row.reason.encode()) <= MAX_REASON_BYTES
    assert row.reason.isascii()
    assert row.reason.replace("_", "").islower()


@pytest.mark.parametrize("row", list(CLOSE_REASONS.values()), ids=CLOSE_REASONS)
def test_can_be_read_with_its_verdict(row: CloseReason) -> None:
    """What is written for a client that asked for hints says both, and fits."""
    assert row.with_verdict == f"{row.reason};retry={row.retry.value}"
    assert len(row.with_verdict) <= MAX_REASON_BYTES
    assert read_reason(row.with_verdict) == (row.reason, row.retry)


@pytest.mark.parametrize("retry", list(Retry))
@pytest.mark.parametrize("letter", ["x", "é", "漢", "\U0001f44d"])
def test_an_own_reason_fits_with_any_verdict(letter: str, retry: Retry) -> None:
    """It is cut between two characters, and its verdict is whole."""
    written = CloseReason(letter * 123, 4000, retry, 403, "own").with_verdict
    reason, verdict = read_reason(written)

    assert verdict is retry
    assert 110 - len(letter.encode()) < len(reason.encode()) <= 110
    assert set(reason) == {letter}


@pytest.mark.parametrize("text", ["", "forbidden", "a;retry=perhaps", "a;retry=now "])
def test_a_reason_without_a_verdict_is_read_as_it_is(text: str) -> None:
    """As a server gives it to clients that ask for nothing."""
    assert read_reason(text) == (text, None)


def test_the_last_verdict_is_the_servers() -> None:
    """An application's text cannot pass one off."""
    own = CloseReason("a;retry=now", 4000, Retry.NEVER, 403, "own")

    assert read_reason(own.with_verdict) == ("a;retry=now", Retry.NEVER)


@pytest.mark.parametrize("row", list(CLOSE_REASONS.values()), ids=CLOSE_REASONS)
def test_uses_only_codes_that_may_be_sent(row: CloseReason) -> None:
    """1005, 1006 and 1015 never travel; a client would fail the connection (requirement 86)."""
    assert row.code in SENDABLE_CODES
    assert row.code in {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}


@pytest.mark.parametrize("row", list(CLOSE_REASONS.values()), ids=CLOSE_REASONS)
def test_means_something_to_a_reader(row: CloseReason) -> None:
    """The console and the documents show this sentence, and a denial has this status."""
    assert row.meaning
    assert CLOSE_REASONS[row.reason] is row
    assert row.status in {401, 403, 429, 500, 503}
    assert (row.status == 401) == (row.retry is Retry.TOKEN)


@pytest.mark.parametrize("error", list(auth_errors()), ids=lambda error: error.__name__)
def test_has_a_row_for_every_auth_error(error: type[AuthError]) -> None:
    """Auth knows nothing of this table, so nothing but this test keeps them together."""
    row = CLOSE_REASONS[error.code]

    assert (row.code, row.status) == (error.close_code, error.status)


@pytest.mark.parametrize(
    "close",
    [*CLOSE_OF_STATUS.values(), *(it for it in vars(closing).values() if isinstance(it, Close))],
    ids=lambda close: close.reason,
)
def test_has_a_row_for_every_close_of_auth(close: Close) -> None:
    """Without channels a socket ends with the same words as with them."""
    assert CLOSE_REASONS[close.reason].code == close.code


@pytest.mark.parametrize(
    ("code", "reason", "sent"),
    [
        pytest.param(4001, "gone", Close(4001, "gone"), id="as it is"),
        pytest.param(4001, "x\ud83d", Close(4001, "x?"), id="half of a surrogate pair"),
        pytest.param(4001, "é" * 62, Close(4001, "é" * 61), id="no half of a letter"),
        pytest.param(1006, "gone", closing.INTERNAL, id="a code that is never sent"),
    ],
)
def test_an_applications_own_close_is_made_one_that_can_be_sent(
    code: int, reason: str, sent: Close
) -> None:
    """RFC 6455 section 5.5: at most 123 bytes of UTF-8."""
    assert closing.sendable(code, reason) == sent
