"""How the answer to a raw handshake is read, in every form it may have."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from itemwire.testing.raw_handshakes import RawHandshake, send_handshake

DENIED = "HTTP/1.1 401 Unauthorized\r\n"


@contextmanager
def answering(response: str) -> Iterator[str]:
    """Run a server that gives one answer and leaves the connection open."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = threading.Event()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(response.encode())
                done.wait(10)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            done.set()
            thread.join(10)


@pytest.mark.parametrize(
    ("rest", "body"),
    [
        pytest.param("Content-Length: 2\r\n\r\nno", b"no", id="length"),
        pytest.param(
            "Transfer-Encoding: chunked\r\n\r\n1\r\nn\r\n1;a=b\r\no\r\n0\r\n\r\n",
            b"no",
            id="chunked",
        ),
        pytest.param("Transfer-Encoding: chunked\r\n\r\nx", b"", id="cut-short"),
        pytest.param("\r\n", b"", id="without-an-end"),
    ],
)
def test_a_denial_is_one_whatever_form_its_body_has(rest: str, body: bytes) -> None:
    """A denial whose body never ends was taken for no answer at all, and for the server's fault."""
    with answering(DENIED + rest) as url:
        refusal = send_handshake(url, RawHandshake("/"), patience=0.5).refusal

    assert refusal is not None
    assert (refusal.status, refusal.body) == (401, body)


def test_silence_is_no_answer() -> None:
    """What has no status line is no denial."""
    with answering("") as url:
        refusal = send_handshake(url, RawHandshake("/"), patience=0.2).refusal

    assert refusal is not None
    assert refusal.status == 0


def test_no_token_travels_in_the_clear_to_a_server_with_tls() -> None:
    """An https URL was knocked at on port 80, with a good token and no encryption."""
    with pytest.raises(ValueError, match="http://"):
        send_handshake("https://127.0.0.1", RawHandshake("/"))
