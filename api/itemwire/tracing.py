"""Traces: what a message carries of the span that published it, and what no span may show.

Spans are made by FastAPI, or by whatever traces an application. OpenTelemetry is used where it is
loaded and someone records, and is never imported here.
"""

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from itemwire.messages import MAX_META, META_BYTES

TRACEPARENT: Final = "traceparent"
"""The name under which W3C Trace Context travels."""

TRACEPARENT_BYTES: Final = len(TRACEPARENT) + len("00--00") + 32 + 16 + 1

HIDDEN: Final = "[redacted]"

WITH_QUERY: Final = ("url.query", "url.full", "http.url", "http.target")
"""The attributes in which spans of requests have a query, by older and newer conventions."""

_NO_SPAN: Final = nullcontext()


def hide_query() -> None:
    """Take the query out of the span of the request that is being served.

    It may hold a token or a ticket, or what an application's own users prove themselves with.
    """
    span = _recording_span()
    if span is None:
        return
    shown = getattr(span, "attributes", None)
    if shown is None:  # of a tracer that tells nobody what its spans hold
        span.set_attribute("url.query", HIDDEN)
        return
    for name in WITH_QUERY:
        value = shown.get(name)
        if isinstance(value, str) and (name == "url.query" or "?" in value):
            path = "" if name == "url.query" else f"{value.partition('?')[0]}?"
            span.set_attribute(name, path + HIDDEN)


def with_trace(meta: Mapping[str, str] | None) -> Mapping[str, str] | None:
    """Return what goes with a message, with the current span where that is recorded.

    A `traceparent` that is there already stays, and so does a map that has no room.
    """
    span = _recording_span()
    if span is None:
        return meta
    meta = meta or {}
    context = span.get_span_context()
    size = sum(len(name.encode()) + len(value.encode()) for name, value in meta.items())
    is_full = len(meta) >= MAX_META or size + TRACEPARENT_BYTES > META_BYTES
    if TRACEPARENT in meta or is_full or not context.trace_flags.sampled:
        return meta
    trace = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    return {**meta, TRACEPARENT: trace}


def publishing_span(named: str | int) -> AbstractContextManager[object]:
    """Return a span of a publish inside of one that is recorded; elsewhere what does nothing.

    It names an item, or says how many messages there are.
    """
    if _recording_span() is None:
        return _NO_SPAN
    trace: Any = sys.modules["opentelemetry.trace"]
    what = "destination.name" if isinstance(named, str) else "batch.message_count"
    attributes = {
        "messaging.system": "itemwire",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        f"messaging.{what}": named,
    }
    tracer = trace.get_tracer("itemwire")
    span: AbstractContextManager[object] = tracer.start_as_current_span(
        "publish", kind=trace.SpanKind.PRODUCER, attributes=attributes
    )
    return span


def _recording_span() -> Any:  # noqa: ANN401 - OpenTelemetry's, which need not be installed
    """Return the current span, or None where nobody records one."""
    trace = sys.modules.get("opentelemetry.trace")
    span = None if trace is None else trace.get_current_span()
    return span if span is not None and span.is_recording() else None
