"""An argument of a wrong kind is refused where it is given, with its name and what it must be."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final

import pytest
from fastapi import Header

from itemwire import AsyncPublisher, Itemwire, Publisher
from tests.test_channel_options import caller
from tests.test_startup_checks import settings_of

SETTINGS: Final = settings_of(secret=None)
NO_TEXTS: Final[tuple[Any, ...]] = (5, 1.5, True, b"x", [], {}, object(), caller)
NO_FUNCTIONS: Final[tuple[Any, ...]] = (5, 1.5, True, "", "x", b"x", [], {}, object())
NO_LISTS: Final = ("", "code", b"x", 5, True, None, object(), caller, [5], [None], {5: 6})


def operator(key: Annotated[str, Header()]) -> str:
    """Find the operator, by nothing in a URL."""
    return key


def live(**arguments: Any) -> Itemwire:  # noqa: ANN401 - right and wrong ones
    """Make an `Itemwire` with these arguments."""
    given = {"user": caller, "settings": SETTINGS, **arguments}
    return Itemwire(**given)


def channel() -> Any:  # noqa: ANN401 - whose methods are given what they do not take
    """Declare a channel."""
    return live().channel("order")(caller)


def model(value: Any) -> None:  # noqa: ANN401 - right and wrong ones
    """Declare a channel with a model."""
    live().add_channel("order:{id}", model=value)


def declared(value: Any) -> None:  # noqa: ANN401 - right and wrong ones
    """Declare a channel with a function."""
    live().channel("order")(value)


def answered(value: Any) -> None:  # noqa: ANN401 - right and wrong ones
    """Answer a request with a function."""
    channel().message("ask")(value)


def observed(name: str, value: Any) -> None:  # noqa: ANN401 - right and wrong ones
    """Have a function called after an event."""
    of_channel = name in ("on_join", "on_leave")
    getattr(channel() if of_channel else live(), name)(value)


def published(kind: type[Publisher | AsyncPublisher], name: str, value: Any) -> None:  # noqa: ANN401 - right and wrong ones
    """Make a publisher."""
    kind(**{name: value})


NO_HOOKS: Final[tuple[Any, ...]] = (*NO_FUNCTIONS, None)
Case = tuple[Callable[[Any], object], str, tuple[object, ...], tuple[object, ...]]

CASES: Final[dict[str, Case]] = {
    # Where it is given, how the error begins, what is refused, and what is taken.
    "user": (lambda one: live(user=one), "user must be a function", NO_FUNCTIONS, (caller,)),
    "operator": (
        lambda one: live(operator=one),
        "operator must be a function",
        NO_FUNCTIONS,
        (operator, None),
    ),
    "settings": (
        lambda one: live(settings=one),
        "settings must be a Settings",
        (5, "x", "", [], {}, {"port": 5}, caller),
        (SETTINGS,),
    ),
    "clock": (
        lambda one: live(clock=one),
        "clock must be a function",
        (*NO_FUNCTIONS, None),
        (lambda: 1.0,),
    ),
    "name": (lambda one: live(name=one), "name must be a text", (*NO_TEXTS, None), ("", "shop")),
    "unknown": (
        lambda one: live(unknown=one),
        "unknown=",
        (*NO_TEXTS, None, "deny"),
        ("policy", "forbid"),
    ),
    "recheck_interval": (
        lambda one: live(recheck_interval=one),
        "recheck_interval=",
        (True, "5", None, [], object(), -1, float("nan")),
        (0, 5, 1.5),
    ),
    "pattern of a channel": (
        lambda one: live().channel(one)(caller),
        "the pattern of a channel must be a text",
        (*NO_TEXTS, None),
        ("order:{id}",),
    ),
    "pattern of a channel without a function": (
        lambda one: live().add_channel(one),
        "the pattern of a channel must be a text",
        (*NO_TEXTS, None),
        ("order:{id}",),
    ),
    "function of a channel": (
        declared,
        "what `channel` declares must be a function",
        (*NO_FUNCTIONS, None),
        (caller,),
    ),
    "model": (
        model,
        "model=",
        (5, "x", "", b"x", [], True, object(), caller, lambda: 5, partial(caller), len, [].append),
        (int, {"type": "string"}, None, dict[str, int]),
    ),
    "name of a request": (
        lambda one: channel().message(one)(caller),
        "the name of a request must be a text",
        (*NO_TEXTS, None),
        ("ask",),
    ),
    "errors of a request": (
        lambda one: channel().message("ask", errors=one)(caller),
        "errors must be a tuple of texts",
        NO_LISTS,
        ((), ["sold_out"], ("sold_out",)),
    ),
    "function of a request": (
        answered,
        "what answers a request must be a function",
        (*NO_FUNCTIONS, None),
        (caller,),
    ),
    "before_publish": (
        lambda one: channel().before_publish(one),
        "before_publish must be a function",
        (*NO_FUNCTIONS, None),
        (lambda data: data,),
    ),
    **{
        name: (partial(observed, name), f"{name} must be a function", NO_HOOKS, (lambda: None,))
        for name in ("on_join", "on_leave", "on_connect", "on_disconnect")
    },
    **{
        f"{name} of {kind.__name__}": (
            partial(published, kind, name),
            f"{name} must be a text",
            (*NO_TEXTS, *([None] if name == "name" else [])),
            ("x", *([] if name == "name" else [None])),
        )
        for kind in (Publisher, AsyncPublisher)
        for name in ("engine_url", "url", "token", "name")
    },
}


@pytest.mark.parametrize("case", CASES)
def test_refuses_an_argument_of_a_wrong_kind(case: str) -> None:
    """At the declaration, where the traceback shows the line of the application."""
    give, begins, refused, _ = CASES[case]

    for value in refused:
        with pytest.raises(ValueError, match=f"^{begins}"):
            give(value)


@pytest.mark.parametrize("case", CASES)
def test_takes_an_argument_of_the_right_kind(case: str) -> None:
    """They are the twins of those that are refused."""
    give, _, _, taken = CASES[case]

    for value in taken:
        give(value)


def test_repeats_no_token() -> None:
    """It may be a secret, even as bytes."""
    with pytest.raises(ValueError, match="of the type bytes") as refused:
        Publisher(token=b"a secret")  # type: ignore[arg-type] # no text

    assert "a secret" not in str(refused.value)
