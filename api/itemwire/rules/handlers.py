"""What an application does when clients of a channel ask, publish, join and leave."""

from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import Any, Final

from itemwire.arguments import check_function, check_text, check_texts
from itemwire.authorization.routes import CREDENTIAL_READERS
from itemwire.authorization.solving import inputs_of
from itemwire.rules.typed_calls import TypedCall
from itemwire_auth.errors import ChannelException

MAX_NAME: Final = 64


class HookEvent(Enum):
    """What an application may be told of, after the fact."""

    CONNECT = "connect"
    DISCONNECT = "disconnect"
    JOIN = "join"
    LEAVE = "leave"


class Handlers:
    """The functions that were declared for one pattern, or for all connections."""

    __slots__ = ("_parameters", "after", "before_publish", "errors", "messages")

    def __init__(self, parameters: tuple[str, ...] = ()) -> None:
        self._parameters = parameters
        self.messages: dict[str, TypedCall] = {}  # by the name of the request
        self.errors: dict[str, tuple[str, ...]] = {}  # by the same: what it may be refused with
        self.before_publish: TypedCall | None = None
        self.after: dict[HookEvent, list[TypedCall]] = {}  # called when something has happened

    def asked(self) -> Iterator[TypedCall]:
        """List the functions that are asked about what a handshake presented."""
        yield from self.messages.values()
        if self.before_publish is not None:
            yield self.before_publish

    def answer(self, name: str, function: Callable[..., Any], errors: Iterable[str] = ()) -> None:
        """Have requests of a name answered; ValueError where that cannot be."""
        check_text("the name of a request", name)
        check_texts("errors", errors)
        check_function("what answers a request", function)
        for code in errors:
            ChannelException(code)  # which raises for what is no code
        if not 1 <= len(name) <= MAX_NAME:
            raise ValueError(f"the name of a request has 1 to {MAX_NAME} characters: {name!r}")
        if name in self.messages:
            raise ValueError(f"the request {name!r} is declared twice")
        self.messages[name] = TypedCall(function, self._parameters)
        self.errors[name] = tuple(errors)

    def check(self, function: Callable[..., Any]) -> None:
        """Have messages checked before they are published; ValueError where that cannot be."""
        if self.before_publish is not None:
            raise ValueError("a channel has one `before_publish`")
        check_function("before_publish", function)
        self.before_publish = TypedCall(function, self._parameters)

    def observe(self, event: HookEvent, function: Callable[..., Any]) -> None:
        """Have a function called after an event; ValueError if it reads something of a request.

        The connection may be gone when it is called, and its handshake is not kept.
        """
        check_function(f"on_{event.value}", function)
        call = TypedCall(function, self._parameters)
        if not inputs_of(call.under({}), CREDENTIAL_READERS).is_empty:
            raise ValueError(
                f"{getattr(function, '__name__', function)!r} is called after the fact: neither it "
                "nor its dependencies can read headers, cookies, the query or the request"
            )
        self.after.setdefault(event, []).append(call)
