"""The pytest plugin: `live_published`, fixtures named `itemwire_…`, a marker.

pytest imports this module at every start, so at its top it imports nothing but pytest; each fixture
imports what it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from itemwire.testing.clock import Clock
    from itemwire.testing.published import Published
    from itemwire.testing.servers import LiveServer
    from itemwire_auth.testing import TokenFactory

MARKER = "itemwire_attacks"


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(route, severity=None, only=(), without=()): run the test once for a good client "
        "of a route and for each attack on it, up to a severity (hole, weakness or rule); "
        "the argument `itemwire_attack` is the attack.",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that uses `itemwire_attack` once for each attack on its route."""
    if "itemwire_attack" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker(MARKER)
    if marker is None:
        raise pytest.UsageError(
            f"{metafunc.definition.nodeid} uses itemwire_attack: name the route to attack with "
            f"@pytest.mark.{MARKER}(Route(...))"
        )
    from itemwire.testing.trials import attacks_for  # noqa: PLC0415 - see above

    metafunc.parametrize("itemwire_attack", attacks_for(*marker.args, **marker.kwargs))


@pytest.fixture(scope="session")
def itemwire_serve() -> Iterator[Callable[..., LiveServer]]:
    """Return a function that runs an application on a real server: `itemwire_serve(app)`.

    It accepts the arguments of `live_application`. All servers stop when the test session ends.
    """
    from contextlib import ExitStack  # noqa: PLC0415

    from itemwire.testing.servers import live_application  # noqa: PLC0415

    with ExitStack() as running:

        def serve(app: object, **options: Any) -> LiveServer:  # noqa: ANN401 - uvicorn's
            return running.enter_context(live_application(app, **options))

        yield serve


@pytest.fixture(scope="session")
def itemwire_tokens() -> TokenFactory:
    """Return a maker of good and bad tokens, with a random key; override it to use your key."""
    from itemwire_auth.keys.static import signing_key_from_secret  # noqa: PLC0415
    from itemwire_auth.testing import TokenFactory  # noqa: PLC0415
    from itemwire_auth.tokens.minting import new_secret  # noqa: PLC0415

    return TokenFactory(signing_key_from_secret(new_secret()))


@pytest.fixture(scope="session")
def itemwire_app(itemwire_tokens: TokenFactory) -> object:
    """Return the application that `itemwire_server` runs; override it to run yours."""
    from itemwire.main import create_app  # noqa: PLC0415
    from itemwire.testing.servers import settings_for  # noqa: PLC0415

    return create_app(settings_for(itemwire_tokens))


@pytest.fixture(scope="session")
def itemwire_server(itemwire_serve: Callable[..., LiveServer], itemwire_app: object) -> LiveServer:
    """Return a real server that runs `itemwire_app`."""
    return itemwire_serve(itemwire_app)


@pytest.fixture
def itemwire_clock() -> Clock:
    """Return a clock that stands still until the test moves it."""
    from itemwire.testing.clock import Clock  # noqa: PLC0415

    return Clock()


@pytest.fixture
def live_published() -> Iterator[list[Published]]:
    """Return a list that gets each message that the code of an application publishes."""
    from itemwire.testing.published import noting_published  # noqa: PLC0415

    with noting_published() as noted:
        yield noted
