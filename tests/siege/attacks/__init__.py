"""Every attack of the siege: one row each."""

from __future__ import annotations

from functools import partial
from typing import Final

from tests.siege.attack import NOTHING, TOKEN, Bounds, Row
from tests.siege.attacks.channels import Amplified, Bursts, Churn, JoinRaces, ReplayUnread
from tests.siege.attacks.connections import Kept, Lingering, Streams
from tests.siege.attacks.credentials import PaddedSockets, Tickets
from tests.siege.attacks.poison import Poison
from tests.siege.attacks.processor import Costly, Fragments
from tests.siege.attacks.requests import (
    FRAME,
    HANDSHAKE,
    PREFLIGHT,
    UNAUTHORIZED,
    EndlessBody,
    ManyPipelines,
    UnreadPipeline,
)

FEW_FILES: Final = 256
HEAD: Final = 60_000  # bytes of a query, cookie or header: with the rest, a head as large as may be
SOCKET: Final = "/items/42/ws"
PAGES: Final = {"allowed_origins": "https://app.example"}  # which have preflights
STOPS_SOON: Final = {"slow_after_refusals": "0", "stop_after_refusals": "10"}

# Whoever has a token slows its neighbours down by what it may do: the rates say how much.
OF_A_TOKEN: Final = Bounds(is_neighbour_judged=False)
REFUSED: Final = Bounds(log_kib=96)  # two lines for each, of each of which 50 a second
CROWD: Final = Bounds(peak_mib=60)  # what its thousand listeners have not read yet counts as well
CROWD_OF_A_TOKEN: Final = Bounds(peak_mib=60, is_neighbour_judged=False)


def _costly(
    name: str,
    path: str,
    *headers: str,
    stopped_address: str = "",
    is_http: bool = False,
    settings: dict[str, str] | None = None,
) -> Row:
    make = partial(Costly, path, *headers, stopped_address=stopped_address, is_http=is_http)
    return Row(f"A5 {name}", NOTHING, make, settings=settings or {}, most_rounds=1)


QUERY: Final = f"{SOCKET}?{'a&' * (HEAD // 2)}"

ROWS: Final = (
    Row("A1 trailers", NOTHING, partial(EndlessBody, b"0\r\n", b"X-T: " + b"a" * 100 + b"\r\n")),
    Row("A1 tiny trailers", NOTHING, partial(EndlessBody, b"0\r\n", b"a:\r\n")),
    Row("A1 one trailer", NOTHING, partial(EndlessBody, b"0\r\nX: ", b"a")),
    Row("A1 chunk extension", NOTHING, partial(EndlessBody, b"1;", b"a")),
    Row("A2 pipelines", NOTHING, UnreadPipeline),
    Row("A2 many pipelines", NOTHING, ManyPipelines),
    Row("A2 preflights", NOTHING, partial(ManyPipelines, PREFLIGHT), settings=PAGES),
    Row("A2 unauthorized", NOTHING, partial(ManyPipelines, UNAUTHORIZED)),
    Row("A3 kept open", NOTHING, Kept, files=FEW_FILES, short_rounds=1),
    Row("A4 streams", TOKEN, Streams, OF_A_TOKEN),
    _costly("query", QUERY),
    _costly("query, HTTP", f"/items/42/messages?{'a&' * (HEAD // 2)}", is_http=True),
    _costly("escapes", f"{SOCKET}?token={'%41' * (HEAD // 3)}"),
    _costly("subprotocols", SOCKET, f"Sec-WebSocket-Protocol: {'a,' * (HEAD // 2)}a"),
    _costly("cookies", SOCKET, f"Cookie: {'a=b;' * (HEAD // 4)}"),
    _costly(
        "forwarded", "/items/42/messages", f"Forwarded: {'for=::1,' * (HEAD // 8)}", is_http=True
    ),
    _costly("stopped", QUERY, stopped_address="192.0.2.7", settings=STOPS_SOON),
    Row("A6 fragments", TOKEN, Fragments, OF_A_TOKEN, {"max_message_bytes": str(4 << 20)}),
    Row("A7 lingering", NOTHING, Lingering, files=FEW_FILES, short_rounds=1),
    Row("A7 refused, floods", NOTHING, partial(ManyPipelines, FRAME, first=HANDSHAKE), REFUSED),
    Row("A8 tickets", TOKEN, Tickets, OF_A_TOKEN),
    Row("A9 padded sockets", TOKEN, PaddedSockets, OF_A_TOKEN, short_rounds=1),
    Row("B1 replay unread", TOKEN, ReplayUnread, OF_A_TOKEN, short_rounds=1),
    Row("B2 join races", TOKEN, JoinRaces, OF_A_TOKEN),
    Row("B3 amplified", TOKEN, Amplified, CROWD, short_rounds=1),
    Row("B4 poison", TOKEN, Poison, OF_A_TOKEN),
    Row("B5 bursts", TOKEN, Bursts),
    Row("B6 churn", TOKEN, Churn, CROWD_OF_A_TOKEN, short_rounds=1),
)

ATTACKS: Final = {row.name: row for row in ROWS}
