"""Spans that are recorded in memory, for tests that wait for them."""

import threading
from collections.abc import Sequence
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from typing_extensions import override

from tests.scenarios.clients import PATIENCE


class Spans(InMemorySpanExporter):
    """All spans that ended, of whichever thread."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self))

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self._changed:
            result = super().export(spans)
            self._changed.notify_all()
        return result

    @property
    def tracer(self) -> trace.Tracer:
        """Return what makes spans in a test."""
        return self.provider.get_tracer("test")

    def wait(self, *names: str) -> list[ReadableSpan]:
        """Wait for as many spans of each name as it is named; return all of these names."""

        def are_there() -> bool:
            found = [span.name for span in self.all()]
            return all(found.count(name) >= names.count(name) for name in names)

        with self._changed:
            assert self._changed.wait_for(are_there, PATIENCE), [one.name for one in self.all()]
        return [span for name in dict.fromkeys(names) for span in self.all() if span.name == name]

    def all(self) -> Sequence[ReadableSpan]:
        """Return those that ended until now."""
        return self.get_finished_spans()


def attributes(span: ReadableSpan) -> dict[str, Any]:
    """Return what a span shows."""
    return dict(span.attributes or {})
