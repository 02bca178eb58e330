"""What Prometheus would see of a known run, on a real server."""

from contextlib import ExitStack

import httpx
from prometheus_client.parser import text_string_to_metric_families

from itemwire.settings import Settings
from itemwire.testing import LiveServer
from tests.conftest import SECRET
from tests.scenarios.clients import (
    EVERYTHING,
    JSON,
    PATIENCE,
    JsonClient,
    item_path,
    json_client,
    plain_client,
)
from tests.scenarios.conftest import Serve

METRICS_TOKEN = "what-prometheus-keeps-in-a-file-of-its-own"

Samples = dict[tuple[str, tuple[str, ...]], float]


def scrape(server: LiveServer) -> Samples:
    """Read the page, as samples by their name and the values of their labels."""
    headers = {"Authorization": f"Bearer {METRICS_TOKEN}"}
    answer = httpx.get(f"{server.url}/metrics", headers=headers, timeout=PATIENCE)
    answer.raise_for_status()
    return {
        (sample.name.removeprefix("itemwire_"), tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def run_of_six(witness: JsonClient, server: LiveServer, item_id: str) -> None:
    """Let five more come, hear four messages and go, as one sees who stays."""
    with ExitStack() as stack:
        others = [
            stack.enter_context(json_client(server, item_id, f"user{number}"))
            for number in range(3)
        ]
        plain = [stack.enter_context(plain_client(server, item_id)) for _ in range(2)]
        assert [witness.read()["type"] for _ in range(5)] == ["joined"] * 5
        for number in range(4):
            witness.ask("publish", data=number)
        for one in others:
            one.messages(4)
        for connection in plain:
            assert [connection.recv(timeout=PATIENCE) for _ in range(4)] == ["0", "1", "2", "3"]
    gone = 0
    while gone < 5:
        gone += witness.read()["type"] == "left"


def test_the_figures_of_a_known_run_add_up(serve: Serve, item_id: str) -> None:
    """Opened is ended and open, delivered is published times who heard it, all over sockets."""
    settings = Settings(secret=SECRET, metrics_token=METRICS_TOKEN, _env_file=None)
    with (
        serve(settings) as server,
        json_client(server, item_id, "witness", scope=EVERYTHING) as witness,
    ):
        run_of_six(witness, server, item_id)
        server.refusal(item_path(item_id, {"token": "none"}), subprotocols=(JSON,))
        seen = scrape(server)

    assert seen["connections_opened_total", ("json",)] == 4
    assert seen["connections_opened_total", ("plain",)] == 2
    assert seen["connections_ended_total", ("1000", "gone")] == 5
    assert seen["connections", ("json",)] == 1
    assert seen["connections", ("plain",)] == 0
    assert seen["messages_published_total", ()] == 4
    assert seen["messages_delivered_total", ()] == 4 * 6
    assert seen["handshakes_accepted_total", ()] == 6
    assert seen["handshakes_refused_total", ("credentials_invalid",)] == 1
    assert seen["handshake_seconds_count", ()] == 7
    assert seen["engine_seconds_count", ("publish",)] == 4
    assert seen["ready", ()] == 1
    assert seen["subscriptions", ()] == seen["channels", ()] == 1
    assert item_id not in str(seen)
