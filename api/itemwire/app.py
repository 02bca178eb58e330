"""Channels inside an application of somebody else: the face of the library.

live = Itemwire(user=current_user)
app.include_router(live.router, prefix="/live")

@live.channel("order:{number}")
async def order(number: int, user: CurrentUser) -> Rights: ...

await order.publish({"status": "shipped"}, number=7)
"""

import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import partial, update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar

from fastapi import APIRouter
from starlette.applications import Starlette

from itemwire.assembly import Assembly, assemble
from itemwire.authorization.host_users import HostUser
from itemwire.channels.node import Node
from itemwire.dependencies import answer_or_error
from itemwire.engines.base import Answer, EngineError, History, Span
from itemwire.main import application_with
from itemwire.messages import Extras, Position
from itemwire.rules.channels import ChannelRule, ChannelRules
from itemwire.rules.grants import RuleGrants, UnknownItems
from itemwire.rules.payloads import encoded
from itemwire.settings import Settings
from itemwire_auth.dependencies import authorize_item, current_principal
from itemwire_auth.scopes import ITEM_ID_RULE, is_item_id

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Itemwire:
    """Live channels for any FastAPI application.

    `router` is for `include_router` with a prefix; it brings the lifespan with it. Or mount `app`,
    and enter `lifespan(host)` in the lifespan of the host.
    """

    def __init__(
        self,
        *,
        user: Callable[..., Any] | None = None,
        settings: Settings | None = None,
        unknown: UnknownItems = "policy",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Make the parts; nothing runs yet.

        `user` is a dependency of the application that returns its user, an object with an `id`, or
        refuses; if the user has `expires_at`, the socket ends then. Without it callers present
        JWTs, which the settings describe. `unknown` says what decides about items that no channel
        is declared for: the `policy` of the settings, or nothing (`forbid`).

        Raises `KeyProblem` or `ValueError`, saying what to do, where it must not run as configured.
        """
        self._assembly: Assembly = assemble(
            settings or Settings(), clock=clock, needs_keys=user is None
        )
        self._rules = ChannelRules()
        self._unknown = unknown
        self.app = application_with(self._assembly)
        if user is not None:
            self.app.seams[current_principal] = HostUser(user)
        self._apply_rules()
        self.router = APIRouter(lifespan=self.lifespan)
        self.router.mount("", self.app)

    @contextlib.asynccontextmanager
    async def lifespan(self, host: Starlette) -> AsyncGenerator[Mapping[str, object]]:
        """Run the channels for as long as the host application runs."""
        self.app.hosted_by = host
        async with self._assembly.lifespan(self.app) as state:
            yield state

    def channel(self, pattern: str) -> Callable[[Callable[P, R]], "Channel[P, R]"]:
        """Declare who may do what with the items of a pattern: a decorator.

        The function is asked like a path operation: its parameters are those of the pattern, and
        dependencies. It returns `Rights`, or refuses by raising. What does not parse as a parameter
        is refused as `item_invalid`.

        Raises ValueError for a text that is no pattern.
        """

        def declare(function: Callable[P, R]) -> Channel[P, R]:
            rule = ChannelRule.of(pattern, function)
            self._rules.add(rule)
            self._apply_rules()
            return Channel(self, rule, function)

        return declare

    async def publish(
        self,
        item_id: str,
        data: object,
        *,
        idempotency_key: str | None = None,
        sender: str = "",
        meta: Mapping[str, str] | None = None,
        end: bool = False,
    ) -> Position:
        """Publish to an item, from any coroutine, and return the position of the stored message.

        `data` is text, bytes, or what can be written as JSON: also a Pydantic model or a msgspec
        struct. It is charged to nobody's rates. `meta` is a small map that goes with the message,
        and `end` marks it as the last one of a stream.

        Raises ValueError for a text that is no item id or too much `meta`, TypeError for data that
        is no JSON, RuntimeError while the lifespan does not run, and EngineError where it was not
        stored.
        """
        _check_item_id(item_id)
        node = self._running_node()
        ask = partial(
            node.publish_from_code,
            item_id,
            encoded(data),
            key=idempotency_key,
            sender=sender,
            extras=Extras.of(meta, end=end),
        )
        return await _answer_of(ask)

    async def history(
        self,
        item_id: str,
        *,
        limit: int = 100,
        after: int | None = None,
        before: int | None = None,
    ) -> History:
        """Return the newest `limit` messages of an item, or the oldest ones after an offset.

        Raises ValueError for a text that is no item id, RuntimeError while the lifespan does not
        run, and EngineError where the engine does not answer.
        """
        _check_item_id(item_id)
        node = self._running_node()
        return await _answer_of(partial(node.history, item_id, Span(limit, after, before)))

    def _running_node(self) -> Node:
        node = self._assembly.node
        if not node.is_started:
            raise RuntimeError(
                "the channels do not run: include `router`, or enter `lifespan(app)` in the "
                "lifespan of the application, and start it"
            )
        return node

    def _apply_rules(self) -> None:
        # A new dependency each time: routes look again at what it may read of a handshake.
        self.app.seams = {
            **self.app.seams,
            authorize_item: RuleGrants(self._rules, self._unknown),
        }


class Channel(Generic[P, R]):
    """The items of one pattern; calling it calls the function that declares their rights."""

    def __init__(self, live: Itemwire, rule: ChannelRule, function: Callable[P, R]) -> None:
        self._live = live
        self._rule = rule
        self._function = function
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself, as a test of it does."""
        return self._function(*args, **kwargs)

    def item(self, **parameters: object) -> str:
        """Return the id of the item with these parameters; ValueError for other parameters."""
        return self._rule.pattern.fill(parameters)

    async def publish(
        self,
        data: object,
        *,
        idempotency_key: str | None = None,
        sender: str = "",
        meta: Mapping[str, str] | None = None,
        end: bool = False,
        **parameters: object,
    ) -> Position:
        """Publish to the item with these parameters, as `Itemwire.publish` does."""
        return await self._live.publish(
            self.item(**parameters),
            data,
            idempotency_key=idempotency_key,
            sender=sender,
            meta=meta,
            end=end,
        )


async def _answer_of(ask: Callable[[Answer[T]], None]) -> T:
    answer = await answer_or_error(ask)
    if isinstance(answer, EngineError):
        raise answer
    return answer


def _check_item_id(item_id: str) -> None:
    if not is_item_id(item_id):
        raise ValueError(f"{item_id!r} is no item id: {ITEM_ID_RULE}")
