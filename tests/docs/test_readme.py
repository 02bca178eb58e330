"""README.md does what it says: its commands are run, its tables and its example are the code's."""

import asyncio
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.tokens.minting import mint, new_secret
from tests.docs.test_protocol import reasons_table

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
EPOCH = re.compile(r"\b3fJr0T_x\b")


def session() -> list[tuple[str, list[str]]]:
    """The shell session of the README: each command and what it prints."""
    steps: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], []))
            else:
                steps[-1][1].append(line)
    return steps


def free_port() -> int:
    """A port that nobody has just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.mark.timeout(170)
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


def test_the_table_of_reasons_is_the_registry() -> None:
    """If this fails, paste what `reasons_table` gives after the mark."""
    shown = re.search(r"<!-- reasons -->\n\n(.*?)\n\n", README, re.DOTALL)

    assert shown is not None
    assert shown.group(1) == reasons_table()


def test_the_example_is_the_tested_one() -> None:
    """The README shows the file from its imports on."""
    shown = re.search(
        r"<!-- docs/examples/own_database.py -->\n\n```py\n(.*?)```", README, re.DOTALL
    )
    source = (ROOT / "docs" / "examples" / "own_database.py").read_text()

    assert shown is not None
    assert source.endswith(shown.group(1))


def test_every_file_it_points_to_is_there() -> None:
    """A dead link is the end of reading."""
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)

    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_routes_of_its_own_that_it_shows_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """One rule serves sockets and HTTP: who may subscribe may read, and nobody else."""
    secret = new_secret()
    monkeypatch.setenv("ITEMWIRE_SECRET", secret)
    (example,) = re.findall(r"```py\n(from typing[^`]*app = create_app[^`]*)```", README)
    module = ModuleType("routes_of_its_own")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(example, vars(module))  # noqa: S102 - the README's own code
    transport = httpx.ASGITransport(module.app)
    token = mint(signing_key_from_secret(secret), subject="a", lifetime=60, scope="items:subscribe")

    async def ask(token: str) -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            headers = {"Authorization": f"Bearer {token}"}
            return await client.get("/items/order:42/label", headers=headers)

    assert asyncio.run(ask(token)).json() == "order:42 for a"
    assert asyncio.run(ask("x")).status_code == 401
