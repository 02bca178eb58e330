"""The JavaScript client as its users have it: packed, installed, type-checked and run in Node."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from itemwire.settings import Settings
from itemwire.testing import LiveServer, live_server
from tests.clients.node import CLIENT, MODULES, need_node, run
from tests.conftest import SECRET
from tests.scenarios.clients import token

pytestmark = pytest.mark.server

PROGRAMS = {name: Path(__file__).parent / name for name in ("program.js", "bytes.js")}
BORROWED = ("typescript", "ws", "@types")
"""What the project has beside the client: from where the client's own tests have it."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pack the client, and install it into a project that has nothing else."""
    need_node()
    folder = tmp_path_factory.mktemp("project")
    packed = tmp_path_factory.mktemp("packed")
    run(["npm", "pack", "--pack-destination", packed], CLIENT)
    (archive,) = packed.iterdir()
    (folder / "package.json").write_text('{"name": "theirs", "private": true, "type": "module"}')
    run(["npm", "install", "--offline", "--no-audit", "--no-fund", "--omit=peer", archive], folder)
    assert [path.name for path in (folder / "node_modules").glob("[!.]*")] == ["itemwire"]
    for name in BORROWED:
        (folder / "node_modules" / name).symlink_to(MODULES / name)
    for name, program in PROGRAMS.items():
        (folder / name).write_text(program.read_text())
    return folder


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    """Run a server with the tests' secret."""
    with live_server(Settings(secret=SECRET, _env_file=None)) as running:
        yield running


def test_a_program_of_somebody_else_is_checked_with_strict(project: Path) -> None:
    """The types are in the package, also for those who write plain JavaScript."""
    flags = ("--strict", "--noEmit", "--allowJs", "--checkJs", "--noUncheckedIndexedAccess")
    target = ("--target", "es2022", "--module", "nodenext", "--types", "node")
    tsc = MODULES / "typescript" / "bin" / "tsc"

    run(["node", tsc, *flags, *target, *PROGRAMS], project)


def test_two_callers_talk_and_one_comes_back_after_a_broken_line(
    project: Path, server: LiveServer
) -> None:
    """Nothing is lost and nothing comes twice; a token that is refused ends the third."""
    printed = run(["node", "program.js", server.url, token("alice"), token("bob")], project)

    assert json.loads(printed) == {
        "heard": ["bob: one", "bob: two", "bob: three"],
        "reasons": ["connect", "reconnect"],
        "position": True,
        "history": ["one", "two", "three"],
        "complete": True,
        "members": ["alice", "bob"],
        "refusal": ["credentials_invalid", 1008, "refused"],
    }


def test_bytes_travel_as_they_are_by_messagepack(project: Path, server: LiveServer) -> None:
    """Every frame of that client is binary and nothing is base64; by JSON the same bytes arrive."""
    printed = run(["node", "bytes.js", server.url, token("alice"), token("bob")], project)

    sent = [[*range(256)], {"size": 2**40, "name": "größe"}, [0xFF, 0, 0xC1]]
    assert json.loads(printed) == {
        "heard": [sent, sent],
        "history": [0xFF, 0, 0xC1],
        "binary": True,
        "whole": 2,
        "base64": False,
    }


def test_the_lock_file_names_no_address_of_a_registry() -> None:
    """Everyone installs from the registry that they have configured."""
    lock = json.loads((CLIENT / "package-lock.json").read_text())

    assert [name for name, entry in lock["packages"].items() if "resolved" in entry] == []


def test_the_package_depends_on_nothing() -> None:
    """React is for those who import the hooks, and they have it."""
    package = json.loads((CLIENT / "package.json").read_text())

    assert "dependencies" not in package
    assert package["peerDependenciesMeta"] == {"react": {"optional": True}}
