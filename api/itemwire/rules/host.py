"""Asks the functions of an application about what its clients send, on any way in."""

from collections.abc import Callable
from functools import partial
from typing import Final, Protocol, TypeVar

import msgspec
from fastapi import Request
from msgspec import UNSET, UnsetType
from starlette.requests import HTTPConnection
from starlette.types import Message
from typing_extensions import override

from itemwire.application import application_of
from itemwire.authorization.asking import SOLVED
from itemwire.channels.connection import Subscription
from itemwire.channels.host import Host
from itemwire.close_reasons import (
    OVERLOADED,
    QUERY_INVALID,
    SCOPE_MISSING,
    CloseReason,
    Retry,
)
from itemwire.messages import Payload, payload_size
from itemwire.responses.problems import CodedProblem
from itemwire.rules.calls import CallQueue, Calls
from itemwire.rules.channels import ChannelRules
from itemwire.rules.payloads import as_json, encoded
from itemwire.rules.typed_calls import TypedCall
from itemwire_auth.principal import Grant, Principal
from itemwire_auth.scopes import Action

T = TypeVar("T")

HOST: Final = "itemwire.host"  # a key of the ASGI scope, which no client can set

NOT_SUPPORTED: Final = CloseReason(
    "not_supported", 1008, Retry.NEVER, 404, "The application answers no such request here."
)

Found = tuple[TypedCall, dict[str, str]]


class Caller(Protocol):
    """What is kept of a socket's handshake."""

    def about(self, principal: Principal, item_id: str, /) -> HTTPConnection | None:
        """Return a connection to ask about an item; None if too little is kept for that."""
        ...


class HostFunctions:
    """The functions that an application has declared for its channels, and the calls of them."""

    def __init__(self, rules: ChannelRules) -> None:
        self._rules = rules
        self.has_any = False  # clients may ask for something, or are checked
        self._has_checks = False
        self.calls = Calls()

    @classmethod
    def of(cls, connection: HTTPConnection) -> "HostFunctions | None":
        """Return those of the application that a request has reached; None if there are none."""
        found: HostFunctions | None = connection.scope.get(HOST)
        return found if found is not None and found.has_any else None

    def follow_rules(self) -> None:
        """Look again at what is declared: what nobody has declared costs a message nothing."""
        handlers = [rule.handlers for rule in self._rules]
        self._has_checks = any(one.before_publish for one in handlers)
        self.has_any = self._has_checks or any(one.messages for one in handlers)

    def find_answering(self, item_id: str, name: str) -> Found | None:
        """Return what answers a request about an item, and the item's parameters."""
        found = self._rules.find(item_id)
        call = found[0].handlers.messages.get(name) if found else None
        return (call, found[1]) if found and call else None

    def find_checking(self, item_id: str) -> Found | None:
        """Return what checks the messages of an item, and the item's parameters."""
        if not self._has_checks:
            return None
        found = self._rules.find(item_id)
        call = found[0].handlers.before_publish if found else None
        return (call, found[1]) if found and call else None

    async def reply(
        self, request: Request, grant: Grant, name: str, data: Payload | UnsetType
    ) -> msgspec.Raw:
        """Return the reply to a request over HTTP, or raise CodedProblem."""
        found = self.find_answering(grant.item_id, name)
        if found is None:
            raise CodedProblem(NOT_SUPPORTED)
        return await self._ask_over_http(request, grant, found, data, as_json)

    async def checked(self, request: Request, grant: Grant, data: Payload) -> Payload:
        """Return what is to be published in place of a message, or raise CodedProblem."""
        found = self.find_checking(grant.item_id)
        if found is None:
            return data
        return await self._ask_over_http(request, grant, found, data, partial(_changed, data))

    async def _ask_over_http(
        self,
        request: Request,
        grant: Grant,
        found: Found,
        data: Payload | UnsetType,
        finish: Callable[[object], T],
    ) -> T:
        size = 0 if data is UNSET else payload_size(data)
        if not self.calls.reserve(size):
            raise CodedProblem(OVERLOADED)
        try:
            asked = Request({**request.scope, SOLVED: {}}, _no_body)
            work = partial(self.ask, found, asked, grant.principal, data, finish)
            answer = await self.calls.within_deadline(work, grant.item_id)
        finally:
            self.calls.release(size)
        if isinstance(answer, CloseReason):
            raise CodedProblem(answer)
        return answer

    async def ask(
        self,
        found: Found,
        connection: HTTPConnection,
        principal: Principal,
        data: Payload | UnsetType,
        finish: Callable[[object], T],
    ) -> T:
        """Call a function about one message, and finish what it has returned."""
        call, parameters = found
        overrides = application_of(connection.scope).overrides
        value = await call.ask(
            connection, overrides, call.read(data), parameters=parameters, principal=principal
        )
        return finish(value)


