"""A host application on each server that its team may run it on, and on `itemwire serve --app`."""

import os
import socket
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner

from itemwire.cli import main
from itemwire.testing.clients import ChannelClient
from itemwire.testing.servers import JSON
from tests.cli.conftest import ITEMWIRE
from tests.conformance.engine_urls import ENGINE_URLS
from tests.embedding.conftest import ANN, BEN, ITEM, ask, database_in, settings_of
from tests.embedding.places import by_router
from tests.embedding.shop.live import make_live
from tests.embedding.shop.main import create_shop
from tests.scenarios.nodes import until
from tests.scenarios.processes import Started, started
from tests.scenarios.test_workers import aside, workers_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it would rather have httpx2, and works with httpx
    from starlette.testclient import TestClient

ROOT: Final = Path(__file__).parents[2]

APPLICATION: Final = f"""
import sys
from pathlib import Path

sys.path.insert(0, {str(ROOT)!r})

from itemwire.settings import Settings
from tests.embedding.shop.live import make_live
from tests.embedding.shop.main import create_shop

app = create_shop(f"sqlite+aiosqlite:///{{Path(__file__).with_name('shop.db')}}")
for prefix in ("/live", "/second"):
    app.include_router(make_live(Settings(secret=None, jwks_url=None)).router, prefix=prefix)
"""

OWN_ENGINE: Final = APPLICATION.replace("secret=None", "engine_url='memory://', secret=None")
"""Each worker would have one of its own: nobody can put another in its place."""

