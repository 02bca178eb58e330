"""The pytest plugin, in runs of pytest of its own."""

import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]

# What a run that uses nothing of the kit must not load.
HEAVY = (
    "fastapi",
    "starlette",
    "uvicorn",
    "websockets",
    "pydantic",
    "cryptography",
    "itemwire.main",
)

SYNC = """
    def test_hears_itself(itemwire_server, itemwire_tokens):
        path = f"/items/42/ws?token={itemwire_tokens.good()}"
        with itemwire_server.client(path) as client:
            client.publish("hello")
            assert client.message()["data"] == "hello"
"""
ASYNC = """
    import pytest

    @pytest.fixture
    def anyio_backend():
        return "asyncio"

    @pytest.mark.{mark}
    async def test_hears_itself(itemwire_server, itemwire_tokens):
        path = f"/items/42/ws?token={{itemwire_tokens.good()}}"
        async with itemwire_server.async_client(path) as client:
            await client.publish("hello")
            assert (await client.message())["data"] == "hello"
"""


@pytest.fixture(autouse=True)
def only_this_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load what a test names and nothing else, whatever is installed."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run pytest with the kit's plugin, in a process of its own.

    A run inside this process unloads every module that it has loaded. The next test then loads
    compiled modules such as httptools again, with new exception classes that nothing catches.
    """
    return pytester.runpytest_subprocess(
        "-p", "itemwire.testing.plugin", "-p", "no:cacheprovider", "--strict-markers", *arguments
    )


def test_pytest_is_told_of_it() -> None:
    """An installation brings the plugin along."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    plugin = project["entry-points"]["pytest11"]["itemwire"]

    assert plugin == "itemwire.testing.plugin"
    assert import_module(plugin).pytest_generate_tests


def test_it_costs_nothing_when_unused() -> None:
    """It is imported at every start, of every project that has Itemwire installed."""
    code = f"import sys, itemwire.testing.plugin; print([n for n in {HEAVY} if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )

    assert done.stdout.strip() == "[]"


def test_a_run_that_uses_none_of_it_loads_none_of_it(pytester: pytest.Pytester) -> None:
    """Collecting and running somebody else's tests included."""
    pytester.makepyfile(
        f"""
        import sys

        def test_of_somebody_else():
            assert [name for name in {HEAVY} if name in sys.modules] == []
        """
    )
    command = (sys.executable, "-m", "pytest", "-p", "itemwire.testing.plugin", "-q")

    pytester.run(*command).assert_outcomes(passed=1)


def test_every_fixture_has_the_prefix_and_a_line_of_help(pytester: pytest.Pytester) -> None:
    """A name of ours must not take the place of a user's own.

    Beside the prefix there is one word for the object that users call `live`.
    """
    printed = run(pytester, "--fixtures", "-q").stdout.lines
    ours = [line for line in printed if "api/itemwire/testing/plugin.py" in line]

    assert len(ours) >= 5
    assert all(line.startswith(("itemwire_", "live_published ")) for line in ours)
    assert "no docstring available" not in "".join(printed)


def test_works_in_plain_tests(pytester: pytest.Pytester) -> None:
    """No event loop is asked for."""
    pytester.makepyfile(SYNC)

    run(pytester).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("plugin", "mark"), [("anyio", "anyio"), ("pytest_asyncio.plugin", "asyncio")]
)
def test_works_on_asyncio(pytester: pytest.Pytester, plugin: str, mark: str) -> None:
    """Under either of the plugins that run coroutine tests."""
    pytester.makepyfile(ASYNC.replace("{mark}", mark).replace("{{", "{").replace("}}", "}"))
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")

    run(pytester, "-p", plugin).assert_outcomes(passed=1)


def test_an_application_of_ones_own_takes_the_place_of_itemwires(pytester: pytest.Pytester) -> None:
    """One fixture is overridden, and all that depends on it follows."""
    pytester.makepyfile(
        """
        import pytest
        from starlette.applications import Starlette
        from starlette.routing import WebSocketRoute

        async def hello(websocket):
            await websocket.accept()
            await websocket.send_text("hello")
            await websocket.close(1000, "bye")

        @pytest.fixture(scope="session")
        def itemwire_app():
            return Starlette(routes=[WebSocketRoute("/ws", hello)])

        def test_hello(itemwire_server):
            with itemwire_server.client("/ws", subprotocols=()) as client:
                assert client.receive() == "hello"
                assert client.ending().browser_sees == (1000, "bye")
        """
    )

    run(pytester).assert_outcomes(passed=1)


