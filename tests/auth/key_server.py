"""Publishes keys over HTTP as an issuer does, or answers whatever else a test wants."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from typing_extensions import override

from itemwire_auth.keys.algorithms import SigningKey
from itemwire_auth.testing import jwk_set, public_jwk

PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back; a body in parts goes out without a Content-Length."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    parts: int = 0  # of the body, again and again


class KeyServer:
    """A running HTTP server; `paths` lists what it was asked for, `hosts` by which name."""

    def __init__(self, port: int, scheme: str) -> None:
        self.port = port
        self.scheme = scheme
        self.answer = Answer(status=503)
        self.paths: list[str] = []
        self.hosts: list[str | None] = []
        self.open = threading.Event()  # while it is clear, requests wait
        self.open.set()
        self._asked = threading.Condition()

    def url(self, host: str = "127.0.0.1") -> str:
        """Return the URL of the keys, with another name for this machine where given."""
        return f"{self.scheme}://{host}:{self.port}/keys"

    def publish(self, *keys: SigningKey) -> None:
        """Answer with the public halves of these keys from now on."""
        self.answer = Answer(jwk_set(*map(public_jwk, keys)).encode())

    def wait_for(self, count: int) -> None:
        """Wait until so many requests have come."""
        with self._asked:
            assert self._asked.wait_for(lambda: len(self.paths) >= count, PATIENCE)

    def asked(self, path: str) -> Answer:
        """Note a request, and answer it when it is time."""
        with self._asked:
            self.paths.append(path)
            self._asked.notify_all()
        self.open.wait(PATIENCE)
        return self.answer


@contextmanager
def key_server(tls: ssl.SSLContext | None = None) -> Iterator[KeyServer]:
    """Run a server on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            published.hosts.append(self.headers["Host"])
            answer = published.asked(self.path)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if not answer.parts:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            for _ in range(max(1, answer.parts)):
                self.wfile.write(answer.body)

        @override
        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    class Server(ThreadingHTTPServer):
        @override
        def handle_error(self, *_args: object) -> None:
            """Print nothing: a client that gives up is what some tests are about."""

    with Server(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        published = KeyServer(server.server_address[1], "https" if tls else "http")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield published
        finally:
            published.open.set()
            server.shutdown()
            thread.join(PATIENCE)
