"""What an import loads: pytest imports the plugin at every start of every project that has it."""

import signal
import subprocess
import sys
from pathlib import Path
from secrets import token_urlsafe

import pytest

from tests.packaging.building import SECONDS, environment_outside, run

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
    "nkeys",
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


SERVING = """
import atexit, sys
atexit.register(lambda: print(*sys.modules))
from itemwire.cli import main
main()
"""

UNUSED = [
    "asyncpg",
    "difflib",
    "hiredis",
    "httpx",
    "idna",
    "itemwire.app",
    "itemwire.bench",
    "itemwire.cli.bench",
    "itemwire.cli.channels",
    "itemwire.cli.export",
    "itemwire.cli.tokens",
    "itemwire.client",
    "itemwire.engines.nats",
    "itemwire.engines.postgres",
    "itemwire.engines.redis",
    "itemwire.engines.sqlite",
    "itemwire.publisher",
    "itemwire.routes.admin",
    "itemwire.routes.metrics",
    "itemwire.serving.workers",
    "itemwire.testing",
    "itemwire_auth.testing",
    "jsonschema_rs",
    "nats",
    "nkeys",
    "prometheus_client",
    "redis",
    "rich",
    "sqlite3",
]
"""What a server of `memory://` with a secret has no use for."""


def loaded_by_serving(folder: Path, **variables: str) -> set[str]:
    """Return the names of all modules of `itemwire serve` once it listens, and has stopped."""
    secret = {"ITEMWIRE_SECRET": token_urlsafe(48)}
    with subprocess.Popen(
        [sys.executable, "-c", SERVING, "serve", "--port", "0"],
        cwd=folder,
        env=environment_outside() | secret | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stderr is not None
        assert "Listening" in server.stderr.readline()
        server.send_signal(signal.SIGINT)
        modules, log = server.communicate(timeout=SECONDS)
    assert modules, log
    return set(modules.split())


@pytest.fixture(scope="module")
def loaded_by_a_plain_server(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Start one server for the whole table."""
    return loaded_by_serving(tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("name", UNUSED)
def test_a_plain_server_starts_without(loaded_by_a_plain_server: set[str], name: str) -> None:
    """Each costs a start its time, and a server its memory."""
    loaded = loaded_by_a_plain_server

    assert "itemwire.main" in loaded
    assert {one for one in loaded if one == name or one.startswith(f"{name}.")} == set()


@pytest.mark.parametrize(
    ("variables", "used"),
    [
        pytest.param({"ITEMWIRE_ADMIN": "true"}, "itemwire.routes.admin", id="admin"),
        pytest.param({"ITEMWIRE_METRICS_TOKEN": "t" * 32}, "prometheus_client", id="metrics"),
        pytest.param({"ITEMWIRE_POLICY_URL": "https://localhost/p"}, "httpx", id="policy"),
        pytest.param({"ITEMWIRE_ALLOWED_ORIGINS": "https://bücher.example"}, "idna", id="origin"),
    ],
)
def test_a_server_loads_what_its_settings_ask_for(
    tmp_path: Path, variables: dict[str, str], used: str
) -> None:
    """The table above would also hold where nothing could ever be loaded."""
    assert used in loaded_by_serving(tmp_path, **variables)
