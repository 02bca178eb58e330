"""What messages carry of a span, and what is taken out of one, without a server."""

import subprocess
import sys

import pytest
from opentelemetry import trace
from typing_extensions import override

from itemwire.messages import MAX_META, META_BYTES
from itemwire.tracing import HIDDEN, hide_query, with_trace
from tests.spans import Spans, attributes


@pytest.fixture
def spans() -> Spans:
    """Record spans."""
    return Spans()


@pytest.mark.parametrize(
    ("meta", "carries"),
    [
        pytest.param(None, True, id="no map"),
        pytest.param({"a": "b"}, True, id="a map with room"),
        pytest.param({str(n): "" for n in range(MAX_META - 1)}, True, id="one entry left"),
        pytest.param({str(n): "" for n in range(MAX_META)}, False, id="no entry left"),
        pytest.param({"a": "b" * (META_BYTES - 1 - 66)}, True, id="as many bytes as it takes"),
        pytest.param({"a": "b" * (META_BYTES - 1 - 65)}, False, id="one byte too few"),
    ],
)
def test_a_trace_takes_no_room_that_others_need(
    spans: Spans, meta: dict[str, str] | None, carries: bool
) -> None:
    """What the publisher has to say comes first: its message is not refused for it."""
    with spans.tracer.start_as_current_span("one"):
        given = with_trace(meta) or {}

    assert ("traceparent" in given) is carries
    assert {name: value for name, value in given.items() if name != "traceparent"} == (meta or {})
    assert len(given) <= MAX_META
    assert sum(len(name) + len(value) for name, value in given.items()) <= META_BYTES


@pytest.mark.parametrize(
    ("name", "shown", "left"),
    [
        ("url.query", "token=a", HIDDEN),
        ("url.full", "https://x.example/live?token=a", f"https://x.example/live?{HIDDEN}"),
        ("http.url", "https://x.example/live?token=a", f"https://x.example/live?{HIDDEN}"),
        ("http.target", "/live?token=a", f"/live?{HIDDEN}"),
        ("http.target", "/live", "/live"),
        ("url.path", "/live", "/live"),
    ],
)
def test_queries_are_hidden_by_whatever_name(
    spans: Spans, name: str, shown: str, left: str
) -> None:
    """Other instrumentations write them, by older conventions."""
    with spans.tracer.start_as_current_span("one", attributes={name: shown}):
        hide_query()

    assert [attributes(span) for span in spans.all()] == [{name: left}]


def test_a_tracer_that_shows_nothing_is_told_to_hide_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some providers have spans that only take attributes."""
    told: dict[str, object] = {}

    class Closed(trace.NonRecordingSpan):
        @override
        def is_recording(self) -> bool:
            return True

        @override
        def set_attribute(self, key: str, value: object) -> None:
            told[key] = value

    monkeypatch.setattr(trace, "get_current_span", lambda: Closed(trace.INVALID_SPAN_CONTEXT))
    hide_query()

    assert told == {"url.query": HIDDEN}


@pytest.mark.server
def test_nothing_is_imported_for_traces() -> None:
    """Who has no OpenTelemetry, or an older FastAPI, pays one look into a dictionary."""
    program = (
        "import sys; from itemwire.tracing import hide_query, publishing_span, with_trace\n"
        "hide_query()\n"
        "with publishing_span('order:7'): assert with_trace({'a': 'b'}) == {'a': 'b'}\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
