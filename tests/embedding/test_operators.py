"""Operators whom the application names itself: no token and no key are needed for `/admin`."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from fastapi import HTTPException

from itemwire.authorization import late_bodies
from itemwire.testing import LiveServer
from itemwire.testing.servers import live_application
from tests.embedding.conftest import ANN, BEN, ITEM, ask, database_in, settings_of
from tests.embedding.places import by_router
from tests.embedding.shop.live import make_live
from tests.embedding.shop.main import create_shop
from tests.embedding.shop.users import CurrentUser

ANNS_COOKIE: Final = {"Cookie": "shop_login=anns-login"}
EVIL: Final = {"Origin": "https://evil.example"}


@dataclass
class Admin:
    """A shop whose operator is Ann."""

    asked: list[int] = field(default_factory=list[int])
    knows_nobody: bool = False
    server: LiveServer = field(init=False)

    async def operator(self, user: CurrentUser) -> object:
        """Return the user, if it is Ann."""
        self.asked.append(user.id)
        if self.knows_nobody:
            return None
        if user.id != 1:
            raise HTTPException(403)
        return user

    def ask(self, method: str, path: str, headers: dict[str, str], **body: Any) -> Any:  # noqa: ANN401 - JSON
        """Ask the admin API; return the status and the answer."""
        answer = ask(method, f"{self.server.url}/live/admin/{path}", headers=headers, **body)
        return answer.status_code, answer.json() if answer.content else None


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:
    """Run the shop."""
    admin = Admin()
    live = make_live(settings_of(throttle_exempt=()), admin.operator)
    app = by_router(create_shop(database_in(tmp_path_factory.mktemp("shop"))), live)
    with live_application(app) as admin.server:
        yield admin


@pytest.fixture
def admin(running: Admin) -> Admin:
    """Give the running shop; nobody has been asked about yet."""
    running.asked.clear()
    running.knows_nobody = False
    return running


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        pytest.param(ANN, 200, None, id="operator"),
        pytest.param(ANNS_COOKIE, 200, None, id="operator-by-cookie"),
        pytest.param(BEN, 403, "forbidden", id="another-user"),
        pytest.param({}, 401, "credentials_missing", id="nobody"),
        pytest.param({"Authorization": "Bearer x"}, 401, "credentials_invalid", id="unknown"),
        pytest.param(EVIL | ANNS_COOKIE, 403, "origin_denied", id="foreign-page"),
    ],
)
def test_the_application_says_who_may_administer(
    admin: Admin, headers: dict[str, str], status: int, code: str | None
) -> None:
    """By its own dependency; a foreign page cannot send an operator's cookie."""
    answered, body = admin.ask("GET", "connections", headers)

    assert (answered, body.get("code")) == (status, code)


@pytest.mark.parametrize("query", ["token=anns-login", "ticket=x"])
def test_a_url_administers_nothing(admin: Admin, query: str) -> None:
    """It ends up in logs, and in the history of a browser."""
    status, body = admin.ask("GET", f"connections?{query}", {})

    assert (status, body["code"]) == (401, "credentials_invalid")
    assert admin.asked == []


def test_who_is_no_operator_is_told_so(admin: Admin) -> None:
    """A dependency may also return None."""
    admin.knows_nobody = True

    assert admin.ask("GET", "connections", ANN)[0] == 403


def test_an_operator_ends_the_sockets_of_a_user(admin: Admin) -> None:
    """From the application's own page, by the cookie of the operator."""
    own_page = ANNS_COOKIE | {"Origin": admin.server.url}
    with admin.server.client(f"/live{ITEM}/ws", headers=BEN) as ben:
        ben.welcome()
        without_origin = admin.ask("DELETE", "subjects/2/connections", ANNS_COOKIE)[0]
        ended = admin.ask("DELETE", "subjects/2/connections", own_page)[0]
        reason = ben.ending().reason

    assert (without_origin, ended, reason) == (403, 200, "token_revoked")


def test_is_asked_again_after_a_slow_body(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was true when the head came may be over when the body is there."""
    monkeypatch.setattr(late_bodies, "SLOW_BODY", 0.0)
    status, _ = admin.ask("POST", "revocations", ANN, json={"subject": "nobody"})

    assert status == 200
    assert admin.asked == [1, 1]


def test_without_an_operator_there_is_no_admin(tmp_path: Path) -> None:
    """As before: it exists where the settings say so."""
    app = by_router(create_shop(database_in(tmp_path)), make_live(settings_of()))
    with live_application(app) as server:
        assert ask("GET", f"{server.url}/live/admin/connections", headers=ANN).status_code == 404
