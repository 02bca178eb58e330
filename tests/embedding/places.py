"""The places where a team may put channels into its application, and where they are then."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from fastapi import APIRouter, FastAPI

from itemwire import Itemwire


class Place(NamedTuple):
    """How channels are put into a shop, and the prefix under which a client finds them.

    `root_path` is what the shop's application is told of its proxy, `served_at` what its server is.
    """

    put: Callable[[FastAPI, Itemwire], FastAPI]
    prefix: str = "/live"
    root_path: str = ""
    served_at: str = ""


def by_router(app: FastAPI, live: Itemwire) -> FastAPI:
    """Include them, as the documentation says it."""
    app.include_router(live.router, prefix="/live")
    return app


def by_template(app: FastAPI, live: Itemwire) -> FastAPI:
    """Include them where a part of the prefix is a parameter."""
    app.include_router(live.router, prefix="/{tenant}/live")
    return app


def by_nested_router(app: FastAPI, live: Itemwire) -> FastAPI:
    """Include them in a router that is included."""
    api = APIRouter()
    api.include_router(live.router, prefix="/live")
    app.include_router(api, prefix="/api")
    return app


def by_mount(app: FastAPI, live: Itemwire) -> FastAPI:
    """Mount them, and enter their lifespan by hand."""
    app.mount("/live", live.app)
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(host: FastAPI) -> AsyncGenerator[dict[str, Any]]:
        async with inner(host) as state, live.lifespan(host) as told:
            yield {**told, **(state or {})}

    app.router.lifespan_context = lifespan
    return app


def by_sub_application(app: FastAPI, live: Itemwire) -> FastAPI:
    """Include them in an application that is mounted in another one."""
    app.include_router(live.router, prefix="/live")

    @asynccontextmanager
    async def lifespan(_site: FastAPI) -> AsyncGenerator[dict[str, Any]]:
        async with app.router.lifespan_context(app) as state:
            yield dict(state or {})

    site = FastAPI(lifespan=lifespan)
    site.mount("/shop", app)
    return site


PLACES: Final = {
    "router": Place(by_router),
    "template": Place(by_template, "/north/live"),
    "nested": Place(by_nested_router, "/api/live"),
    "mount": Place(by_mount),
    "sub-application": Place(by_sub_application, "/shop/live"),
    "behind-proxy": Place(by_router, root_path="/outside"),
    "behind-proxy-server": Place(by_router, served_at="/outside"),
    "behind-proxy-mount": Place(by_mount, root_path="/outside"),
}
