"""What FastAPI's own telemetry records of handshakes, which the host turns on or off."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.applications import Starlette
from typing_extensions import override

from itemwire import Itemwire, Rights
from itemwire.application import TELEMETRY, ChannelApplication
from itemwire.testing.servers import live_application

pytest.importorskip("fastapi.telemetry", reason="this FastAPI records nothing")
from opentelemetry import trace

STEPS: Final = ["fastapi.dependencies", "fastapi.endpoint"]


class Recorder(trace.TracerProvider):
    """Notes which spans are begun."""

    def __init__(self) -> None:
        self.names: list[str] = []

    @override
    def get_tracer(self, *_: Any, **__: Any) -> Any:
        """Return a tracer that notes them here."""
        return _Tracer(self.names)


class _Tracer:
    def __init__(self, names: list[str]) -> None:
        self._names = names

    def start_span(self, name: str, *_: Any, **__: Any) -> trace.Span:  # noqa: ANN401
        self._names.append(name)
        return trace.INVALID_SPAN

    @contextmanager
    def start_as_current_span(self, name: str, *_: Any, **__: Any) -> Generator[trace.Span]:  # noqa: ANN401
        self._names.append(name)
        yield trace.INVALID_SPAN


async def current_user() -> dict[str, str]:
    """Be anybody."""
    return {"id": "ann"}


async def order(number: int) -> Rights:
    """Let everybody listen."""
    return Rights("subscribe")


@pytest.mark.parametrize("tracing", [True, False])
def test_a_host_that_traces_sees_the_steps_of_a_handshake(tracing: bool) -> None:
    """As of its own sockets; and nothing where it has turned that off."""
    recorder = Recorder()
    host = FastAPI(telemetry={"tracing": tracing, "tracer_provider": recorder})
    live = Itemwire(user=current_user)
    live.channel("order:{number}")(order)
    host.include_router(live.router, prefix="/live")

    with live_application(host) as server:
        with server.connect("/live/items/order:7/ws"):
            pass
        refused = server.refusal("/live/items/order:seven/ws").reason

    assert refused == "item_invalid"
    assert [name for name in recorder.names if name in STEPS] == (
        [*STEPS, STEPS[0]] if tracing else []
    )


@pytest.mark.parametrize(("make_host", "says"), [(FastAPI, True), (Starlette, False)])
def test_what_a_fastapi_host_has_looked_for_is_not_looked_for_again(
    make_host: Callable[[], Starlette], says: bool
) -> None:
    """A host on Starlette has not: then the channels look for telemetry themselves."""
    part, host = ChannelApplication(), make_host()
    seen: list[object] = []

    @part.get("/")
    async def endpoint(request: Request) -> None:
        seen.append(request.scope.get(TELEMETRY, "nobody has looked"))

    host.mount("/live", part)
    with live_application(host) as server:
        assert httpx.get(f"{server.url}/live/").status_code == 200

    assert seen == [None if says else "nobody has looked"]
