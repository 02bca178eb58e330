"""Traces of real servers: what their spans show, and what messages carry of them."""

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Final

import httpx
import pytest
from fastapi import FastAPI, Request
from opentelemetry import trace
from opentelemetry.propagate import extract
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from itemwire import Itemwire, NewMessage, Publisher, Rights, create_app
from itemwire.serving.server import FASTPATH
from itemwire.testing import LiveServer, live_server
from itemwire.testing.servers import STOCK, live_application, settings_for
from itemwire.tracing import HIDDEN
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.testing import TokenFactory
from itemwire_auth.tokens.minting import new_secret
from tests.docs.pages import page
from tests.scenarios.clients import PATIENCE
from tests.spans import Spans, attributes
from tests.test_startup_checks import settings_of

pytest.importorskip("fastapi.telemetry", reason="this FastAPI makes no spans")
pytestmark = pytest.mark.server

TOKENS: Final = TokenFactory(signing_key_from_secret(new_secret()))
ALL: Final = "items:subscribe items:publish items:history"
REMOTE: Final = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Spans:
    """Record spans, as a provider that the application has set does."""
    found = Spans()
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", found.provider)
    return found


@pytest.fixture(params=[FASTPATH, STOCK], ids=["fast path", "uvicorn's own"])
def server(request: pytest.FixtureRequest, spans: Spans) -> Iterator[LiveServer]:
    """Run the server that stands alone, while spans are recorded."""
    app = create_app(settings_for(TOKENS))
    with live_application(app, protocols=request.param) as running:
        yield running


WITH_TOKEN: Final[dict[str, Callable[[str], dict[str, Any]]]] = {
    "query": lambda token: {"path": f"?token={token}"},
    "header": lambda token: {"headers": {"authorization": f"Bearer {token}"}},
    "cookie": lambda token: {"headers": {"cookie": f"session={token}"}},
    "subprotocol": lambda token: {"subprotocols": ["itemwire.v1", f"itemwire.token.{token}"]},
}


@pytest.mark.parametrize("source", WITH_TOKEN)
def test_a_handshake_is_a_span_without_its_token(
    server: LiveServer, spans: Spans, source: str
) -> None:
    """By whichever way it comes."""
    token = TOKENS.good(sub="ann", scope=ALL)
    given = WITH_TOKEN[source](token)
    with server.connect(f"/items/order:7/ws{given.pop('path', '')}", **given) as socket:
        socket.send("hello")
        if source != "subprotocol":  # a socket with envelopes is welcomed before
            assert socket.recv(timeout=PATIENCE) == "hello"
    (span,) = spans.wait("WS /items/{item_id}/ws")

    assert span.kind is trace.SpanKind.SERVER
    assert span.status.is_ok
    assert no_secret(spans, token)


def test_a_span_does_not_last_as_long_as_its_socket(spans: Spans) -> None:
    """On the fast path the route returns; a span of days would be exported by nobody."""
    with (
        live_application(create_app(settings_for(TOKENS)), protocols=FASTPATH) as server,
        server.connect(f"/items/order:7/ws?token={TOKENS.good(scope=ALL)}") as socket,
    ):
        spans.wait("WS /items/{item_id}/ws")
        socket.send("hello")
        assert socket.recv(timeout=PATIENCE) == "hello"


def test_a_refused_handshake_is_a_span_without_its_token(server: LiveServer, spans: Spans) -> None:
    """A token that is refused may be good elsewhere."""
    token = TOKENS.good(sub="ann", scope="items:publish")

    assert server.refusal(f"/items/order:7/ws?token={token}").reason == "scope_missing"
    spans.wait("WS /items/{item_id}/ws")
    assert no_secret(spans, token)