class SocketHost(Host):
    """The application as the session of one socket knows it."""

    __slots__ = ("_caller", "_functions", "_queue")

    def __init__(self, functions: HostFunctions, caller: Caller) -> None:
        self._functions = functions
        self._caller = caller
        self._queue: CallQueue | None = None  # from the first message on that is asked about

    @override
    def reply_to(
        self,
        subscription: Subscription,
        name: str,
        data: Payload | UnsetType,
        answer: Callable[[msgspec.Raw | CloseReason], None],
    ) -> None:
        found = self._functions.find_answering(subscription.item_id, name)
        if found is None:
            answer(NOT_SUPPORTED)
        elif subscription.connection.principal.is_anonymous:  # to subscribe is all it may do
            answer(SCOPE_MISSING)
        else:
            self._submit(
                subscription, found, data, needs=Action.SUBSCRIBE, finish=as_json, answer=answer
            )

    @override
    def checks(self, item_id: str) -> bool:
        return self._functions.find_checking(item_id) is not None

    @override
    def check(
        self,
        subscription: Subscription,
        data: Payload,
        answer: Callable[[Payload | CloseReason], None],
    ) -> None:
        found = self._functions.find_checking(subscription.item_id)
        if found is None:
            answer(data)
        else:
            finish: Callable[[object], Payload] = partial(_changed, data)
            self._submit(
                subscription, found, data, needs=Action.PUBLISH, finish=finish, answer=answer
            )

    def _submit(
        self,
        subscription: Subscription,
        found: Found,
        data: Payload | UnsetType,
        *,
        needs: Action,
        finish: Callable[[object], T],
        answer: Callable[[T | CloseReason], None],
    ) -> None:
        """Ask when the turn of this message comes, if its client is there and may still do so."""

        async def ask() -> None:
            connection = subscription.connection
            if not connection.is_open:
                answer(OVERLOADED)
            elif needs not in subscription.can:
                answer(SCOPE_MISSING)
            else:
                answer(await self._ask(subscription, found, data, finish))

        if self._queue is None:
            self._queue = CallQueue(self._functions.calls)
        if not self._queue.submit(ask, 0 if data is UNSET else payload_size(data)):
            answer(OVERLOADED)

    async def _ask(
        self,
        subscription: Subscription,
        found: Found,
        data: Payload | UnsetType,
        finish: Callable[[object], T],
    ) -> T | CloseReason:
        principal, functions = subscription.connection.principal, self._functions
        asked = self._caller.about(principal, subscription.item_id)
        if asked is None:
            return QUERY_INVALID
        work = partial(functions.ask, found, asked, principal, data, finish)
        return await functions.calls.within_deadline(work, subscription.item_id)


def _changed(data: Payload, value: object) -> Payload:
    """Return a message as its check wants it; one that returns nothing has not changed it."""
    return data if value is None else encoded(value)


async def _no_body() -> Message:
    raise RuntimeError("the body was read: a function that is asked cannot read it")
