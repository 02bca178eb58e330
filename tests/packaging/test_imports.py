"""What an import loads: pytest imports the plugin at every start of every project that has it."""

import sys
from pathlib import Path

import pytest

from tests.packaging.building import run

FORBIDDEN = {
    "asyncpg",
    "click",
    "cryptography",
    "fastapi",
    "hiredis",
    "httptools",
    "httpx",
    "itemwire_auth",
    "jwt",
    "msgspec",
    "nats",
    "prometheus_client",
    "pydantic",
    "redis",
    "starlette",
    "uvicorn",
    "uvloop",
    "websockets",
}
PLUGIN = {"itemwire", "itemwire.testing", "itemwire.testing.plugin"}


def loaded_by(name: str, folder: Path) -> set[str]:
    """Return the names of all modules that an import loads in a new interpreter."""
    code = (
        f"import sys; before = set(sys.modules); import {name}; print(*set(sys.modules) - before)"
    )
    return set(run([sys.executable, "-c", code], folder).split())


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        pytest.param("itemwire", {"itemwire"}, id="package"),
        pytest.param("itemwire.testing.plugin", PLUGIN, id="plugin"),
    ],
)
def test_an_import_loads_itself_and_nothing_heavy(
    tmp_path: Path, name: str, ours: set[str]
) -> None:
    """Neither a framework nor an engine's client: who uses none of it pays for none of it."""
    loaded = loaded_by(name, tmp_path)

    assert {module for module in loaded if module.partition(".")[0] == "itemwire"} == ours
    assert {module.partition(".")[0] for module in loaded} & FORBIDDEN == set()


def test_a_public_name_is_loaded_when_it_is_asked_for(tmp_path: Path) -> None:
    """The test above would also pass for a package with nothing in it."""
    assert {"itemwire.settings", "pydantic"} <= loaded_by("itemwire; itemwire.Settings", tmp_path)


CLIENT = ("itemwire.client", "itemwire.close_reasons", "itemwire.messages")


def test_the_client_loads_itself_and_nothing_of_the_server(tmp_path: Path) -> None:
    """A script that listens needs `websockets` and `msgspec`, and starts as fast as they do."""
    loaded = loaded_by("itemwire.client", tmp_path)

    ours = {module for module in loaded if module.partition(".")[0] == "itemwire"}
    theirs = {module.partition(".")[0] for module in loaded} - sys.stdlib_module_names
    assert {module for module in ours if not module.startswith(CLIENT)} == {"itemwire"}
    assert theirs == {"itemwire", "msgspec", "typing_extensions", "websockets"}
