"""`export`: documents for other tools, and whether a file of them is out of date."""

import json
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.cli.conftest import CommandLine

HOST: Final = """
from fastapi import FastAPI
from itemwire import Itemwire, Rights
from itemwire.settings import Settings

live = Itemwire(user=lambda: None, settings=Settings(_env_file=None))
app = FastAPI()
app.include_router(live.router, prefix="/live")
bare = FastAPI()


@live.channel("order:{number}")
async def order(number: int) -> Rights:
    return Rights("subscribe")
"""


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write an application into the folder that the command runs in; give its module."""
    module = f"host_of_{tmp_path.name}"
    (tmp_path / f"{module}.py").write_text(HOST)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])  # the command adds its folder
    return module


@pytest.mark.parametrize("kind", ["asyncapi", "openapi"])
def test_prints_the_document_of_the_server(itemwire: CommandLine, kind: str) -> None:
    """No key is needed to describe it."""
    result = itemwire("export", kind)

    assert result.exit_code == 0
    assert kind in json.loads(result.stdout)


def test_prints_the_types_of_the_channels(itemwire: CommandLine, name: str) -> None:
    """For clients in TypeScript; the server alone declares none."""
    of_app = itemwire("export", "typescript", "--app", f"{name}:app")
    alone = itemwire("export", "typescript")

    assert "[item: `order:${number}`]: {" in of_app.stdout
    assert alone.stdout.endswith("export interface Channels {\n}\n")


@pytest.mark.parametrize("place", ["app", "live"])
def test_finds_the_channels_of_an_application(itemwire: CommandLine, name: str, place: str) -> None:
    """In the application itself, and by the name of the channels in it."""
    result = itemwire("export", "asyncapi", "--app", f"{name}:{place}")

    assert "order_number" in json.loads(result.stdout)["channels"]


@pytest.mark.parametrize("kind", ["asyncapi", "typescript"])
def test_says_whether_a_file_is_out_of_date(itemwire: CommandLine, name: str, kind: str) -> None:
    """With 1, for a build; the file stays as it is."""
    file, asked = Path("channels"), ("export", kind, "channels")
    of_app = ("--app", f"{name}:app")

    missing = itemwire(*asked, *of_app, "--check")
    assert (missing.exit_code, file.exists()) == (1, False)
    assert itemwire(*asked, *of_app).exit_code == 0
    assert itemwire(*asked, *of_app, "--check").exit_code == 0
    written = file.read_bytes()
    old = itemwire(*asked, "--check")
    assert (old.exit_code, file.read_bytes()) == (1, written)
    assert f"itemwire export {kind} channels" in old.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--app", "{}:bare"], "has no channels"),
        (["--app", "{}:nothing"], "nothing"),
        (["--app", "no_such_module:app"], "no_such_module"),
        (["--check"], "needs the FILE"),
    ],
)
def test_says_what_is_wrong(
    itemwire: CommandLine, name: str, arguments: list[str], problem: str
) -> None:
    """With 2, as for any wrong use."""
    result = itemwire("export", "asyncapi", *(one.format(name) for one in arguments))

    assert result.exit_code == 2
    assert problem in result.stderr
