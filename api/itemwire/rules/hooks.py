"""Tells an application what has happened on its channels; no socket waits for that."""

import logging
from collections.abc import Mapping
from functools import partial
from typing import Final

from fastapi import Request
from starlette.types import Message, Scope
from typing_extensions import override

from itemwire.application import ChannelApplication
from itemwire.channels.connection_log import LoggedConnection, Observer
from itemwire.close_reasons import CloseReason
from itemwire.messages import Member
from itemwire.rules.calls import CallQueue, Calls
from itemwire.rules.channels import ChannelRules
from itemwire.rules.handlers import Handlers, HookEvent
from itemwire.rules.typed_calls import TypedCall

logger = logging.getLogger("itemwire.calls")

QUEUES: Final = 8  # side by side; what happens to one connection is told in one of them, in order
MAX_WAITING: Final = 10_000  # events: some 5 MB
GRACE: Final = 5.0  # seconds in which a node that stops still tells what has happened


class Hooks(Observer):
    """Calls the application's functions after events, one event of a connection after another.

    At most `MAX_WAITING` wait; more are dropped, which the log says.
    """

    def __init__(self, application: ChannelApplication, rules: ChannelRules) -> None:
        self._application = application
        self._rules = rules
        self.handlers = Handlers()  # those of all connections
        self.calls = Calls(MAX_WAITING, GRACE)
        self._queues = [CallQueue(self.calls, MAX_WAITING) for _ in range(QUEUES)]
        self._is_dropping = False

    @override
    def connected(self, connection: LoggedConnection) -> None:
        self._tell(self.handlers, HookEvent.CONNECT, _member_of(connection), {})

    @override
    def disconnected(self, connection: LoggedConnection) -> None:
        self._tell(self.handlers, HookEvent.DISCONNECT, _member_of(connection), {})

    @override
    def joined(self, item_id: str, member: Member) -> None:
        self._tell_of_item(HookEvent.JOIN, item_id, member)

    @override
    def left(self, item_id: str, member: Member) -> None:
        self._tell_of_item(HookEvent.LEAVE, item_id, member)

    def _tell_of_item(self, event: HookEvent, item_id: str, member: Member) -> None:
        found = self._rules.find(item_id)
        if found is not None:
            rule, parameters = found
            self._tell(rule.handlers, event, member, parameters)

    def _tell(
        self, handlers: Handlers, event: HookEvent, member: Member, parameters: Mapping[str, str]
    ) -> None:
        for call in handlers.after.get(event, ()):
            queue = self._queues[hash(member.connection) % QUEUES]
            is_taken = queue.submit(partial(self._call, call, event, member, parameters), 0)
            if not is_taken and not self._is_dropping:
                logger.error("hooks_dropped waiting=%d", MAX_WAITING)
            self._is_dropping = not is_taken

    async def _call(
        self, call: TypedCall, event: HookEvent, member: Member, parameters: Mapping[str, str]
    ) -> None:
        application = self._application
        scope: Scope = {
            "type": "http",
            "method": "GET",
            "path": "",
            "headers": [],
            "query_string": b"",
            "path_params": {},
            **application.scope_parts,
        }
        overrides = application.overrides
        request = Request(scope, _no_request)
        work = partial(call.ask, request, overrides, member, parameters=parameters)
        answer = await self.calls.within_deadline(work, event.value)
        if isinstance(answer, CloseReason):
            logger.error("hook_failed event=%s reason=%s", event.value, answer.reason)


def _member_of(connection: LoggedConnection) -> Member:
    return Member(connection.id, connection.principal.subject)


async def _no_request() -> Message:
    raise RuntimeError("what has happened is no request")
