"""The pytest plugin: fixtures named `itemwire_…`, each of which loads what it needs.

pytest imports this module at every start, so it imports nothing but pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from itemwire.testing.clock import Clock
    from itemwire.testing.servers import LiveServer
    from itemwire_auth.testing import TokenFactory

MARKER = "itemwire_attacks"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(route, only=(), without=()): run the test once for each attack on a route, "
        "which it gets as `itemwire_attack`.",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that asks for `itemwire_attack` one run for each attack on its route."""
    if "itemwire_attack" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker(MARKER)
    if marker is None:
        raise pytest.UsageError(
            f"{metafunc.definition.nodeid} asks for itemwire_attack: say on which route, with "
            f"@pytest.mark.{MARKER}(Route(...))"
        )
    from itemwire.testing.trials import attacks_for  # noqa: PLC0415 - see above

    metafunc.parametrize("itemwire_attack", attacks_for(*marker.args, **marker.kwargs))


@pytest.fixture(scope="session")
def itemwire_serve() -> Iterator[Callable[..., LiveServer]]:
    """Run applications on real servers: `itemwire_serve(app)`; all stop after the tests.

    Takes what `live_application` takes.
    """
    from contextlib import ExitStack  # noqa: PLC0415

    from itemwire.testing.servers import live_application  # noqa: PLC0415

    with ExitStack() as running:

        def serve(app: object, **options: Any) -> LiveServer:  # noqa: ANN401 - uvicorn's
            return running.enter_context(live_application(app, **options))

        yield serve


@pytest.fixture(scope="session")
def itemwire_tokens() -> TokenFactory:
    """Make tokens, good and bad, with a key of this run; override it with your own key."""
    from itemwire_auth.keys.static import signing_key_from_secret  # noqa: PLC0415
    from itemwire_auth.testing import TokenFactory  # noqa: PLC0415
    from itemwire_auth.tokens.minting import new_secret  # noqa: PLC0415

    return TokenFactory(signing_key_from_secret(new_secret()))


@pytest.fixture(scope="session")
def itemwire_app(itemwire_tokens: TokenFactory) -> object:
    """Give the application that `itemwire_server` runs: Itemwire's; override it with yours."""
    from itemwire.main import create_app  # noqa: PLC0415
    from itemwire.testing.servers import settings_for  # noqa: PLC0415

    return create_app(settings_for(itemwire_tokens))


@pytest.fixture(scope="session")
def itemwire_server(itemwire_serve: Callable[..., LiveServer], itemwire_app: object) -> LiveServer:
    """Run `itemwire_app` on a real server."""
    return itemwire_serve(itemwire_app)


@pytest.fixture
def itemwire_clock() -> Clock:
    """Give a clock that stands still until the test moves it."""
    from itemwire.testing.clock import Clock  # noqa: PLC0415

    return Clock()