@pytest.mark.parametrize(
    ("path", "query", "name"),
    [
        ("/items/order:7/messages", "token={}&limit=3", "GET /items/{item_id}/messages"),
        ("/items/order:7/messages", "tok%65n={}", "GET /items/{item_id}/messages"),
        ("/items/order:7/messages", "ticket={}", "GET /items/{item_id}/messages"),
        ("/nowhere", "token={}", "GET"),
    ],
)
def test_a_request_is_a_span_without_its_query(
    server: LiveServer, spans: Spans, path: str, query: str, name: str
) -> None:
    """A path is shown, found or not; what stands behind it is not."""
    token = TOKENS.good(sub="ann", scope=ALL)
    httpx.get(f"{server.url}{path}?{query.format(token)}")
    (span,) = spans.wait(name)

    assert attributes(span)["url.path"] == path
    assert attributes(span)["url.query"] == HIDDEN
    assert no_secret(spans, token)


def test_a_request_without_a_query_has_none(server: LiveServer, spans: Spans) -> None:
    """Nothing is made up."""
    httpx.get(f"{server.url}/health/live")
    (span,) = spans.wait("GET /health/live")

    assert "url.query" not in attributes(span)


def no_secret(spans: Spans, token: str) -> bool:
    """Return whether no part of any span has any part of a token in it."""
    shown = "".join(span.to_json() for span in spans.all())
    return all(part not in shown for part in token.split("."))


def current_user(request: Request) -> dict[str, str]:
    """Believe everybody."""
    return {"id": request.headers.get("authorization", "nobody")}


@pytest.fixture
def live() -> Itemwire:
    """Make channels for an application."""
    return Itemwire(user=current_user, settings=settings_of(secret=None))


@pytest.fixture
def host(spans: Spans, live: Itemwire) -> Iterator[LiveServer]:
    """Run an application with routes of its own, all of which publish one message or two."""
    app = FastAPI()
    app.include_router(live.router, prefix="/live")

    @live.channel("order:{number}")
    async def order(number: int) -> Rights:
        return Rights("subscribe", "publish", "history")

    @app.post("/async")
    async def from_a_coroutine() -> None:
        await order.publish("shipped", number=7)

    @app.post("/sync")
    def from_a_thread() -> None:
        order.publish_sync("shipped", number=7)

    @app.post("/many")
    async def of_many() -> None:
        await live.publish_many([("order:7", "a"), NewMessage("order:7", "b", meta={"x": "y"})])

    @app.get("/own")
    async def own(page: int) -> int:
        return page

    with live_application(app) as running:
        yield running


def metas(server: LiveServer) -> list[dict[str, str]]:
    """Return what goes with the messages of the order."""
    stored = httpx.get(f"{server.url}/live/items/order:7/messages").json()["messages"]
    return [message.get("meta", {}) for message in stored]


def written(span: ReadableSpan) -> str:
    """Return a span as `traceparent` names it."""
    context = span.context
    assert context is not None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def trace_of(traceparent: str) -> str:
    """Return the id of the trace."""
    return traceparent.split("-")[1]


@pytest.mark.parametrize("route", ["async", "sync", "many"])
def test_a_message_carries_the_span_that_published_it(
    host: LiveServer, spans: Spans, route: str
) -> None:
    """Inside of the request's, which continues the trace of whoever asked."""
    httpx.post(f"{host.url}/{route}", headers={"traceparent": REMOTE}).raise_for_status()
    published, asked = spans.wait("publish", f"POST /{route}")
    found = metas(host)

    assert {meta["traceparent"] for meta in found} == {written(published)}
    assert [{**meta, "traceparent": ""} for meta in found][-1:] in (
        [{"traceparent": ""}],
        [{"traceparent": "", "x": "y"}],
    )
    assert published.kind is trace.SpanKind.PRODUCER
    assert {trace_of(written(span)) for span in (published, asked)} == {trace_of(REMOTE)}


def test_what_is_published_over_http_carries_the_span_of_the_request(
    host: LiveServer, spans: Spans
) -> None:
    """One by one and in a batch, or one inside of it; a trace that is named already stays."""
    url = f"{host.url}/live"
    httpx.post(f"{url}/items/order:7/messages", json="a").raise_for_status()
    named = {"Itemwire-Meta": json.dumps({"traceparent": REMOTE})}
    httpx.post(f"{url}/items/order:7/messages", json="b", headers=named).raise_for_status()
    batch = {"messages": [{"item": "order:7", "data": "c"}]}
    httpx.post(f"{url}/messages", json=batch).raise_for_status()
    one = "POST /live/items/{item_id}/messages"
    requests = spans.wait(one, one, "POST /live/messages")
    first, named_itself, batched = [meta["traceparent"] for meta in metas(host)]

    assert named_itself == REMOTE
    assert [trace_of(first), trace_of(batched)] == [
        trace_of(written(requests[0])),
        trace_of(written(requests[2])),
    ]
    assert {first, batched} <= {written(span) for span in spans.all()}


