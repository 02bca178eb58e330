"""A server that takes encrypted connections only, behind a proxy that ends the encryption."""

from collections.abc import Iterator

import httpx
import pytest

from itemwire.settings import Settings
from itemwire.testing import LiveServer
from tests.conftest import SECRET
from tests.scenarios.clients import JSON, PATIENCE, JsonClient, item_path, token
from tests.scenarios.conftest import Mode, Serve, refused

BY_TLS = {"X-Forwarded-Proto": "https"}


@pytest.fixture(scope="module", params=["close", "http"])
def strict(request: pytest.FixtureRequest, serve: Serve) -> Iterator[tuple[LiveServer, Mode]]:
    """Run a server that requires it, in each refusal mode."""
    settings = Settings(secret=SECRET, require_tls=True, refusal=request.param, _env_file=None)
    with serve(settings) as running:
        yield running, request.param


def test_who_comes_unencrypted_is_refused(strict: tuple[LiveServer, Mode], item_id: str) -> None:
    """Requirement 12: whatever the token; through the proxy's encryption the same is welcome."""
    server, mode = strict
    path = item_path(item_id, {"token": token()})

    assert server.refusal(path, subprotocols=(JSON,)) == refused(mode, "tls_required")
    with server.connect(path, headers=BY_TLS, subprotocols=(JSON,)) as connection:
        assert JsonClient(connection).welcome["item"] == item_id


def test_requests_are_held_to_it_too(strict: tuple[LiveServer, Mode], item_id: str) -> None:
    """A token in a header is as readable on the way; health says nothing that is worth reading."""
    server, _ = strict
    url = f"{server.url}/items/{item_id}/messages"
    headers = {"Authorization": f"Bearer {token()}"}
    bare = httpx.get(url, headers=headers, timeout=PATIENCE)
    encrypted = httpx.get(url, headers={**headers, **BY_TLS}, timeout=PATIENCE)
    health = httpx.get(f"{server.url}/health/ready", timeout=PATIENCE)

    assert (bare.status_code, bare.json()["code"]) == (403, "tls_required")
    assert (encrypted.status_code, health.status_code) == (200, 200)
