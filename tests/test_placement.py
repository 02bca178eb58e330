"""The mount of the channels, which FastAPI asks twice about each request."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from starlette.responses import PlainTextResponse
from starlette.routing import Match, Mount
from starlette.types import Scope

from itemwire.placement import ChannelMount

CHANNELS = PlainTextResponse("channels")

Change = Callable[[Scope], None]


def scope_of(path: str, **more: object) -> Scope:
    """Make the scope of a handshake."""
    return {"type": "websocket", "path": path, "root_path": "", "headers": [], **more}


def asked(mount: Mount, scope: Scope) -> tuple[Match, Scope]:
    """Ask a mount that has never seen this scope."""
    return type(mount)(mount.path, mount.app).matches(dict(scope))


def to_another_item(scope: Scope) -> None:
    """Change the path, as a middleware may."""
    scope["path"] = "/live/items/b/ws"


def elsewhere(scope: Scope) -> None:
    """Change the path to one of the host's own."""
    scope["path"] = "/orders"


def below(scope: Scope) -> None:
    """Put the application below a prefix."""
    scope["root_path"], scope["path"] = "/api", "/api/live/items/a/ws"


def of_a_tenant(scope: Scope) -> None:
    """Have a prefix with a parameter."""
    scope["path_params"] = {"tenant": "7"}


def not_at_all(_scope: Scope) -> None:
    """Leave it as it is."""


@pytest.mark.parametrize("change", [not_at_all, to_another_item, elsewhere, below, of_a_tenant])
@pytest.mark.parametrize("path", ["/live/items/a/ws", "/live/items/a%0A\n/ws", "/orders"])
def test_it_tells_twice_what_it_would_tell_once(path: str, change: Change) -> None:
    """Also where the scope is another one by then."""
    mount, scope = ChannelMount("/live", CHANNELS), scope_of(path)

    first = mount.matches(scope)
    told = first[0], dict(first[1])
    expected = asked(mount, scope_of(path))
    change(scope)

    assert told == expected
    assert mount.matches(scope) == asked(mount, scope)


def test_a_second_mount_is_not_told_what_the_first_has_found() -> None:
    """Two `Itemwire` in one application have mounts of their own."""
    scope = scope_of("/live/items/a/ws")
    one, other = ChannelMount("/live", CHANNELS), ChannelMount("/live", PlainTextResponse("others"))
    other_prefix = ChannelMount("/other", CHANNELS)

    one.matches(scope)

    assert other_prefix.matches(scope)[0] is Match.NONE
    one.matches(scope)
    assert other.matches(scope)[1]["endpoint"] is other.app


def test_nothing_stays_in_the_scope_once_it_has_been_asked_twice() -> None:
    """What is kept would go on with each socket."""
    mount, scope = ChannelMount("/live", CHANNELS), scope_of("/live/items/a/ws")
    before = dict(scope)

    for _ in range(2):
        mount.matches(scope)

    assert scope == before
