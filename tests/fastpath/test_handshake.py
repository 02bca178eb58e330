"""Opening handshakes checked without I/O: RFC 6455 section 4.2."""

from __future__ import annotations

import pytest

from itemwire.fastpath.deflate import framing_for
from itemwire.fastpath.frames import PLAIN_FRAMING
from itemwire.fastpath.handshake import (
    BadHandshake,
    OpeningHandshake,
    parse_head,
    parse_opening,
    render_acceptance,
    render_denial,
)

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # of section 1.3, with its answer
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

GOOD = {
    "host": "x",
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-key": KEY,
    "sec-websocket-version": "13",
}


def head(*more: tuple[str, str], method: str = "GET", **changes: str | None) -> bytes:
    """Write a request head as uvicorn hands it on; None leaves a header out."""
    fields = GOOD | {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"{name}: {value}" for name, value in [*fields.items(), *more] if value is not None]
    return "\r\n".join([f"{method} /items/1/ws?a=b HTTP/1.1", *lines, "", ""]).encode()


def read(data: bytes) -> OpeningHandshake:
    """Read a request and judge it."""
    return parse_opening(parse_head(data))


def test_reads_a_good_request() -> None:
    """The accept value is section 1.3's own."""
    opening = read(head(("sec-websocket-protocol", "one, two")))

    assert opening.target == b"/items/1/ws?a=b"
    assert opening.accept == ACCEPT
    assert opening.subprotocols == ["one", "two"]
    assert (b"host", b"x") in opening.headers


def test_reads_names_in_any_case_and_repeated_lists() -> None:
    """RFC 9110 section 5.3: a list may come in several fields."""
    opening = read(head(("Sec-WebSocket-Protocol", "one"), ("sec-websocket-protocol", "two,three")))

    assert opening.subprotocols == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(head(sec_websocket_key=None), 400, id="no-key"),
        pytest.param(head(sec_websocket_key=""), 400, id="empty-key"),
        pytest.param(head(sec_websocket_key="c2hvcnQ="), 400, id="short-key"),
        pytest.param(head(sec_websocket_key="!" * 24), 400, id="no-base64"),
        pytest.param(head(sec_websocket_key=f"{KEY} "), 400, id="key-with-a-space"),
        pytest.param(head(("sec-websocket-key", KEY)), 400, id="two-keys"),
        pytest.param(head(sec_websocket_version=None), 426, id="no-version"),
        pytest.param(head(sec_websocket_version="12"), 426, id="version-12"),
        pytest.param(head(("sec-websocket-version", "13")), 426, id="two-versions"),
        pytest.param(head(("origin", "a"), ("origin", "b")), 400, id="two-origins"),
        pytest.param(head(method="POST"), 400, id="post"),
        pytest.param(head(content_length="5"), 400, id="body"),
        pytest.param(head(transfer_encoding="chunked"), 400, id="chunked"),
    ],
)
def test_refuses_a_bad_one_and_says_which_version_would_do(data: bytes, status: int) -> None:
    """Section 4.4: a client of another version must learn of ours."""
    with pytest.raises(BadHandshake) as bad:
        read(data)

    assert bad.value.status == status
    assert (b"sec-websocket-version", b"13") in bad.value.headers


def test_takes_a_request_that_announces_an_empty_body() -> None:
    """The twin: nothing follows that could be taken for frames."""
    assert read(head(content_length="0")).accept == ACCEPT


def test_answers_with_what_was_chosen() -> None:
    """Subprotocol and extension are named only where they were agreed on."""
    opening = read(head(("sec-websocket-extensions", "permessage-deflate")))
    plain, plain_framing = render_acceptance(opening, [(b"date", b"now")], None, deflates=False)
    rich, rich_framing = render_acceptance(opening, [], "itemwire.v1.json", deflates=True)

    assert plain == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"sec-websocket-accept: " + ACCEPT + b"\r\ndate: now\r\n\r\n"
    )
    assert plain_framing is PLAIN_FRAMING
    assert b"sec-websocket-protocol: itemwire.v1.json\r\n" in rich
    assert b"sec-websocket-extensions: permessage-deflate; server_no" in rich
    assert rich_framing is framing_for(15)


def test_denies_with_a_whole_answer() -> None:
    """What the application does not say about the body is said for it."""
    answer = render_denial(403, [(b"Content-Type", b"application/json")], b"{}")

    assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert answer.endswith(b"\r\n\r\n{}")
    assert b"connection: close\r\n" in answer
    assert b"content-length: 2\r\n" in answer
    assert answer.lower().count(b"content-type") == 1


def test_denies_with_a_status_nobody_has_named() -> None:
    """An application may have statuses of its own."""
    assert render_denial(599, [], b"").startswith(b"HTTP/1.1 599 \r\n")


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\rb"])
def test_lets_no_header_bring_another(value: bytes) -> None:
    """Response splitting (CWE-113): an application may pass on what a client said."""
    with pytest.raises(ValueError, match="line break"):
        render_denial(403, [(b"x", value)], b"")
