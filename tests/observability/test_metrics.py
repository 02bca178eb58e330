"""The metrics: their values after a known run, and their labels."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from itemwire.channels.delivery.recovery import StartPoint
from itemwire.channels.limits.bounds import RateLimits
from itemwire.channels.limits.connections import ConnectionLimits, ConnectionSlots
from itemwire.channels.limits.requests import RequestRates
from itemwire.channels.limits.slow_consumers import parse_slow_consumers
from itemwire.channels.reauthorization import Denied
from itemwire.close_reasons import CLOSE_REASONS, CREDENTIALS_INVALID, DRAINING, INTERNAL
from itemwire.counters import Counters
from itemwire.main import create_app
from itemwire.observability.metrics import METRICS, MetricSources, codec_labels
from itemwire.observability.metrics_registry import registry_of
from itemwire.settings import Settings
from itemwire.wire import CODECS
from itemwire.wire.base import Codec
from itemwire.wire.json_codec import JsonCodec
from itemwire_auth.authenticator import Authenticator
from itemwire_auth.keys.jwks import JWKSKeys
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.origins import OriginPolicy
from itemwire_auth.policies import TokenRights
from itemwire_auth.policy_url import PolicyURL
from itemwire_auth.principal import Grant
from itemwire_auth.testing import TokenFactory
from tests.auth.conftest import verifier_of
from tests.conftest import SECRET
from tests.fakes import EVERYTHING, LIMITS, PLAIN, Rules, Stage, principal

Samples = dict[tuple[str, tuple[str, ...]], float]

VERIFIER = verifier_of(TokenFactory(signing_key_from_secret(SECRET)))


class SecondJson(JsonCodec):
    """A codec of another family, whose subprotocol ends like one of ours."""

    subprotocol = "acme.v1.json"
    metric_label = "acme_json"


class Imitator(SecondJson):
    """A codec that takes a label which is in use."""

    metric_label = "json"


SUBJECT, ITEM = "alice-who-is-no-label", "an-item-that-is-no-label"


def page_of(stage: Stage, **parts: object) -> str:
    """Return the page of metrics for a stage."""
    of_stage = {
        "node": stage.node,
        "counters": Counters(channels=stage.node.counters),
        "authenticator": Authenticator(VERIFIER, OriginPolicy([])),
        "policy": TokenRights(),
        "slots": ConnectionSlots(ConnectionLimits(per_subject=1)),
    }
    return generate_latest(registry_of(MetricSources(**{**of_stage, **parts}))).decode()  # type: ignore[arg-type] # by name


def read(page: str) -> Samples:
    """Parse the samples of a page, by name and label values."""
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


@pytest.fixture
def stage() -> Stage:
    """A stage after four joins, five messages and two ends."""
    stage = Stage()
    peers = [stage.join(SUBJECT, item=ITEM) for _ in range(3)]
    peers.append(stage.join(SUBJECT, item=ITEM, codec=PLAIN))
    for number in range(5):
        peers[0].says("publish", data=number)
    peers[1].connection.end(INTERNAL)
    peers[2].session.closed(1001)
    return stage


def test_what_was_opened_has_ended_or_is_open(stage: Stage) -> None:
    """They are counted in two ways and must add up, or a socket was lost track of."""
    seen = read(page_of(stage))

    def total(name: str) -> float:
        return sum(value for (one, _), value in seen.items() if one == f"itemwire_{name}")

    assert total("connections_opened_total") == 4
    assert total("connections_ended_total") == total("connections") == 2
    assert seen["itemwire_connections", ("json",)] == seen["itemwire_connections", ("plain",)] == 1
    assert seen["itemwire_connections_ended_total", ("1011", "internal")] == 1
    assert seen["itemwire_connections_ended_total", ("1001", "gone")] == 1
    assert seen["itemwire_subscriptions", ()] == 2
    assert seen["itemwire_channels", ()] == 1


def test_what_was_delivered_is_what_was_published_times_who_heard_it(stage: Stage) -> None:
    """Four subscribers, five messages; joins and leaves do not count."""
    assert read(page_of(stage))["itemwire_messages_delivered_total", ()] == 20


def test_nobody_is_left_when_all_are_gone(stage: Stage) -> None:
    """A gauge that drifts is worth nothing."""
    for connection in stage.node.connections(10):
        connection.end(DRAINING)
    stage.settle()
    seen = read(page_of(stage))

    for name in ("connections", "subscriptions", "channels", "slow_connections", "outbox_bytes"):
        values = {value for (one, _), value in seen.items() if one == f"itemwire_{name}"}
        assert values == {0}


def test_an_end_is_counted_once(stage: Stage) -> None:
    """A socket that the server closed reports its end a second time when it is gone."""
    peer = stage.join()
    peer.connection.end(INTERNAL)
    peer.connection.end(DRAINING)
    peer.session.closed(1011)
    seen = read(page_of(stage))

    assert seen["itemwire_connections_ended_total", ("1011", "internal")] == 2
    assert seen["itemwire_connections_ended_total", ("1012", "draining")] == 0


@pytest.mark.parametrize("code", [3000, 4999, 1004, 999, 1016])
def test_a_code_of_the_clients_own_is_another(stage: Stage, code: int) -> None:
    """There are 2000 of them: a client must not make so many series (requirement 80)."""
    stage.join().session.closed(code)

    assert read(page_of(stage))["itemwire_connections_ended_total", ("other", "gone")] == 1


def test_counts_replays(stage: Stage) -> None:
    """A crowd that reconnects must not appear in the figures of live messages."""
    stage.join(item=ITEM, start=StartPoint(replay=3))
    seen = read(page_of(stage))

    assert seen["itemwire_messages_replayed_total", ()] == 3
    assert seen["itemwire_messages_delivered_total", ()] == 20


def test_shows_what_waits_for_slow_readers(stage: Stage) -> None:
    """It shows before the first of them is closed, and ends once they have read."""
    slow = stage.join(item=ITEM, room=1)
    stage.settle()
    for _ in range(3):
        stage.join(item=ITEM, room=None).says("publish", data="x" * 100)
    behind = read(page_of(stage))
    slow.drains()
    after = read(page_of(stage))

    assert behind["itemwire_slow_connections", ()] == 1
    assert behind["itemwire_outbox_bytes", ()] > 300
    assert after["itemwire_slow_connections", ()] == after["itemwire_outbox_bytes", ()] == 0


def test_counts_what_slow_readers_go_without() -> None:
    """The counter never decreases: not when they catch up, and not when they leave."""
    limits = replace(LIMITS, outbox_bytes=1000, slow_consumers=parse_slow_consumers("drop_oldest"))
    stage = Stage(limits=limits)
    slow, leaving = stage.join(room=1), stage.join(room=1)
    stage.settle()
    talking = stage.join("bob")
    for _ in range(20):
        talking.says("publish", data="x" * 100)
    counts = [read(page_of(stage))["itemwire_messages_dropped_total", ()]]
    slow.drains()
    counts.append(read(page_of(stage))["itemwire_messages_dropped_total", ()])
    leaving.session.closed(1006)
    counts.append(read(page_of(stage))["itemwire_messages_dropped_total", ()])

    assert counts[0] > 20
    assert counts == [counts[0]] * 3


def test_counts_what_is_refused_for_its_rate_or_number(stage: Stage) -> None:
    """By kind and by limit, each from the start."""
    stage.node.rates = RequestRates(RateLimits(publish=1))
    peer = stage.join("carol")
    for _ in range(5):
        peer.says("publish", data=1)
    slots = ConnectionSlots(ConnectionLimits(per_subject=1))
    slots.refused["subject"] += 2
    seen = read(page_of(stage, slots=slots))

    assert seen["itemwire_requests_limited_total", ("publish",)] == 3
    assert seen["itemwire_requests_limited_total", ("join",)] == 0
    assert seen["itemwire_connections_limited_total", ("subject",)] == 2
    assert seen["itemwire_connections_limited_total", ("address",)] == 0


def test_counts_refreshes(stage: Stage) -> None:
    """Both outcomes: clients whose refreshes are refused are about to be closed."""
    rules = Rules()
    peer = stage.join(reauthorize=rules)
    for verdict in (Grant(principal(), "42", EVERYTHING), Denied(CREDENTIALS_INVALID)):
        peer.says("refresh", token="x", ref=1)
        rules.say(verdict)
    seen = read(page_of(stage))

    assert seen["itemwire_refreshes_total", ("accepted",)] == 1
    assert seen["itemwire_refreshes_total", ("refused",)] == 1


def test_shows_keys_and_policy_where_there_are_some(stage: Stage) -> None:
    """With neither, they are 0 and not absent, so that an alert works on every server."""
    keys = JWKSKeys("https://issuer.test/jwks")
    keys.fetches, keys.failures = 3, 2
    policy = PolicyURL("http://127.0.0.1/policy")
    policy.asked, policy.failed = 5, 1
    authenticator = Authenticator(VERIFIER, OriginPolicy([]), fetched_keys=(keys, keys))
    without = read(page_of(stage))
    seen = read(page_of(stage, authenticator=authenticator, policy=policy))

    names = ["jwks_fetches_total", "jwks_failures_total", "jwks_stale"]
    names += ["policy_questions_total", "policy_failures_total"]
    assert [without[f"itemwire_{name}", ()] for name in names] == [0, 0, 0, 0, 0]
    assert [seen[f"itemwire_{name}", ()] for name in names] == [6, 4, 2, 5, 1]


def test_no_label_names_an_item_or_a_subject(stage: Stage) -> None:
    """A series for each would fill Prometheus, and tell who is there (requirement 80)."""
    page = page_of(stage)

    assert SUBJECT not in page
    assert ITEM not in page
    labels = {label for row in METRICS for label in row.labels}
    assert labels == {
        "server",
        "codec",
        "reason",
        "code",
        "limit",
        "kind",
        "operation",
        "outcome",
        "fault",
    }


def test_every_reason_has_its_series_from_the_start() -> None:
    """A rate needs a 0 before the first one."""
    seen = read(page_of(Stage()))

    for row in CLOSE_REASONS.values():
        assert seen["itemwire_connections_ended_total", (str(row.code), row.reason)] == 0
        assert seen["itemwire_handshakes_refused_total", (row.reason,)] == 0


def test_names_say_what_they_count() -> None:
    """The conventions of Prometheus: full units, `_total` for counters, a help sentence."""
    for row in METRICS:
        assert re.fullmatch(r"itemwire_[a-z_]+", row.full_name)
        assert (row.kind == "histogram") == row.name.endswith("_seconds")
        assert row.meaning.endswith(".")
    assert len({row.name for row in METRICS}) == len(METRICS)


def test_tells_of_the_process() -> None:
    """Memory and processor time, as every Python process has them."""
    page = page_of(Stage())

    for name in ("process_resident_memory_bytes", "process_cpu_seconds_total", "python_info"):
        assert f"\n{name}" in page


def test_two_applications_have_figures_of_their_own(stage: Stage) -> None:
    """No module-level state: each test or mounted application has its own figures."""
    assert read(page_of(Stage()))["itemwire_connections_opened_total", ("json",)] == 0
    assert read(page_of(stage))["itemwire_connections_opened_total", ("json",)] == 3


def test_codecs_of_two_families_have_series_of_their_own(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels cut from the subprotocol were the same for both, and made the page invalid."""
    second: Codec = SecondJson()
    monkeypatch.setitem(CODECS, second.subprotocol, second)
    stage.node.counters.open[second.subprotocol] += 7
    page = page_of(stage)
    series = [
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    ]

    assert len(series) == len(set(series))
    assert read(page)["itemwire_connections", ("acme_json",)] == 7
    assert read(page)["itemwire_connections", ("json",)] == 1


@pytest.mark.parametrize("taken", ["json", "events"])
def test_refuses_to_start_with_one_label_for_two_codecs(
    monkeypatch: pytest.MonkeyPatch, taken: str
) -> None:
    """Prometheus drops a page that holds one series twice: better no server than no figures."""
    imitator = Imitator()
    imitator.metric_label = taken
    monkeypatch.setitem(CODECS, imitator.subprotocol, imitator)

    with pytest.raises(ValueError, match=f"acme.v1.json.* share the metric label '{taken}'"):
        create_app(Settings(secret=SECRET, metrics_token="m" * 32, _env_file=None))


def test_every_codec_has_a_label_of_its_own() -> None:
    """Names in dashboards are for ever."""
    assert codec_labels() == {
        "itemwire.v1.json": "json",
        "itemwire.v1.msgpack": "msgpack",
        "itemwire.v1.plain": "plain",
        "text/event-stream": "events",
    }
