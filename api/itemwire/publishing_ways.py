"""How a process without a server publishes: through the engine, or over HTTP."""

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Final, Protocol
from urllib.parse import quote

import httpx
import msgspec
from msgspec import UNSET
from typing_extensions import override

from itemwire.channels.cluster.notices import Notice, read_notice
from itemwire.channels.idempotency import NOBODY, key_of
from itemwire.channels.names import channel_of
from itemwire.channels.publishing import too_large_to_carry
from itemwire.channels.watched import Watched
from itemwire.engines import ENGINES, UNSHARED, open_engine
from itemwire.engines.base import (
    Answer,
    Bounds,
    ChannelBounds,
    EngineError,
    History,
    Sink,
)
from itemwire.engines.callbacks import answer_or_raise, answers_of
from itemwire.engines.storage_format import pack
from itemwire.messages import NO_EXTRAS, NOT_STORED, Draft, Extras, Payload, Position
from itemwire.rules.shared import LAST, RULES_CHANNEL, SharedRules
from itemwire.settings import Settings

logger = logging.getLogger("itemwire.publisher")

HTTP_SECONDS: Final = 10.0
RULES_SECONDS: Final = 60.0  # after which the rules are read again, with the next message

WATCHING: Final = b'"watching"'

PUBLISHER: Final = "publisher"  # in place of a node's id: no node has it


class PublishRefused(EngineError):
    """A server has refused a message: `status` and `code` say why; asking again is no use."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"the server refused the message: {status} {code} ({detail})")
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message that is ready to be published."""

    item_id: str
    data: Payload
    key: str | None
    sender: str | None
    extras: Extras = NO_EXTRAS


class PublishingWay(Protocol):
    """Takes messages to where subscribers hear them."""

    async def open(self) -> None:
        """Connect; EngineError says why that cannot be."""
        ...

    async def close(self) -> None:
        """Release everything."""
        ...

    async def publish(self, messages: Sequence[OutgoingMessage]) -> list[Position]:
        """Publish in order; return the positions, or raise EngineError for the first failure."""
        ...


class CurrentBounds(ChannelBounds):
    """The bounds of the rules that were read last."""

    def __init__(self, rules: SharedRules) -> None:
        self.rules = rules

    @override
    def of(self, channel: str, /) -> Bounds:
        return self.rules.of(channel)

    @property
    @override
    def largest(self) -> Bounds:
        return self.rules.largest


class EngineWay(PublishingWay):
    """Publishes through an engine that processes share; it subscribes to nothing.

    The rules of the channels are those that nodes have left there. They are read again now and
    then, for a worker may outlive many nodes.
    """

    def __init__(self, url: str, default: Bounds, name: str) -> None:
        self._default = default
        self._bounds = CurrentBounds(SharedRules(default))
        self._engine = open_engine(url, self._bounds, name)
        self._watched = Watched(time.time)
        self._read_at = 0.0

    @override
    async def open(self) -> None:
        await self._engine.start(Sink(apply=self._apply))
        try:
            if not await self._read_rules():
                logger.warning(
                    "rules_missing: no server has left the rules of its channels in this engine "
                    "yet, so messages are checked by none"
                )
        except EngineError as error:
            logger.warning("rules_unread problem=%s", error)

    async def _read_rules(self) -> bool:
        """Read the rules that nodes have left; return whether there are any.

        Those before stay in force where they cannot be read.
        """
        self._read_at = time.monotonic()
        ask = partial(self._engine.read, RULES_CHANNEL, LAST)
        history: History = await answer_or_raise(ask)
        if history.retained is None:
            return False
        _, text = _body_of(history.retained.data)
        try:
            self._bounds.rules = SharedRules.read(text, self._default)
        except ValueError as error:
            logger.warning("rules_unreadable problem=%s", error)
        return True

    async def _refresh_rules(self) -> None:
        if time.monotonic() - self._read_at > RULES_SECONDS:
            try:
                await self._read_rules()
            except EngineError as error:
                logger.warning("rules_unread problem=%s", error)

    @override
    async def close(self) -> None:
        await self._engine.stop()

    @override
    async def publish(self, messages: Sequence[OutgoingMessage]) -> list[Position]:
        await self._refresh_rules()
        sent_at = int(time.time() * 1000) / 1000
        return await answers_of([self._ask_of(one, sent_at) for one in messages])

    def _ask_of(
        self, message: OutgoingMessage, sent_at: float
    ) -> Callable[[Answer[Position]], None]:
        """Return what publishes a message, or raise MessageRefused if it breaks its rules."""
        rules = self._bounds.rules.of_item(message.item_id)
        refusal = rules.refusal_of(message.data)
        draft = Draft(
            message.item_id,
            message.sender or None,
            sent_at,
            message.data,
            None if message.key is None else key_of(NOBODY, message.key),
            message.extras.meta,
            message.extras.end,
        )
        if rules.is_ephemeral:
            refusal = refusal or too_large_to_carry(draft)
        if refusal is not None:
            raise refusal
        if rules.is_ephemeral:
            return partial(self._carry, draft)
        return partial(self._store, draft)

    def _store(self, draft: Draft, answer: Answer[Position]) -> None:
        if self._watched.by_node:
            answer = self._watched.feeding(self._engine, draft, answer)
        self._engine.publish(channel_of(draft.item), draft, answer)

    def _apply(self, data: bytes) -> None:
        """Take note of what nodes watch; all other notices are for nodes."""
        if WATCHING in data:
            try:
                notice = read_notice(data)
            except ValueError:
                return  # which nodes log
            if notice.watching is not None:
                self._watched.note(notice.node, notice.watching)

    def _carry(self, draft: Draft, answer: Answer[Position]) -> None:
        """Send an ephemeral message to all nodes, as a node does."""

        def carried(problem: EngineError | None) -> None:
            answer(NOT_STORED if problem is None else problem)

        notice = Notice(PUBLISHER, message=pack(draft))
        self._engine.post(notice.encoded(), 0, carried)