def test_a_subscriber_goes_on_with_the_trace(host: LiveServer, spans: Spans) -> None:
    """Whatever it is written in: OpenTelemetry reads the map as it is."""
    with host.client("/live/items/order:7/ws") as client:
        httpx.post(f"{host.url}/async").raise_for_status()
        message = client.message(timeout=PATIENCE)
    with spans.tracer.start_as_current_span("handle", context=extract(message["meta"])):
        pass
    published, handled = spans.wait("publish", "handle")

    assert published.context is not None
    assert handled.parent is not None
    assert handled.parent.span_id == published.context.span_id


def test_code_that_hears_goes_on_as_the_page_shows(
    host: LiveServer, live: Itemwire, spans: Spans
) -> None:
    """docs/metrics.md has the lines."""
    shown = re.search(r"<!-- goes_on.py -->\n\n```py\n(.*?)```", page("metrics.md"), re.DOTALL)
    assert shown is not None
    names: dict[str, Any] = {}
    exec(shown[1], names)  # noqa: S102 - the page's own code
    assert live._loop is not None
    hearing = asyncio.run_coroutine_threadsafe(names["pack"](live), live._loop)
    deadline = time.monotonic() + PATIENCE
    while not any(span.name == "pack" for span in spans.all()):  # it hears from some moment on
        assert time.monotonic() < deadline
        assert not hearing.done()
        httpx.post(f"{host.url}/async").raise_for_status()
    heard = spans.wait("pack")[0]
    published = {span.context.span_id for span in spans.wait("publish") if span.context}

    assert heard.parent is not None
    assert heard.parent.span_id in published


def test_a_worker_goes_on_with_its_trace(spans: Spans) -> None:
    """Its publisher has a thread of its own; the server keeps what it names."""
    with ExitStack() as stack:
        server = stack.enter_context(live_server(settings_for(TOKENS)))
        token = TOKENS.good(sub="worker", scope=ALL)
        publisher = stack.enter_context(Publisher(url=server.url, token=token))
        with spans.tracer.start_as_current_span("task") as task:
            publisher.publish("order:7", "packed")
            publisher.publish_many([("order:7", "shipped")])
        headers = {"authorization": f"Bearer {token}"}
        stored = httpx.get(f"{server.url}/items/order:7/messages", headers=headers).json()
    published = [written(span) for span in spans.wait("publish", "publish")]

    assert [message["meta"]["traceparent"] for message in stored["messages"]] == published
    ours = f"{task.get_span_context().trace_id:032x}"
    assert [trace_of(one) for one in published] == [ours, ours]


def test_the_routes_of_the_application_keep_their_queries(host: LiveServer, spans: Spans) -> None:
    """Only what is below the channels is ours to hide."""
    httpx.get(f"{host.url}/own?page=3")
    httpx.get(f"{host.url}/live/items/order:7/messages?limit=3")
    own, ours = spans.wait("GET /own", "GET /live/items/{item_id}/messages")

    assert attributes(own)["url.query"] == "page=3"
    assert attributes(ours)["url.query"] == HIDDEN


def test_nothing_goes_with_a_message_that_nobody_traces(live: Itemwire) -> None:
    """Not where no provider is set, nor where the span is not sampled."""
    app = FastAPI(telemetry={"tracer_provider": TracerProvider(sampler=ALWAYS_OFF)})
    app.include_router(live.router, prefix="/live")

    @live.channel("order:{number}")
    async def order(number: int) -> Rights:
        return Rights("history")

    @app.post("/ship")
    async def ship() -> None:
        await order.publish("shipped", number=7)

    with live_application(app) as server:
        httpx.post(f"{server.url}/ship", headers={"traceparent": REMOTE}).raise_for_status()
        assert metas(server) == [{}]
