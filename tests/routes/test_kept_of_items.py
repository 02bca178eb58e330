"""What the socket of one item keeps of its handshake, by who may ask about it again."""

from contextlib import ExitStack
from typing import Annotated, Final

import pytest
from fastapi import FastAPI, Header

from itemwire import Itemwire, Rights
from itemwire.assembly import Assembly
from itemwire.testing.servers import live_application

ITEM: Final = "/live/items/order:7/ws"
JSON: Final = "itemwire.v1.json"

pytestmark = pytest.mark.server


async def named_user(authorization: Annotated[str, Header()]) -> dict[str, str]:
    """Find the user by a header."""
    return {"id": authorization}


async def order(number: int) -> Rights:
    """Let everybody do everything."""
    return Rights("subscribe", "publish")


async def rate(number: int, stars: int) -> int:
    """Answer what a client asks."""
    return stars


@pytest.mark.parametrize(
    ("recheck", "answers", "plain", "envelopes"),
    [(0, False, False, True), (60, False, True, True), (0, True, True, True)],
    ids=["nobody asks again", "the server does", "its messages do"],
)
def test_a_plain_client_has_something_kept_only_where_it_is_asked_about_again(
    recheck: float, answers: bool, plain: bool, envelopes: bool
) -> None:
    """It has no word for a refresh; one with envelopes has, whatever its application does."""
    live = Itemwire(user=named_user, recheck_interval=recheck)
    channel = live.channel("order:{number}")(order)
    if answers:
        channel.message("rate")(rate)
    host = FastAPI()
    host.include_router(live.router, prefix="/live")
    counters = Assembly.of(live.app).counters.channels

    kept: list[int] = []
    with live_application(host) as server, ExitStack() as sockets:
        for offered, sent in ((), "1"), ((JSON,), '{"type":"publish","data":1}'):
            connecting = server.connect(
                ITEM, subprotocols=offered, headers={"authorization": "ann"}
            )
            socket = sockets.enter_context(connecting)
            socket.send(sent)
            socket.recv(timeout=20)  # it has joined
            kept.append(counters.kept_handshake_bytes)

    assert [kept[0] > 0, kept[1] > kept[0]] == [plain, envelopes]