def test_an_attack_is_a_test(pytester: pytest.Pytester) -> None:
    """With a name to pick it by, and a report that says what happened."""
    pytester.makepyfile(
        """
        import pytest
        from itemwire.testing import QUERY, Route, itemwire_route
        from itemwire_auth.keys.static import signing_key_from_secret
        from itemwire_auth.testing import TokenFactory

        TOKENS = TokenFactory(signing_key_from_secret("known to this test only, 48 bytes"))
        THREE = {"token_expired", "query_twice", "path_slash_after"}

        @pytest.fixture(scope="session")
        def itemwire_tokens():
            return TOKENS

        @pytest.mark.itemwire_attacks(itemwire_route(TOKENS), only=THREE)
        def test_withstands(itemwire_attack, itemwire_server):
            itemwire_attack.against(itemwire_server).check()

        TWO = {"token_expired", "query_twice"}

        @pytest.mark.itemwire_attacks(Route("/nowhere", TOKENS), only=TWO)
        def test_nowhere(itemwire_attack, itemwire_server):
            itemwire_attack.against(itemwire_server).check()
        """
    )
    result = run(pytester, "-v")

    result.assert_outcomes(passed=3, failed=1, skipped=1)
    result.stdout.fnmatch_lines_random(
        [
            "*test_withstands?token_expired? PASSED*",
            "*good_client: good_refused*",
            "*seen*HTTP 403*a browser sees 1006*",
        ]
    )


def test_a_good_client_that_is_refused_is_the_one_failure(pytester: pytest.Pytester) -> None:
    """It comes first, and says what to look at; the attacks are skipped, and not failed."""
    pytester.makepyfile(
        """
        import pytest
        from itemwire.testing import Route

        @pytest.mark.itemwire_attacks(Route("/nowhere", good=lambda: "key"), severity="hole")
        def test_withstands(itemwire_attack, itemwire_server):
            itemwire_attack.against(itemwire_server).check()
        """
    )
    result = run(pytester)
    outcomes = result.parseoutcomes()

    assert (outcomes["failed"], outcomes.get("passed")) == (1, None)
    assert outcomes["skipped"] > 50
    result.stdout.fnmatch_lines_random(["*FAILED*test_withstands?good_client?*"])


def test_an_attack_on_no_route_is_an_error_that_says_so(pytester: pytest.Pytester) -> None:
    """A fixture that cannot be made should say what it wants."""
    pytester.makepyfile("def test_it(itemwire_attack): ...")
    result = run(pytester)

    assert result.ret != 0
    (result.stdout if result.stdout.lines else result.stderr).re_match_lines_random(
        [".*itemwire_attacks.*Route.*"]
    )


def test_a_trial_can_be_parametrised_by_hand(pytester: pytest.Pytester) -> None:
    """Without marker and fixture, the names are the same."""
    pytester.makepyfile(
        """
        import pytest
        from itemwire.testing import Route, attacks_for
        from itemwire_auth.testing import TokenFactory, signing_key

        ROUTE = Route("/ws", TokenFactory(signing_key("HS256")))

        @pytest.mark.parametrize("trial", attacks_for(ROUTE))
        def test_it(trial):
            assert trial.attack.why
        """
    )
    result = run(pytester, "-k", "token_alg_none and not token_alg_none_", "-v")

    result.assert_outcomes(passed=1, deselected=result.parseoutcomes()["deselected"])
    result.stdout.fnmatch_lines(["*test_it?token_alg_none? PASSED*"])


def test_the_clock_stands_still(pytester: pytest.Pytester) -> None:
    """And each test has its own."""
    pytester.makepyfile(
        """
        def test_it(itemwire_clock):
            start = itemwire_clock()
            itemwire_clock.advance(60)
            assert itemwire_clock() == start + 60
        """
    )

    run(pytester).assert_outcomes(passed=1)


def test_every_name_of_the_package_can_be_asked_for() -> None:
    """They are loaded one by one, and none is forgotten."""
    package = import_module("itemwire.testing")

    assert [name for name in package.__all__ if getattr(package, name, None) is None] == []
    assert dir(package) == sorted(package.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        package.no_such_name  # noqa: B018
