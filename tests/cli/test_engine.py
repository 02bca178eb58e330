"""`engine init`: creating the store of an engine."""

import pytest

from itemwire.engines.postgres.schema import VERSION
from tests.cli.conftest import CommandLine
from tests.postgres_server import running_postgres
from tests.server_process import free_port


def test_makes_the_schema_and_says_so_each_time(
    itemwire: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may run with every deployment."""
    with running_postgres() as server:
        monkeypatch.setenv("ITEMWIRE_ENGINE_URL", server.url)
        first = itemwire("engine", "init")
        second = itemwire("engine", "init")

    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.output == f"The schema has version {VERSION} now; it had none.\n"
    assert second.output == f"The schema has version {VERSION} already.\n"


def test_has_nothing_to_do_for_an_engine_without_a_store(itemwire: CommandLine) -> None:
    """A deployment script need not know which engine it is."""
    result = itemwire("engine", "init")

    assert (result.exit_code, result.output) == (0, "memory:// needs no preparation.\n")


def test_says_in_one_line_why_it_cannot(
    itemwire: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where, and never the password."""
    monkeypatch.setenv("ITEMWIRE_ENGINE_URL", f"postgresql://me:hunter2@127.0.0.1:{free_port()}/d")

    result = itemwire("engine", "init")

    assert result.exit_code == 1
    assert result.output.startswith("Error: cannot use postgresql://***@127.0.0.1:")
    assert result.output.count("\n") == 1
    assert "hunter2" not in result.output


@pytest.mark.parametrize("url", ["nowhere://", "postgresql://me:hunter2/x@h"])
def test_refuses_a_url_that_names_no_engine(
    itemwire: CommandLine, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """A setting that is wrong has its own exit code."""
    monkeypatch.setenv("ITEMWIRE_ENGINE_URL", url)

    result = itemwire("engine", "init")

    assert result.exit_code == 78
    assert "ITEMWIRE_ENGINE_URL" in result.output
    assert "hunter2" not in result.output
