"""Items, rights, queries and routes: what is refused with a good token, in both modes."""

import contextlib
import json
import secrets
import string

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from itemwire.testing import Refusal
from tests.scenarios.clients import JSON, PATIENCE, JsonClient
from tests.scenarios.conftest import Door

BAD_ITEMS = {
    "empty": "",
    "space": "a%20b",
    "plus": "a+b",
    "slash": "a/b",
    "escaped_slash": "a%2Fb",
    "escaped_twice": "a%252Fb",
    "backslash": "a%5Cb",
    "percent": "100%25",
    "nul": "%00",
    "nul_within": "a%00b",
    "line_break": "a%0D%0Ab",
    "line_feed": "a%0A",
    "escape": "%1B%5B2J",
    "dot": ".",
    "two_dots": "..",
    "two_escaped_dots": "%2e%2e",
    "dots_and_slash": "../42",
    "too_long": "a" * 129,
    "far_too_long": "a" * 7000,
    "asterisk": "*",
    "redis_pattern": "a%3F%5Bbc%5D",
    "nats_wildcard": "a%3E",
    "hash_slot": "%7Ba%7D",
    "quote": "a'b",
    "double_quote": "a%22b",
    "umlaut": "%C3%A4",
    "fullwidth_digit": "%EF%BC%94",
    "right_to_left_mark": "%E2%80%8F42",
    "zero_width_space": "4%E2%80%8B2",
    "no_utf_8": "%ff",
    "other_no_utf_8": "%fe",
    "overlong_utf_8": "%C0%AF",
    "surrogate": "%ED%A0%80",
}
GOOD_ITEMS = {
    "letters_and_digits": string.ascii_letters + string.digits,
    "every_other_character": "._~:-",
    "longest": "a" * 128,
    "shortest": "0",
    "three_dots": "...",
    "dots_within": "a..b",
    "only_a_colon": ":",
    "segments": "team:7:chat",
    "escaped_without_need": "%34%32",
}
BAD_REPLAYS = ["-1", "x", "1.5", "", "1e2", "0x10", "null", "9" * 5000, "%D9%A3", "%00", "1,2"]


@pytest.mark.parametrize("item_id", BAD_ITEMS.values(), ids=BAD_ITEMS)
def test_refuses_a_bad_item_id(door: Door, item_id: str) -> None:
    """Two spellings must never reach one channel, and no id a log line (requirements 75-80)."""
    assert door.refusal(door.path(item_id)) == door.says("item_invalid")


@pytest.mark.parametrize("item_id", GOOD_ITEMS.values(), ids=GOOD_ITEMS)
def test_takes_a_good_item_id(door: Door, item_id: str) -> None:
    """The whole alphabet, from 1 to 128 characters."""
    assert door.welcomes(door.path(item_id))


@pytest.mark.parametrize("item_id", ["a%20b", "..", "%ff", "%0A", "a" * 129])
def test_tells_a_stranger_nothing_but_that_it_is_one(door: Door, item_id: str) -> None:
    """The credential is looked at first."""
    seen = door.refusal(door.path(item_id, token="garbage"))

    assert seen == door.says("credentials_invalid")


def test_refuses_the_item_that_a_right_does_not_reach(door: Door) -> None:
    """Rights elsewhere: another item would do."""
    narrow = door.tokens.good(scope="items:7:subscribe items:team:*:subscribe items:4:publish")

    assert door.refusal(door.path("42", token=narrow)) == door.says("forbidden")
    assert door.refusal(door.path("4", token=narrow)) == door.says("forbidden")
    assert door.refusal(door.path("team", token=narrow)) == door.says("forbidden")
    assert door.welcomes(door.path("7", token=narrow))
    assert door.welcomes(door.path("team:a:b", token=narrow))


@pytest.mark.parametrize(
    "scope",
    [
        pytest.param("", id="none"),
        pytest.param("items:publish items:history items:presence", id="every_other"),
        pytest.param("items:subscriber items:subscribed", id="longer_words"),
        pytest.param("admin notitems:subscribe subscribe", id="other_words"),
        pytest.param("items:foo*:subscribe items::subscribe", id="patterns_of_no_item"),
    ],
)
def test_refuses_a_token_without_the_right(door: Door, scope: str) -> None:
    """No item would do, or none that could exist: the caller needs another token."""
    seen = door.refusal(door.path(token=door.tokens.good(scope=scope)))
    elsewhere = scope.startswith("items:foo*")

    assert seen == door.says("forbidden" if elsewhere else "scope_missing")
    assert door.welcomes(door.path(token=door.tokens.good(scope=f"{scope} items:subscribe")))


