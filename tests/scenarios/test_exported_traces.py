"""The server that stands alone sends its spans where the environment says, without tokens."""

import http.server
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from typing_extensions import override

from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.testing import TokenFactory
from itemwire_auth.tokens.minting import new_secret
from tests.packaging.building import environment_outside
from tests.scenarios.clients import PATIENCE

pytestmark = pytest.mark.server
SECRET: Final = new_secret()


class Collector:
    """Takes what exporters send, as an OpenTelemetry collector does."""

    def __init__(self) -> None:
        self.received: queue.Queue[bytes] = queue.Queue()
        collector = self

        class Answer(http.server.BaseHTTPRequestHandler):
            """Answers one exporter."""

            def do_POST(self) -> None:
                """Take a request."""
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.path == "/v1/traces":
                    collector.received.put(body)
                self.send_response(200)
                self.end_headers()

            @override
            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def spans(self) -> Iterator[tuple[str, bytes]]:
        """Yield the name of each span that comes, and all that was sent with it."""
        while True:
            body = self.received.get(timeout=PATIENCE)
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    yield from ((span.name, body) for span in scope.spans)


def test_two_variables_are_enough(tmp_path: Path) -> None:
    """As docs/metrics.md has them; nothing of the token is sent."""
    token = TokenFactory(signing_key_from_secret(SECRET)).good(sub="ann", scope="items:history")
    with Collector() as collector:
        environment = environment_outside() | {
            "FASTAPI_OTEL_AUTO_CONFIGURE": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "ITEMWIRE_SECRET": SECRET,
        }
        serve = [str(Path(sys.executable).with_name("itemwire")), "serve", "--port", "0"]
        server = subprocess.Popen(
            serve, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
        )
        try:
            assert server.stderr is not None
            url = next(line for line in server.stderr if "Listening on" in line).split()[-1]
            httpx.get(f"{url}/items/order:7/messages?token={token}", timeout=PATIENCE)
            wanted = "GET /items/{item_id}/messages"
            sent = next(body for name, body in collector.spans() if name == wanted)
            server.terminate()
            server.communicate(timeout=PATIENCE)
        finally:
            server.kill()
            server.communicate()

    assert b"[redacted]" in sent
    assert [part for part in token.split(".") if part.encode() in sent] == []
