"""The JavaScript client as its users have it: packed, installed, type-checked and run in Node."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from itemwire.settings import Settings
from itemwire.testing import LiveServer, live_server
from tests.clients.node import CLIENT, MODULES, NEWER, need_node, run
from tests.conftest import SECRET
from tests.scenarios.clients import token

pytestmark = pytest.mark.server

PROGRAMS = {
    name: Path(__file__).parent / name for name in ("program.js", "bytes.js", "own_socket.js")
}
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


of_each_node = pytest.mark.parametrize("node", ["node", NEWER], ids=["node", "newer"])


@pytest.fixture
def server() -> Iterator[LiveServer]:
    """Run a server with the tests' secret, on whose items nothing was said yet."""
    with live_server(Settings(secret=SECRET, _env_file=None)) as running:
        yield running


def test_a_program_of_somebody_else_is_checked_with_strict(project: Path) -> None:
    """The types are in the package, also for those who write plain JavaScript."""
    flags = ("--strict", "--noEmit", "--allowJs", "--checkJs", "--noUncheckedIndexedAccess")
    target = ("--target", "es2022", "--module", "nodenext", "--types", "node")
    tsc = MODULES / "typescript" / "bin" / "tsc"

    run(["node", tsc, *flags, *target, *PROGRAMS], project)


@of_each_node
def test_two_callers_talk_and_one_comes_back_after_a_broken_line(
    project: Path, server: LiveServer, node: str | Path
) -> None:
    """Nothing is lost and nothing comes twice; a token that is refused ends the third."""
    printed = run([node, "program.js", server.url, token("alice"), token("bob")], project)

    assert json.loads(printed) == {
        "heard": ["bob: one", "bob: two", "bob: three"],
        "reasons": ["connect", "reconnect"],
        "position": True,
        "history": ["one", "two", "three"],
        "complete": True,
        "members": ["alice", "bob"],
        "refusal": ["credentials_invalid", 1008, "refused"],
    }


@of_each_node
def test_bytes_travel_as_they_are_by_messagepack(
    project: Path, server: LiveServer, node: str | Path
) -> None:
    """Every frame of that client is binary and nothing is base64; by JSON the same bytes arrive."""
    printed = run([node, "bytes.js", server.url, token("alice"), token("bob")], project)

    sent = [[*range(256)], {"size": 2**40, "name": "größe"}, [0xFF, 0, 0xC1]]
    assert json.loads(printed) == {
        "heard": [sent, sent],
        "history": [0xFF, 0, 0xC1],
        "binary": True,
        "whole": 2,
        "base64": False,
    }


def test_a_newer_node_needs_no_other_websocket(project: Path, server: LiveServer) -> None:
    """Its own is used, by JSON and by MessagePack, also after a break; the process then ends."""
    run([NEWER, "-e", "process.exit(Number(process.versions.node.split('.')[0] < 22))"], project)
    printed = run([NEWER, "own_socket.js", server.url, token("alice")], project)

    assert json.loads(printed) == {
        "heard": [["before", "after"]] * 2,
        "states": ["connecting", "connected", "reconnecting", "connected", "closed"],
        "refusal": ["credentials_invalid", "refused"],
    }


def test_the_clients_own_tests_pass_with_a_newer_node() -> None:
    """With the system's Node, `npm test` runs them."""
    need_node()
    run([NEWER, MODULES / "typescript" / "bin" / "tsc", "-p", "."], CLIENT)
    run([NEWER, "--test", *sorted((CLIENT / "test").glob("*.test.js"))], CLIENT)


@pytest.mark.parametrize("folder", [CLIENT, CLIENT / "benchmarks"], ids=["client", "benchmarks"])
def test_the_lock_file_names_no_address_of_a_registry(folder: Path) -> None:
    """Everyone installs from the registry that they have configured."""
    lock = json.loads((folder / "package-lock.json").read_text())

    assert [name for name, entry in lock["packages"].items() if "resolved" in entry] == []


def test_the_package_depends_on_nothing() -> None:
    """React is for those who import the hooks, and they have it."""
    package = json.loads((CLIENT / "package.json").read_text())

    assert "dependencies" not in package
    assert package["peerDependenciesMeta"] == {"react": {"optional": True}}
