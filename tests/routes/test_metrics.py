"""The page for Prometheus: it needs its token, and has the form that is asked for."""

import asyncio

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ValidationError

from itemwire.main import create_app
from itemwire.observability.metrics import METRICS
from itemwire.settings import Settings
from tests.conftest import SECRET
from tests.scenarios.clients import token

TOKEN = "a-token-for-the-metrics-of-40-characters"
BEARER = {"Authorization": f"Bearer {TOKEN}"}

OPENMETRICS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2"


@pytest.fixture
def app() -> FastAPI:
    """Give an application with the page."""
    return create_app(Settings(secret=SECRET, metrics_token=TOKEN, admin=True, _env_file=None))


def get(app: FastAPI, path: str = "/metrics", **headers: str) -> httpx.Response:
    """Ask once."""
    latin = {name.encode(): value.encode("latin-1") for name, value in headers.items()}

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        client = httpx.AsyncClient(transport=transport, base_url="http://test")
        async with app.router.lifespan_context(app), client:
            return await client.get(path, headers=latin)

    return asyncio.run(request())


def test_tells_every_metric_to_who_has_the_token(app: FastAPI) -> None:
    """The accepted twin of every refusal below; Prometheus reads what comes."""
    answer = get(app, **BEARER)

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    names = {family.name for family in text_string_to_metric_families(answer.text)}
    assert names >= {row.full_name.removesuffix("_total") for row in METRICS}


def test_is_not_there_without_a_token() -> None:
    """Nobody opens it by accident: who wants it must choose a token."""
    app = create_app(Settings(secret=SECRET, _env_file=None))

    assert get(app, **BEARER).status_code == 404


def test_refuses_who_sends_none(app: FastAPI) -> None:
    """With the scheme that would be welcome (RFC 9110 section 15.5.2)."""
    answer = get(app)

    assert (answer.status_code, answer.json()["detail"]) == (401, "credentials_missing")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "wrong",
    [TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "", SECRET, f"{TOKEN},{TOKEN}", "\xe9"],
    ids=["cut", "longer", "case", "empty", "secret", "twice", "latin"],
)
def test_refuses_another_token(app: FastAPI, wrong: str) -> None:
    """All of it must be right."""
    answer = get(app, Authorization=f"Bearer {wrong}")

    assert (answer.status_code, answer.json()["detail"]) == (401, "credentials_invalid")


@pytest.mark.parametrize("scope", ["admin", "items:subscribe", "metrics"])
def test_a_token_of_a_user_is_none_for_it(app: FastAPI, scope: str) -> None:
    """One secret opens one door: the server's own tokens have others."""
    answer = get(app, Authorization=f"Bearer {token('root', scope)}")

    assert answer.status_code == 401


def test_the_metrics_token_opens_nothing_else(app: FastAPI) -> None:
    """It stands in the configuration of another machine."""
    assert get(app, "/admin/connections", **BEARER).status_code == 401


@pytest.mark.parametrize("way", ["query", "cookie"])
def test_is_taken_from_the_header_alone(app: FastAPI, way: str) -> None:
    """An address ends in logs, and a browser sends a cookie by itself."""
    path = f"/metrics?token={TOKEN}" if way == "query" else "/metrics"
    answer = get(app, path, **({"Cookie": f"session={TOKEN}"} if way == "cookie" else {}))

    assert (answer.status_code, answer.json()["detail"]) == (401, "credentials_missing")


def test_speaks_openmetrics_if_asked(app: FastAPI) -> None:
    """As Prometheus asks by default."""
    answer = get(app, Accept=OPENMETRICS, **BEARER)

    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    families = open_families(answer.text)  # type: ignore[no-untyped-call] # of the library
    assert len(list(families)) > len(METRICS)


@pytest.mark.parametrize(
    "accept",
    ["", "*/*", "text/plain;version=x", "application/openmetrics-text;version=1..2", "a;b"],
)
def test_answers_whatever_is_accepted(app: FastAPI, accept: str) -> None:
    """A client that writes nonsense gets text, and no error."""
    assert get(app, Accept=accept, **BEARER).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [TOKEN[:31], TOKEN + "\n", " " * 40, TOKEN + "é", ""],
    ids=["short", "line break", "blank", "not ascii", "empty"],
)
def test_a_token_that_no_header_can_hold_is_refused_at_the_start(wrong: str) -> None:
    """Else nobody would get in, and nothing would say why."""
    with pytest.raises(ValidationError, match="metrics_token") as refused:
        Settings(secret=SECRET, metrics_token=wrong, _env_file=None)

    assert wrong.strip() == "" or wrong.strip() not in str(refused.value)


def test_guesses_are_throttled() -> None:
    """By address, as at every door (requirement 97)."""
    app = create_app(
        Settings(
            secret=SECRET,
            metrics_token=TOKEN,
            slow_after_refusals=0,
            stop_after_refusals=3,
            throttle_exempt="",
            _env_file=None,
        )
    )
    guesses = [get(app, Authorization="Bearer x").status_code for _ in range(4)]

    assert guesses == [401, 401, 401, 429]
    assert get(app, **BEARER).status_code == 429
