"""An application that is asked who may do what, on a port of its own."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from typing_extensions import override

Question = dict[str, Any]
Answer = tuple[int, bytes, dict[str, str]]


def allow(*actions: str) -> Answer:
    """Answer that these are allowed."""
    return 200, json.dumps({"allow": actions}).encode(), {}


class PolicyServer(ThreadingHTTPServer):
    """Keeps what it was asked; answers as `answer` says, once `may_answer` is set."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Asked)
        self.url = f"http://127.0.0.1:{self.server_port}/rights"
        self.answer: Callable[[Question], Answer] = lambda _: allow("subscribe")
        self.questions: list[Question] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.connections = 0
        self.was_asked = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()


class _Asked(BaseHTTPRequestHandler):
    """One connection of one who asks."""

    protocol_version = "HTTP/1.1"  # which keeps a connection for the next question
    server: PolicyServer

    @override
    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_POST(self) -> None:
        """Answer one question."""
        server = self.server
        question = json.loads(self.rfile.read(int(self.headers["content-length"])))
        server.paths.append(self.path)
        server.headers.append({name.lower(): value for name, value in self.headers.items()})
        server.questions.append(question)
        server.was_asked.set()
        server.may_answer.wait(10)
        status, body, headers = server.answer(question)
        try:
            self.send_response(status)
            for name, value in {"content-length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            self.close_connection = True  # who asked did not wait

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@contextmanager
def policy_server() -> Iterator[PolicyServer]:
    """Run one in a thread until it is no longer needed."""
    with PolicyServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.may_answer.set()
            server.shutdown()
            thread.join(10)
