"""README.md does what it says: its commands are run, and its example is the tested one."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import httpx
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordBearer

from itemwire import Itemwire, Rights
from itemwire.testing.servers import live_application
from tests.docs.pages import ROOT

README = (ROOT / "README.md").read_text()


def session() -> list[tuple[str, list[str]]]:
    """Return the shell session of the README: each command and what it prints."""
    steps: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], []))
            else:
                steps[-1][1].append(line)
    return steps


def free_port() -> int:
    """Return a port that is free at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_the_shell_session_prints_what_it_says(tmp_path: Path) -> None:
    """In one shell, in order, with this installation in place of `.venv`."""
    mark = "-- next --"
    steps = session()
    script = f"echo {mark}\n".join(f"{command}\n" for command, _ in steps)
    # The server is the one thing that runs on; wait for its line before going on.
    script = script.replace(
        "itemwire serve &", "itemwire serve 2>log &\nuntil grep Listening log; do sleep 0.1; done"
    )
    port = str(free_port())
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ITEMWIRE_")}
    environment |= {"ITEMWIRE_PORT": port, "ITEMWIRE_URL": f"http://127.0.0.1:{port}"}

    done = subprocess.run(
        ["bash", "-c", f"trap 'kill $(jobs -p)' EXIT\ntouch log\n{script}"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=150,
        check=False,
    )

    printed = done.stdout.replace(port, "8000")
    epoch = re.search(r"^(\S+):1$", printed, re.MULTILINE)
    assert epoch is not None, printed
    outputs = [part.strip("\n") for part in printed.replace(epoch[1], "3fJr0T_x").split(mark)]
    assert outputs == ["\n".join(expected) for _, expected in steps]


def test_the_rule_it_shows_is_the_tested_one() -> None:
    """A part of the file that `test_own_database` runs."""
    shown = re.search(
        r"<!-- from (docs/examples/\w+\.py) -->\n\n```py\n(.*?)```", README, re.DOTALL
    )

    assert shown is not None
    assert f"\n\n\n{shown[2]}\n\n" in (ROOT / shown[1]).read_text()


class Order(SimpleNamespace):
    """An order of the application that the README has in mind."""


class Session:
    """A session of its database, which knows one order."""

    async def get(self, _model: type[Order], number: int) -> Order | None:
        """Return the order 7, which user 2 sells."""
        return Order(seller_id=2) if number == 7 else None


def current_user(token: Annotated[str, Depends(OAuth2PasswordBearer("login"))]) -> SimpleNamespace:
    """Believe every token that is a number."""
    return SimpleNamespace(id=int(token))


def test_its_channel_works_inside_an_application() -> None:
    """The lines are added to an application that has users and a database."""
    shown = re.search(r"<!-- inside.py -->\n\n```py\n(.*?)```", README, re.DOTALL)
    assert shown is not None
    app = FastAPI()
    names = {
        "app": app,
        "current_user": current_user,
        "CurrentUser": Annotated[SimpleNamespace, Depends(current_user)],
        "SessionDep": Annotated[Session, Depends(Session)],
        "Order": Order,
        "HTTPException": HTTPException,
        "Itemwire": Itemwire,
        "Rights": Rights,
    }
    exec(shown[1], names)  # noqa: S102 - the page's own code

    with live_application(app) as server:
        with server.client("/live/items/order:7/ws?token=1") as client:
            assert client.welcome()["can"] == ["subscribe", "history"]
            httpx.post(f"{server.url}/orders/7/ship").raise_for_status()
            assert client.message()["data"] == {"status": "shipped"}
        assert server.refusal("/live/items/order:8/ws?token=1").reason == "forbidden"


def test_is_short() -> None:
    """What does not fit has a page of its own under docs/."""
    assert len(README.splitlines()) <= 200
