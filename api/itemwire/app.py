"""Channels inside an application of somebody else: the face of the library.

live = Itemwire(user=current_user)
app.include_router(live.router, prefix="/live")

@live.channel("order:{number}")
async def order(number: int, user: CurrentUser) -> Rights: ...

await order.publish({"status": "shipped"}, number=7)
"""

import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import update_wrapper
from typing import Any, Final, Generic, ParamSpec, TypeVar

from fastapi import APIRouter, WebSocket
from starlette.applications import Starlette
from typing_extensions import Unpack

from itemwire.accept import accepted
from itemwire.arguments import check_function, wrong_kind
from itemwire.assembly import assemble
from itemwire.authorization.host_users import HostOperator, HostUser, HostWatcher
from itemwire.from_code import FromCode
from itemwire.main import application_with
from itemwire.messages import Position
from itemwire.observability.host_logs import redact_channel_lines
from itemwire.placement import NO_PREFIX, ChannelMount
from itemwire.routes import requests
from itemwire.rules.channels import ChannelRule, UnknownItems
from itemwire.rules.grants import RuleGrants
from itemwire.rules.handlers import HookEvent
from itemwire.rules.hooks import Hooks
from itemwire.rules.host import HOST, HostFunctions
from itemwire.rules.options import ChannelOptions, model_of, rules_of_options
from itemwire.settings import Settings
from itemwire.variables import read_settings
from itemwire_auth.building import names_keys
from itemwire_auth.dependencies import (
    administrator,
    authorize_item,
    current_principal,
    watching_administrator,
)
from itemwire_auth.errors import KeyProblem
from itemwire_auth.settings import KEY_SETTINGS, list_variables
from itemwire_auth.state import AUTH

NOBODY_CALLS: Final = (
    "nothing says who is calling: give the dependency of your application that returns its user, "
    "as in Itemwire(user=current_user); or, for callers with JWTs, set a key to verify them with: "
    f"{list_variables(KEY_SETTINGS, 'or')}"
)

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])


