"""A server's address, and the handshake for it."""

import pytest

from itemwire.bench.errors import BenchError
from itemwire.bench.target import target_of


@pytest.mark.parametrize(
    ("url", "port", "secure"),
    [
        pytest.param("http://127.0.0.1:8000", 8000, False, id="http"),
        pytest.param("ws://127.0.0.1", 80, False, id="ws"),
        pytest.param("https://127.0.0.1", 443, True, id="https"),
        pytest.param("wss://127.0.0.1:8443/", 8443, True, id="wss"),
        pytest.param("127.0.0.1:9000", 9000, False, id="no scheme"),
    ],
)
def test_reads_a_url(url: str, port: int, *, secure: bool) -> None:
    """As people write them."""
    target = target_of(url)

    assert (target.address, target.port, target.tls is not None) == ("127.0.0.1", port, secure)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "http://", "http://127.0.0.1:99999"])
def test_refuses_what_is_no_address(url: str) -> None:
    """With a word on it, not a traceback."""
    with pytest.raises(BenchError):
        target_of(url)


def test_tokens_are_used_in_turn() -> None:
    """In the header, where no log shows them."""
    target = target_of("http://127.0.0.1/base/", tokens=("one", "two"))

    first, second, third = (target.request(7, number).decode() for number in range(3))

    assert first.startswith("GET /base/items/bench%3A7/ws HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    assert "Authorization: Bearer one" in first
    assert "Authorization: Bearer two" in second
    assert first == third


def test_a_token_goes_where_the_path_says() -> None:
    """Some servers read it from the query only."""
    target = target_of("127.0.0.1", path="/chat?room={item}&token={token}", tokens=("one",))

    request = target.request(7, 0).decode()

    assert request.startswith("GET /chat?room=bench%3A7&token=one HTTP/1.1")
    assert "Authorization" not in request


def test_envelopes_are_sent_where_they_are_spoken() -> None:
    """The subprotocol says what a message looks like."""
    target = target_of("127.0.0.1", subprotocol="itemwire.v1.json")

    assert '"type":"publish"' in target.dialect.message
    assert "Sec-WebSocket-Protocol: itemwire.v1.json" in target.request(0, 0).decode()