def test_tells_no_stranger_which_items_exist(door: Door) -> None:
    """Denied and non-existent look the same (requirement 64)."""
    alive, never = secrets.token_hex(8), secrets.token_hex(8)
    narrow = door.tokens.good(scope="items:7:subscribe")
    with door.server.connect(door.path(alive), subprotocols=(JSON,)):
        seen = [door.refusal(door.path(item, token=narrow)) for item in (alive, never)]

    assert seen == [door.says("forbidden")] * 2


@pytest.mark.parametrize("path", [
    "/ws/", "/items", "/items/42", "/items/ws", "/items/42/ws/", "/items/42/WS", "/ws/echo/",
    "/ws/nope", "/", "/health/live", "/console/index.html", "/console/nope", "/openapi.json",
    "//items/42/ws", "/items/42/ws%00", "/items/42/ws%0A", "/ws/echo%0A",
])  # fmt: skip
def test_denies_an_unknown_path(door: Door, path: str) -> None:
    """An upgrade is for known routes, in both modes and for any caller (requirement 8)."""
    assert door.refusal(f"{path}?token={door.tokens.good()}") == Refusal(403)


@pytest.mark.parametrize("replay", BAD_REPLAYS)
def test_refuses_a_bad_query_value(door: Door, replay: str) -> None:
    """A client that asked for what cannot be must not take silence for an answer."""
    assert door.refusal(f"{door.path()}&replay={replay}") == door.says("query_invalid")


@pytest.mark.parametrize("query", ["replay=0", "replay=1", "replay=1000000", "unknown=x&a", ""])
def test_takes_a_good_query(door: Door, query: str) -> None:
    """More than there is means all there is; what no one asked about is let be."""
    assert door.welcomes(f"{door.path()}&{query}")


def test_refuses_a_replay_without_the_right_to_history(door: Door) -> None:
    """Reading back is a right of its own, by whichever way (requirement 59)."""
    live_only = door.tokens.good(scope="items:subscribe items:publish")
    reading = door.tokens.good(scope="items:subscribe items:history")

    assert door.refusal(door.path(token=live_only, replay=1)) == door.says("scope_missing")
    assert door.welcomes(door.path(token=live_only, replay=0))
    assert door.welcomes(door.path(token=reading, replay=1))


def test_a_resume_is_checked_as_any_handshake(door: Door, item_id: str) -> None:
    """To have been here before is no credential and no right (requirement 72)."""
    with door.server.connect(door.path(item_id), subprotocols=(JSON,)) as connection:
        stored = JsonClient(connection).ask("publish", data="mine")
    since = f"{stored['epoch']}:{stored['offset']}"
    expired = door.tokens.good(exp=door.tokens.now - 1)
    talking = door.tokens.good(scope="items:publish")
    elsewhere = door.tokens.good(scope="items:7:subscribe")

    for token, reason in (
        (expired, "credentials_invalid"),
        (talking, "scope_missing"),
        (elsewhere, "forbidden"),
    ):
        path = door.path(item_id, token=token, since=since)
        assert door.refusal(path) == door.says(reason)
    with door.server.connect(door.path(item_id, since=since), subprotocols=(JSON,)) as connection:
        assert JsonClient(connection).welcome["recovered"] is True


def test_no_refused_socket_joins_or_is_read(door: Door, item_id: str) -> None:
    """What a refused client sends reaches nobody, and nobody hears of it."""
    refusals = [
        door.path(item_id, token="garbage"),
        door.path(item_id, token=door.tokens.good(scope="items:publish")),
        door.path(item_id, replay=-1),
    ]
    with door.server.connect(door.path(item_id), subprotocols=(JSON,)) as connection:
        watcher = JsonClient(connection)
        for path in refusals:
            with (
                contextlib.suppress(InvalidStatus, ConnectionClosed),
                door.server.connect(path) as stranger,
            ):
                stranger.send("let me in")
                stranger.recv(timeout=PATIENCE)
        answer = watcher.ask("publish", data="mine")
        first = watcher.read()

    assert (first["type"], first["offset"], first["data"]) == ("message", 1, "mine")
    assert answer["offset"] == 1


def test_a_refusal_answers_the_subprotocol_that_was_offered(door: Door) -> None:
    """Chromium fails a handshake whose offers are all unanswered: 1006 in place of the reason."""
    offered = (f"itemwire.token.{door.tokens.good(exp=1)}", JSON)
    if door.mode == "http":
        with pytest.raises(InvalidStatus) as denied:
            door.server.connect("/items/42/ws", subprotocols=offered)
        assert "Sec-WebSocket-Protocol" not in denied.value.response.headers
        assert json.loads(denied.value.response.body or b"")["reason"] == "credentials_invalid"
    else:
        with door.server.connect("/items/42/ws", subprotocols=offered) as connection:
            assert connection.subprotocol == JSON