class Itemwire(FromCode):
    """Live channels for any FastAPI application.

    `router` is for `include_router` with a prefix; it brings the lifespan with it. Or mount `app`,
    and enter `lifespan(host)` in the lifespan of the host.
    """

    def __init__(
        self,
        *,
        user: Callable[..., Any] | None = None,
        operator: Callable[..., Any] | None = None,
        settings: Settings | None = None,
        unknown: UnknownItems = "policy",
        recheck_interval: float = 0,
        name: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Make the parts; nothing runs yet.

        `user` is a dependency of the application that returns its user, an object with an `id`, or
        refuses; if the user has `expires_at`, the socket ends then. Without it callers present
        JWTs, which the settings describe. `unknown` says what decides about items that no channel
        is declared for: the `policy` of the settings, or nothing (`forbid`).

        `operator` is a dependency of the application, too: whom it returns may use `/admin`, which
        is served then. Without it an operator has a token with the word `admin` in its scope.

        With a `recheck_interval`, in seconds, `user` and the rules of the channels are asked again
        about each open socket, so that a user who was logged out does not stay. What the handshake
        presented is kept for this, as far as their dependencies declare it.

        Two `Itemwire` that use one engine, in one application or in two, take different names: they
        do not meet then, neither in items nor in members, revocations and direct messages.

        Raises `KeyProblem` or `ValueError`, saying what to do, where it must not run as configured.
        """
        _check_arguments(user, operator, settings, clock)
        settings = settings or read_settings()
        if user is None and not names_keys(settings):
            raise KeyProblem(NOBODY_CALLS)
        assembly = assemble(
            settings,
            clock=clock,
            needs_keys=user is None,
            recheck_interval=recheck_interval,
            name=name,
        )
        super().__init__(assembly, settings.issuer if user is None else None)
        self._rules = assembly.rules
        if unknown != "policy":  # else the channels file may say it
            self._rules.unknown = unknown
        self._functions = HostFunctions(self._rules)
        self.app = application_with(
            assembly, has_users=user is not None, has_operators=operator is not None
        )
        self.app.parts[HOST] = self._functions
        self.app.include_router(requests.router)
        self._hooks = Hooks(self.app, self._rules)
        if user is not None:
            self.app.seams[current_principal] = HostUser(user)
        if operator is not None:
            self.app.seams[administrator] = HostOperator(operator)
            self.app.seams[watching_administrator] = HostWatcher(operator)
        self._apply_rules()
        self.router = APIRouter(lifespan=self.lifespan)
        self.router.routes.append(ChannelMount("", self.app, name=NO_PREFIX))

    @contextlib.asynccontextmanager
    async def lifespan(self, host: Starlette) -> AsyncGenerator[Mapping[str, object]]:
        """Run the channels for as long as the host application runs."""
        self.app.hosted_by = host
        redact_channel_lines()
        running = self._assembly.lifespan(self.app)
        async with self._hooks.calls, running as state, self._functions.calls:
            with self._serving_code():
                yield state

    def channel(
        self, pattern: str, **options: Unpack[ChannelOptions]
    ) -> Callable[[Callable[P, R]], "Channel[P, R]"]:
        """Declare who may do what with the items of a pattern: a decorator.

        The function is asked like a path operation: its parameters are those of the pattern, and
        dependencies. It returns `Rights`, or refuses by raising. What does not parse as a parameter
        is refused as `item_invalid`. `ChannelOptions` describes the options.

        Raises ValueError for a text that is no pattern and for an option that is wrong, and
        RuntimeError once the application runs.
        """

        def declare(function: Callable[P, R]) -> Channel[P, R]:
            check_function("what `channel` declares", function)
            rule = self._declare(pattern, function, options)
            return Channel(self, rule, function, self._apply_handlers)

        return declare

    def add_channel(self, pattern: str, **options: Unpack[ChannelOptions]) -> None:
        """Declare a channel without a function: the rights of the caller's token decide.

        Raises ValueError and RuntimeError as `channel` does.
        """
        self._declare(pattern, None, options)

    def _declare(
        self, pattern: str, function: Callable[..., Any] | None, options: ChannelOptions
    ) -> ChannelRule:
        if self._assembly.node.is_started:
            raise RuntimeError("declare channels before the application starts")
        most = self._assembly.settings.max_message_bytes
        item_rules = rules_of_options(options, most)
        rule = ChannelRule.of(pattern, function, item_rules, model=model_of(options))
        self._rules.add(rule)
        self._apply_rules()
        return rule

    def on_connect(self, function: F) -> F:
        """Have a function called after each connection was opened: a decorator.

        It may have a parameter for the `Member`, and dependencies that read nothing of a request.
        No socket waits for it; what it raises is logged. Raises ValueError for other signatures.
        """
        self._hooks.handlers.observe(HookEvent.CONNECT, function)
        self._observe()
        return function

    def on_disconnect(self, function: F) -> F:
        """Have a function called after each connection has ended, as `on_connect` does."""
        self._hooks.handlers.observe(HookEvent.DISCONNECT, function)
        self._observe()
        return function

    def accept(
        self, websocket: WebSocket, user: object, *, subprotocol: str | None = None
    ) -> contextlib.AbstractAsyncContextManager[WebSocket]:
        """Accept a socket in a handler of the application's own, for a user of the application.

            async with live.accept(websocket, user) as socket:
                async for data in socket.iter_json():
                    await socket.send_json(data)

        The socket is Starlette's. It is listed, counted and limited as those on channels are, and
        ends when the user's login expires or is revoked, or the node drains; then the block ends,
        too. What the dependencies of the handler hold (`yield`) is closed before.

        Without a user, or where the user may not connect, the client is told why, and
        WebSocketException is raised. Raises RuntimeError while the lifespan does not run.
        """
        self._running_node()
        return accepted(self._assembly, self.app.parts[AUTH], websocket, user, subprotocol)

    def _apply_handlers(self) -> None:
        self._apply_rules()
        self._functions.follow_rules()
        if any(rule.handlers.after for rule in self._rules):
            self._observe()

    def _observe(self) -> None:
        log = self._assembly.node.connection_log
        if self._hooks not in log.observers:
            log.observers += (self._hooks,)

    def _apply_rules(self) -> None:
        # A new dependency each time: routes look again at what it may read of a handshake.
        rules = {} if self._tokens_decide else {authorize_item: RuleGrants(self._rules)}
        others = {call: one for call, one in self.app.seams.items() if call is not authorize_item}
        self.app.seams = {**others, **rules}

    @property
    def _tokens_decide(self) -> bool:
        """Return whether there is no rule to ask: what a token or a policy grants is all."""
        has_users = current_principal in self.app.seams
        return not (has_users or any(self._rules) or self._rules.unknown == "forbid")


def _check_arguments(user: object, operator: object, settings: object, clock: object) -> None:
    for name, dependency in {"user": user, "operator": operator}.items():
        if dependency is not None:
            check_function(name, dependency)
    if not isinstance(settings, Settings | None):
        raise wrong_kind("settings", settings, "a Settings")
    check_function("clock", clock)


class Channel(Generic[P, R]):
    """The items of one pattern; calling it calls the function that declares their rights."""

    def __init__(
        self,
        live: Itemwire,
        rule: ChannelRule,
        function: Callable[P, R],
        declared: Callable[[], None],
    ) -> None:
        self._live = live
        self._rule = rule
        self._declared = declared  # called after each change of the rule
        self._function = function
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself, as a test of it does."""
        return self._function(*args, **kwargs)

    def message(self, name: str, *, errors: Sequence[str] = ()) -> Callable[[F], F]:
        """Answer what clients ask by this name: a decorator.

        The function is asked like a path operation, afresh for each request. Its parameters are
        those of the pattern, dependencies, and one more for the request's `data`, which is read as
        its annotation says. What it returns is the reply. `errors` are the codes that it refuses
        with, for those who read the types of the channel.

        Raises ValueError for a name, a code or a signature that cannot be.
        """

        def declare(function: F) -> F:
            self._rule.handlers.answer(name, function, errors)
            self._declared()
            return function

        return declare

    def before_publish(self, function: F) -> F:
        """Have a function check what clients publish to these items: a decorator.

        Its parameters are as those of `message`. What it returns is published instead; if it
        returns None, the message as it is. It refuses by raising. The application's own `publish`
        does not ask it.

        Raises ValueError for a second one, or a signature that cannot be.
        """
        self._rule.handlers.check(function)
        self._declared()
        return function

    def on_join(self, function: F) -> F:
        """Have a function called after a client has joined an item of these: a decorator.

        Its parameters are those of the pattern, one for the `Member` that joined, and dependencies
        that read nothing of a request. No socket waits for it, and what it raises is logged.

        Raises ValueError for other signatures.
        """
        self._rule.handlers.observe(HookEvent.JOIN, function)
        self._declared()
        return function

    def on_leave(self, function: F) -> F:
        """Have a function called after a client is off an item, as `on_join` does.

        A client whose connection broke may be back soon, and then joins again.
        """
        self._rule.handlers.observe(HookEvent.LEAVE, function)
        self._declared()
        return function

    def item(self, **parameters: object) -> str:
        """Return the id of the item with these parameters; ValueError for other parameters."""
        return self._rule.pattern.fill(parameters)

    async def publish(
        self,
        data: object,
        *,
        idempotency_key: str | None = None,
        sender: str | None = None,
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

    def publish_sync(
        self,
        data: object,
        *,
        idempotency_key: str | None = None,
        sender: str | None = None,
        meta: Mapping[str, str] | None = None,
        end: bool = False,
        **parameters: object,
    ) -> Position:
        """Publish from a `def` route or a thread, as `Itemwire.publish_sync` does."""
        return self._live.publish_sync(
            self.item(**parameters),
            data,
            idempotency_key=idempotency_key,
            sender=sender,
            meta=meta,
            end=end,
        )
