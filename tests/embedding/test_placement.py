"""Mistakes in where channels are put are refused with a sentence that says what to do."""

import warnings
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException
from fastapi.exceptions import FastAPIError
from starlette.types import ASGIApp, Receive, Scope, Send

from itemwire import Itemwire
from itemwire_auth import authorize_item
from tests.embedding.conftest import settings_of
from tests.embedding.places import by_mount

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it would rather have httpx2, and works with httpx
    from starlette.testclient import TestClient


def only_staff() -> None:
    """Refuse everybody: what a host believes to guard its channels."""
    raise HTTPException(403)


GUARDED = [Depends(only_staff)]


def user() -> dict[str, int]:
    """Find the user."""
    return {"id": 1}


def make_live() -> Itemwire:
    """Make channels without rules: where they are is the matter here."""
    return Itemwire(user=user, settings=settings_of())


def at_the_inclusion(live: Itemwire) -> FastAPI:
    """Put dependencies where routes of FastAPI would have them."""
    app = FastAPI()
    app.include_router(live.router, prefix="/live", dependencies=GUARDED)
    return app


def at_a_router_between(live: Itemwire) -> FastAPI:
    """Put them at the router that includes the channels."""
    api, app = APIRouter(dependencies=GUARDED), FastAPI()
    api.include_router(live.router, prefix="/live")
    app.include_router(api, prefix="/api")
    return app


def at_an_outer_inclusion(live: Itemwire) -> FastAPI:
    """Put them at the inclusion of that one."""
    api, app = APIRouter(), FastAPI()
    api.include_router(live.router, prefix="/live")
    app.include_router(api, prefix="/api", dependencies=GUARDED)
    return app


def at_the_application(live: Itemwire) -> FastAPI:
    """Put them at the application."""
    app = FastAPI(dependencies=GUARDED)
    app.include_router(live.router, prefix="/live")
    return app


def at_a_sub_application(live: Itemwire) -> FastAPI:
    """Put them at an application that is mounted, and enter the lifespan by hand."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with live.lifespan(app):
            yield

    app, shop = FastAPI(lifespan=lifespan), FastAPI(dependencies=GUARDED)
    shop.include_router(live.router, prefix="/live")
    app.mount("/shop", shop)
    return app


@pytest.mark.parametrize(
    "put",
    [
        at_the_inclusion,
        at_a_router_between,
        at_an_outer_inclusion,
        at_the_application,
        at_a_sub_application,
    ],
)
def test_dependencies_that_would_not_be_asked_stop_the_start(
    put: Callable[[Itemwire], FastAPI],
) -> None:
    """Who wrote them believes that they guard the channels."""
    with (
        pytest.raises(ValueError, match=r"only_staff.*`user=`.*@live\.channel") as told,
        TestClient(put(make_live())),
    ):
        pass

    assert "live.app" in str(told.value)


class Unseen:
    """A middleware: what it passes on to is no attribute that routes are looked for in."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on."""
        await self._app(scope, receive, send)


def test_a_sub_application_that_is_out_of_sight_is_refused_at_the_first_request() -> None:
    """Behind a middleware no route shows it; it is found when a request comes by it."""
    live = make_live()
    shop = FastAPI(dependencies=GUARDED)
    shop.include_router(live.router, prefix="/live")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with live.lifespan(app):
            yield

    app = FastAPI(lifespan=lifespan)
    app.mount("/shop", Unseen(shop))
    with TestClient(app) as client:
        for _ in range(2):
            with pytest.raises(ValueError, match="only_staff"):
                client.get("/shop/live/health/live")


def test_an_application_with_dependencies_mounts_the_channels() -> None:
    """The way that the sentence names: FastAPI asks them ahead of no mounted application."""
    with TestClient(by_mount(FastAPI(dependencies=GUARDED), make_live())) as client:
        assert client.get("/live/health/ready").status_code == 200


def test_no_prefix_is_refused() -> None:
    """The channels would answer every path that the host does not know."""
    with pytest.raises(FastAPIError, match='prefix="/live"'):
        FastAPI().include_router(make_live().router)


def test_channels_run_once() -> None:
    """A second start would lose the subscriptions of the first."""
    live, app = make_live(), FastAPI()
    app.include_router(live.router, prefix="/live")
    app.include_router(live.router, prefix="/again")
    with pytest.raises(RuntimeError, match=r"include live\.router once"), TestClient(app):
        pass


def test_runs_in_one_test_client_at_a_time() -> None:
    """And in the next one when that is closed."""
    live = make_live()
    app = FastAPI()
    app.include_router(live.router, prefix="/live")
    with TestClient(app) as client:
        with pytest.raises(RuntimeError, match="one server or TestClient"), TestClient(app):
            pass
        assert client.get("/live/health/ready").status_code == 200
    with TestClient(app) as client:
        assert client.get("/live/health/ready").status_code == 200


def test_two_in_one_application_do_not_meet() -> None:
    """Each has its own users, items and node."""
    app, lives = FastAPI(), {name: make_live() for name in ("first", "second")}
    for name, live in lives.items():
        app.include_router(live.router, prefix=f"/{name}")

        @live.channel("note:{number}")
        def note(number: int) -> dict[str, bool]:
            raise HTTPException(403)

    with TestClient(app) as client:
        lives["first"]._assembly.node.drain()
        answers = [client.get(f"/{name}/health/ready").status_code for name in lives]

    assert answers == [503, 200]


def test_overrides_of_a_mounted_application_hold_beside_those_of_its_host() -> None:
    """They were ignored there, and with them a rule of the application's own."""
    asked: list[str] = []

    def refusing(name: str) -> Callable[[], None]:
        def refuse() -> None:
            asked.append(name)
            raise HTTPException(403)

        return refuse

    live, host = make_live(), FastAPI()
    live.app.dependency_overrides = {authorize_item: refusing("own")}
    with TestClient(by_mount(host, live)) as client:
        client.get("/live/items/note:1/messages")
        host.dependency_overrides[authorize_item] = refusing("host's")
        client.get("/live/items/note:1/messages")

    assert asked == ["own", "host's"]
