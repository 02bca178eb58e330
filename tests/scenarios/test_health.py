"""What a load balancer asks, and where it reads how to ask."""

import httpx
import pytest

from itemwire.serving.server import server_of
from itemwire.settings import Settings
from itemwire.testing import LiveServer, live_server
from tests.scenarios.conftest import Serve


@pytest.mark.parametrize(("path", "status"), [("/health/live", "live"), ("/health/ready", "ready")])
def test_a_running_server_is_live_and_ready(server: LiveServer, path: str, status: str) -> None:
    """Without a credential: an orchestrator has none."""
    answer = httpx.get(server.url + path)

    assert answer.status_code == 200
    assert answer.json() == {"status": status}


def test_a_server_whose_engine_is_not_started_is_not_ready(
    serve: Serve, settings: Settings
) -> None:
    """Traffic goes elsewhere, and the process is left to live (requirement 107)."""
    not_started = server_of(settings, serve.protocols)
    not_started.config.lifespan = "off"
    with live_server(settings, not_started) as server:
        ready = httpx.get(server.url + "/health/ready")
        live = httpx.get(server.url + "/health/live")

    assert (ready.status_code, ready.json()) == (503, {"status": "not_ready"})
    assert live.status_code == 200


def test_openapi_lists_the_health_routes(server: LiveServer) -> None:
    """The HTTP part describes itself, the refused answer included."""
    paths = httpx.get(server.url + "/openapi.json").json()["paths"]

    assert list(paths["/health/live"]) == ["get"]
    assert {"200", "503"} <= paths["/health/ready"]["get"]["responses"].keys()


def test_an_unknown_route_is_not_found(server: LiveServer) -> None:
    """The documentation pages of FastAPI load scripts from elsewhere: they are not there."""
    answers = [httpx.get(server.url + path).status_code for path in ("/docs", "/redoc", "/nope")]

    assert answers == [404] * 3
