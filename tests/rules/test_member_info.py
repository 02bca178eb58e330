"""What the rule of an application lets members know of each other."""

from collections.abc import Iterator
from typing import Annotated

import httpx
import pytest
from fastapi import Depends, FastAPI

from itemwire import Itemwire, Rights
from itemwire.testing import LiveServer
from itemwire.testing.servers import live_application
from itemwire_auth.dependencies import CurrentPrincipal
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.member_info import INFO_BYTES
from itemwire_auth.testing import TokenFactory
from tests.conftest import SECRET
from tests.scenarios.clients import token
from tests.test_startup_checks import settings_of

pytestmark = pytest.mark.server

NAMES = {"alice": "Alice", "bob": "Bob"}


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    """Run an application whose members have names, which may change."""
    live = Itemwire(settings=settings_of())
    app = FastAPI()
    app.include_router(live.router, prefix="/live")

    def name_of(principal: CurrentPrincipal) -> str:
        return NAMES[principal.subject]

    @live.channel("room:{name}")
    async def room(name: str, shown: Annotated[str, Depends(name_of)]) -> Rights:
        return Rights("subscribe", "presence", info={"name": shown, "room": name})

    with live_application(app) as running:
        yield running


def test_members_know_what_the_rule_tells_of_them(server: LiveServer) -> None:
    """In the welcome, as they join, over HTTP, and again when a refresh changes it."""
    url = "/live/items/room:1/ws?token="
    with server.client(url + token("alice")) as alice, server.client(url + token("bob")) as bob:
        welcome, joined = bob.welcome(), alice.expect("joined")
        NAMES["bob"] = "Robert"
        bob.ask("refresh", token=token("bob"))
        updated = alice.expect("updated")
        headers = {"Authorization": f"Bearer {token('alice')}"}
        page = httpx.get(f"{server.url}/live/items/room:1/members", headers=headers).json()

    infos = {one["subject"]: one["info"]["name"] for one in welcome["members"]}
    assert infos == {"alice": "Alice", "bob": "Bob"}
    assert joined["member"]["info"] == {"name": "Bob", "room": "1"}
    assert updated["member"] == {**joined["member"], "info": {"name": "Robert", "room": "1"}}
    assert updated["member"] in page["members"]


def claims_of(subject: str, **claims: object) -> str:
    """Return a token with these claims besides."""
    key = signing_key_from_secret(SECRET)
    return TokenFactory(key, issuer=None, audience=None).good(sub=subject, **claims)


@pytest.fixture(scope="module")
def claiming() -> Iterator[LiveServer]:
    """Run an application whose members are told of by their tokens, but in one channel."""
    live = Itemwire(settings=settings_of(info_claims=("name", "user.avatar", "profile")))
    app = FastAPI()
    app.include_router(live.router, prefix="/live")

    @live.channel("room:{name}")
    async def room(name: str) -> Rights:
        return Rights("subscribe", "presence")

    @live.channel("masked:{name}")
    async def masked(name: str) -> Rights:
        return Rights("subscribe", "presence", info={"mask": name})

    live.add_channel("hall:{name}", history=5)

    with live_application(app) as running:
        yield running


@pytest.mark.parametrize("item", ["room:1", "hall:1", "undeclared"])
def test_members_know_what_a_token_tells_of_them(claiming: LiveServer, item: str) -> None:
    """Whichever rule decides, and anew with another token."""
    claims = {"name": "Alice", "user": {"avatar": "a.png"}, "profile": {"team": "red"}}
    url = f"/live/items/{item}/ws?token="
    with claiming.client(url + claims_of("alice", **claims)) as alice:
        (own,) = alice.welcome()["members"]
        with claiming.client(url + token("bob")) as bob:
            bob.welcome()
            joined = alice.expect("joined")["member"]
            alice.ask("refresh", token=claims_of("alice", name="Alicia"))
            updated = bob.expect("updated")["member"]

    assert own["info"] == {"name": "Alice", "avatar": "a.png", "team": "red"}
    assert "info" not in joined
    assert updated["info"] == {"name": "Alicia"}


def test_the_rule_says_otherwise(claiming: LiveServer) -> None:
    """An application that masks its members must not be undone by a token."""
    url = "/live/items/masked:ball/ws?token=" + claims_of("alice", name="Alice")
    with claiming.client(url) as alice:
        (own,) = alice.welcome()["members"]

    assert own["info"] == {"mask": "ball"}


def test_claims_that_are_too_large_tell_nothing(claiming: LiveServer) -> None:
    """And lock nobody out: callers may often choose their own name."""
    url = "/live/items/room:2/ws?token=" + claims_of("alice", name="A" * INFO_BYTES)
    with claiming.client(url) as alice:
        (own,) = alice.welcome()["members"]

    assert "info" not in own


def test_an_info_that_clients_could_not_read_is_a_fault_of_the_rule() -> None:
    """Nested too deeply for their parsers: its caller is not let in without it."""
    deep: list[object] = []
    for _ in range(64):
        deep = [deep]
    live = Itemwire(settings=settings_of())
    app = FastAPI()
    app.include_router(live.router, prefix="/live")

    @live.channel("room:{name}")
    async def room(name: str) -> Rights:
        return Rights("subscribe", info={"deep": deep})

    with live_application(app) as running:
        refusal = running.refusal("/live/items/room:1/ws?token=" + token("alice"))

    assert (refusal.code, refusal.reason) == (1011, "internal")


@pytest.mark.parametrize("info", [{"a": "a" * INFO_BYTES}, {"a": float("nan")}, {"a": "\ud800"}])
def test_refuses_an_info_that_no_client_could_get(info: dict[str, object]) -> None:
    """Where the rule makes it."""
    with pytest.raises(ValueError, match=r"bytes|JSON|surrogates"):
        Rights("subscribe", info=info)
    with pytest.raises(TypeError, match="JSON"):
        Rights("subscribe", info={"a": object()})
    assert Rights("subscribe", info={"a": "é"}).info == '{"a":"é"}'.encode()