SERVERS: Final = {
    "uvicorn": "uvicorn shop_app:app --port {}",
    "gunicorn": "gunicorn shop_app:app -k uvicorn_worker.UvicornWorker --bind 127.0.0.1:{}",
    "hypercorn": "hypercorn shop_app:app --bind 127.0.0.1:{} --graceful-timeout 1",
    "granian": "granian --interface asgi shop_app:app --port {}",
    "itemwire": "itemwire serve --app shop_app:app --port {}",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with a module that has the application, as a team has it."""
    folder = tmp_path_factory.mktemp("served")
    folder.joinpath("shop_app.py").write_text(textwrap.dedent(APPLICATION), "utf-8")
    folder.joinpath("own_engine.py").write_text(textwrap.dedent(OWN_ENGINE), "utf-8")
    return folder


def run(folder: Path, command: str, **settings: str) -> AbstractContextManager[Started]:
    """Start a server in that folder, on a port that nobody has just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    name, *options = command.format(port).split()
    return started([str(Path(sys.executable).with_name(name)), *options], folder, **settings)


@pytest.fixture(scope="module", params=list(SERVERS))
def served(folder: Path, request: pytest.FixtureRequest) -> Iterator[Started]:
    """Run the application on each server."""
    with run(folder, SERVERS[request.param]) as running:
        yield running


def test_channels_are_served(served: Started) -> None:
    """To a client of each side of an order, by the shop's own logins; and joins, and refreshes."""
    server = served.server
    with (
        server.client(f"/live{ITEM}/ws", headers=ANN) as ann,
        server.client("/live/ws", headers=BEN) as ben,
    ):
        ann.welcome()
        joined = ben.ask("join", item="order:7")
        refreshed = ben.ask("refresh", token="bens-login")
        ann.publish("hello")
        heard = ben.message()

    assert (joined["can"], heard["data"]) == (["subscribe", "history"], "hello")
    assert refreshed["items"] == {"order:7": ["subscribe", "history"]}


def test_strangers_are_refused_and_the_host_serves(served: Started) -> None:
    """Beside the channels, the shop's own routes are as they were."""
    refusal = served.server.refusal(f"/live{ITEM}/ws")
    answers = [
        ask("GET", f"{served.server.url}{path}", headers=ANN).status_code
        for path in ("/users/me", "/docs", "/orders/8", f"/live{ITEM}/messages")
    ]

    assert (refusal.code, refusal.reason) == (1008, "credentials_missing")
    assert answers == [200, 200, 409, 200]


def test_starlettes_test_client_speaks_with_channels(folder: Path) -> None:
    """The shop's own tests need no server."""
    app = by_router(create_shop(database_in(folder)), make_live(settings_of()))
    with (
        TestClient(app) as client,
        client.websocket_connect(f"/live{ITEM}/ws", subprotocols=[JSON], headers=dict(ANN)) as ann,
    ):
        welcome = ann.receive_json()
        published = client.post(f"/live{ITEM}/messages", headers=ANN, json="hello")
        heard = ann.receive_json()

    assert (welcome["subject"], published.status_code, heard["data"]) == ("1", 201, "hello")


def test_our_own_server_drains_every_itemwire_of_a_host(folder: Path) -> None:
    """With the reason, which only the fast path can send then, and with status 0."""
    with run(folder, SERVERS["itemwire"]) as running, ExitStack() as stack:
        clients: list[ChannelClient] = []
        for prefix in ("live", "second"):
            client = running.server.client(f"/{prefix}{ITEM}/ws", headers=ANN)
            clients.append(stack.enter_context(client))
            clients[-1].welcome()
        running.stop()
        ends = [client.ending() for client in clients]
        status = running.process.wait(30)

    assert [(end.code, end.reason) for end in ends] == [(1012, "draining")] * 2
    assert status == 0


@pytest.mark.parametrize("engine", ["redis", "memory"])
def test_our_own_server_runs_workers_of_a_host(folder: Path, engine: str) -> None:
    """What is published in one is heard in the other; a scrape of each `Itemwire` is of both."""
    secret = "m" * 32
    command = f"{SERVERS['itemwire']} --workers 2"
    with ExitStack() as stack:
        url = stack.enter_context(ENGINE_URLS[engine](folder))
        running = stack.enter_context(run(folder, command, engine_url=url, metrics_token=secret))
        clients: list[ChannelClient] = []
        for worker in workers_of(running):
            with aside(worker):
                client = running.server.client(f"/live{ITEM}/ws", headers=ANN)
                clients.append(stack.enter_context(client))
                clients[-1].welcome()
        clients[0].publish("to all")
        heard = [client.message()["data"] for client in clients]
        for prefix in ("live", "second"):
            until(partial(_tells_of_two, f"{running.server.url}/{prefix}/metrics", secret))

    assert heard == ["to all"] * 2


def _tells_of_two(url: str, secret: str) -> bool:
    """Return whether a scrape has both workers; one that is busy may miss its moment."""
    text = ask("GET", url, headers={"Authorization": f"Bearer {secret}"}).text
    return all(f'itemwire_worker_up{{worker="{number}"}} 1.0' in text for number in (0, 1))


ODD: Final = {
    "live": "live = make_live(Settings(secret=None, jwks_url=None))",
    "number": "number = 5",
    "text": "text = 'shop_app:app'",
    "nothing": "nothing = None",
    "module": "import os as module",
    "kind": "class kind: pass",
    "wsgi": "def wsgi(environ, start_response): pass",
    "needs": "def needs(settings): pass",
    "made": "def made(): return 5",
}
"""What is named by mistake."""


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--app", "shop_app:nothing"], 'Attribute "nothing" not found'),
        (["--app", "nowhere:app"], 'Could not import module "nowhere"'),
        (["--app", "own_engine:app", "--workers", "2"], "several workers were asked for"),
        *((["--app", f"odd:{name}"], "no ASGI application, but of type") for name in ODD),
    ],
)
def test_what_cannot_be_served_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], told: str
) -> None:
    """In one line, before anything listens."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", sys.path[:])
    for name in ("shop_app", "own_engine", "odd"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (folder / "odd.py").write_text("\n".join([APPLICATION, *ODD.values()]))
    monkeypatch.setenv("ITEMWIRE_WORKERS", "1")  # put back at the end: the command sets it
    result = CliRunner().invoke(main, ["serve", "--port", "0", *options])

    assert result.exit_code == 78
    assert told in result.output.splitlines()[-1]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_application_that_fails_at_its_import_does_not_start(folder: Path, workers: str) -> None:
    """As one whose lifespan fails; its traceback is for who wrote it."""
    (folder / "failing.py").write_text("raise OSError('no database')")

    ended = subprocess.run(
        [ITEMWIRE, "serve", "--app", "failing:app", "--workers", workers],
        cwd=folder,
        env=os.environ | {"ITEMWIRE_WORKERS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert ended.returncode == 3
    assert "failing:app cannot be imported" in ended.stderr
    assert "no database" in ended.stderr
