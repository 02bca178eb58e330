"""How an engine is found by its URL."""

from __future__ import annotations

import subprocess
import sys

import pytest

from itemwire.engines import ENGINES, EXTRAS, open_engine
from itemwire.engines.memory import MemoryEngine
from tests.fakes import BOUNDS


def test_opens_the_engine_that_a_url_names() -> None:
    """The scheme is all that the memory engine needs to know."""
    assert isinstance(open_engine("memory://", BOUNDS), MemoryEngine)


@pytest.mark.parametrize("url", ["", "memory", "memory:", "rediss", "MEMORY://", "://", "x"])
def test_refuses_another_url_and_names_what_there_is(url: str) -> None:
    """Start-up says what to write instead of what was written."""
    with pytest.raises(ValueError, match="memory://") as refused:
        open_engine(url, BOUNDS)

    assert "ITEMWIRE_ENGINE_URL" in str(refused.value)


@pytest.mark.server
def test_loads_no_engine_before_it_is_named() -> None:
    """An engine's client library is not everybody's dependency."""
    code = "import sys, itemwire.engines; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()

    assert "itemwire.engines" in loaded
    assert not set(loaded) & set(ENGINES.values())


@pytest.mark.server
@pytest.mark.parametrize(("scheme", "client"), [("postgresql", "asyncpg"), ("redis", "redis")])
def test_says_in_one_line_which_extra_is_missing(scheme: str, client: str) -> None:
    """Who names an engine without having its client is told what to install."""
    code = (
        f"import sys; sys.modules[{client!r}] = None\n"
        "from itemwire.engines import open_engine\n"
        f"try: open_engine('{scheme}://user:hunter2@host', None)\n"
        "except ValueError as error: print(error)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout

    assert f"{scheme}://" in told
    assert f"pip install 'itemwire[{EXTRAS[ENGINES[scheme]]}]'" in told
    assert told.count("\n") == 1
    assert "hunter2" not in told