class HTTPWay(PublishingWay):
    """Publishes through a server, as the caller that a token names."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}
        self._client: httpx.AsyncClient | None = None

    @override
    async def open(self) -> None:
        self._client = httpx.AsyncClient(headers=self._headers, timeout=HTTP_SECONDS)

    @override
    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    @override
    async def publish(self, messages: Sequence[OutgoingMessage]) -> list[Position]:
        if any(one.sender for one in messages):
            raise ValueError("over HTTP the sender is the subject of the token: give none")
        return [await self._post(one) for one in messages]

    async def _post(self, message: OutgoingMessage) -> Position:
        if self._client is None:
            raise RuntimeError("it is not open")
        media_type, body = _body_of(message.data)
        headers = {"Content-Type": media_type}
        if message.key is not None:
            headers["Idempotency-Key"] = message.key
        if message.extras.meta is not UNSET:
            headers["Itemwire-Meta"] = json.dumps(message.extras.meta)  # in ASCII, as it has to be
        if message.extras.end:
            headers["Itemwire-End"] = "true"
        url = f"{self._url}/items/{quote(message.item_id, safe='')}/messages"
        try:
            answer = await self._client.post(url, content=body, headers=headers)
        except httpx.HTTPError as error:
            problem = str(error) or type(error).__name__
            raise EngineError(f"{self._url} did not answer: {problem}") from error
        return _position_of(answer, self._url)


def choose_way(
    engine_url: str | None,
    url: str | None,
    token: str | None,
    environment: Mapping[str, str],
    name: str = "",
) -> PublishingWay:
    """Return the way that is given, or else the one that the environment names.

    `name` is that of the `Itemwire` whose items are meant, where it shares its engine with others.

    Raises ValueError, saying what is missing.
    """
    if engine_url is not None and url is not None:
        raise ValueError("give `engine_url` or `url`, not both")
    if url is not None:
        return _http_way(url, token, environment)
    settings = Settings()
    bounds = settings.history_bounds
    if engine_url is not None:
        if not _is_shared(engine_url):
            raise ValueError(
                f"the engine {_scheme_of(engine_url)}:// lives in one process, and this is another "
                "one: give `url` and `token` of the server"
            )
        return EngineWay(engine_url, bounds, name)
    if _is_shared(settings.engine_url):
        return EngineWay(settings.engine_url, bounds, name)
    server = environment.get("ITEMWIRE_URL")
    if server:
        return _http_way(server, token, environment)
    shared = ", ".join(f"{name}://" for name in ENGINES if name not in UNSHARED)
    raise ValueError(
        "nothing says where to publish: set ITEMWIRE_ENGINE_URL to an engine that processes share "
        f"({shared}; {_scheme_of(settings.engine_url)}:// is none), or ITEMWIRE_URL and "
        "ITEMWIRE_TOKEN to a server and a token that may publish"
    )


def _http_way(url: str, token: str | None, environment: Mapping[str, str]) -> HTTPWay:
    token = token or environment.get("ITEMWIRE_TOKEN")
    if not token:
        raise ValueError(
            "over HTTP a token that may publish is needed: give `token` or set ITEMWIRE_TOKEN"
        )
    return HTTPWay(url, token)


def _is_shared(engine_url: str) -> bool:
    return _scheme_of(engine_url) not in UNSHARED


def _scheme_of(url: str) -> str:
    return url.partition("://")[0]


def _body_of(data: Payload) -> tuple[str, bytes]:
    if isinstance(data, str):
        return "text/plain; charset=utf-8", data.encode()
    if isinstance(data, msgspec.Raw):
        return "application/json", bytes(data)
    return "application/octet-stream", data


def _position_of(answer: httpx.Response, url: str) -> Position:
    if answer.status_code == HTTPStatus.ACCEPTED:  # it was delivered, and is stored nowhere
        return NOT_STORED
    if answer.status_code == HTTPStatus.CREATED:
        try:
            return msgspec.json.decode(answer.content, type=Position)
        except msgspec.MsgspecError as error:
            raise EngineError(f"{url} answered with no position: {error}") from error
    code, detail = _problem_of(answer)
    if answer.is_client_error and answer.status_code != HTTPStatus.TOO_MANY_REQUESTS:
        raise PublishRefused(answer.status_code, code, detail)
    raise EngineError(f"{url} cannot take the message now: {answer.status_code} {code} ({detail})")


class _Problem(msgspec.Struct):
    code: str = ""
    detail: str = ""


def _problem_of(answer: httpx.Response) -> tuple[str, str]:
    try:
        problem = msgspec.json.decode(answer.content, type=_Problem)
    except msgspec.MsgspecError:
        return "", answer.reason_phrase
    return problem.code, problem.detail
