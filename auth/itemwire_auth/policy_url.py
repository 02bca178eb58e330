"""Asks an HTTP endpoint of the application what a caller may do with an item.

    POST <ITEMWIRE_POLICY_URL>
    {"subject": "alice", "issuer": null, "item": "order:42", "claims": {…},
     "actions": ["subscribe", "publish", "history", "presence"]}

    200 {"allow": ["subscribe", "history"]}

The answer replaces the token's rights and is reused for a few seconds. 403, 404 and 410 are a no.
Anything else is no answer: nobody is let in, and clients are told to come back, as nothing was
decided about them.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final, Self, TypeGuard, cast
from urllib.parse import urlsplit

from typing_extensions import override

from itemwire_auth import http_client as httpx
from itemwire_auth.errors import Forbidden, PolicyUnavailable
from itemwire_auth.policies import Policy
from itemwire_auth.principal import Principal
from itemwire_auth.scopes import ACTION_SETS, ACTIONS, Action
from itemwire_auth.strict_json import parse_object

MAX_ANSWER_BYTES: Final = 16_384  # four words fit into fewer than a hundred
MAX_CONNECTIONS: Final = 64
MAX_ASKED: Final = 4096  # questions in flight; further callers are told to try again
MAX_REMEMBERED: Final = 10_000

# What applications answer about a caller or an item that they do not know.
_NO: Final = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
_TOKEN: Final = re.compile(r"[!-~]+")  # printable ASCII: what a header can hold unchanged


@dataclass(frozen=True, slots=True)
class PolicyRules:
    """How the endpoint is asked; times in seconds."""

    timeout: float = 2
    cache_seconds: float = 5
    token: str | None = None
    allow_http: bool = False

    def __post_init__(self) -> None:
        # A line break, such as one from the end of a file, makes each question fail with an error
        # that shows the whole header: the token would be in the log.
        if self.token is not None and _TOKEN.fullmatch(self.token) is None:
            raise ValueError(
                "ITEMWIRE_POLICY_TOKEN is empty or holds white space, perhaps a line break at the "
                "end, or characters beyond ASCII: write what follows `Bearer `"
            )


@dataclass(frozen=True, slots=True)
class _Answer:
    """The outcome of a question: actions, or a problem, which may be a decision all the same."""

    allow: frozenset[Action] = frozenset()
    problem: str = ""
    is_no: bool = False


class PolicyURL(Policy):
    """A policy behind a URL; it works inside `async with` and refuses everybody outside.

    Callers with the same question at the same time share one request. Two questions are the same
    if every byte is, claims included.
    """

    def __init__(
        self,
        url: str,
        rules: PolicyRules | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rules = rules or PolicyRules()
        check_policy_url(url, allow_http=self._rules.allow_http)
        self._url = url
        self._clock = clock
        self._client: httpx.AsyncClient | None = None
        self._slots = asyncio.Semaphore(0)
        self._asked: dict[bytes, asyncio.Task[_Answer]] = {}
        self._remembered: OrderedDict[bytes, tuple[float, _Answer]] = OrderedDict()
        self.asked = 0
        self.failed = 0

    async def __aenter__(self) -> Self:
        """Open the pool of connections."""
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)  # of the running loop
        headers = {"content-type": "application/json", "accept-encoding": "identity"}
        if self._rules.token is not None:
            headers["authorization"] = f"Bearer {self._rules.token}"
        self._client = httpx.open_client(
            # The system's certificates (and SSL_CERT_FILE) are for an endpoint with a private
            # authority.
            ssl.create_default_context(),
            httpx.Timeout(None),  # `_answer_of` limits the whole exchange
            headers=headers,
            max_connections=MAX_CONNECTIONS,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cancel the questions in flight and close the pool."""
        client, self._client = self._client, None
        asked = list(self._asked.values())
        for task in asked:
            task.cancel()
        if asked:
            await asyncio.wait(asked)
        self._remembered.clear()
        if client is not None:
            await client.aclose()

    @override
    async def authorize(self, principal: Principal, item_id: str) -> frozenset[Action]:
        """Return what the endpoint allows, or raise Forbidden or PolicyUnavailable."""
        question = _question(principal, item_id)
        # A digest stands for the question, so that a dump of this memory holds no claims.
        key = sha256(question).digest()
        answer = self._recall(key) or await self._ask_once(key, question)
        if answer.problem and not answer.is_no:
            raise PolicyUnavailable(answer.problem)
        if not answer.allow:
            raise Forbidden(answer.problem or f"the policy allows {principal.subject!r} nothing")
        return answer.allow

    def _recall(self, key: bytes) -> _Answer | None:
        """Return a remembered answer that is not too old."""
        until, answer = self._remembered.get(key, (0.0, None))
        if answer is None or self._clock() >= until:
            return None
        self._remembered.move_to_end(key)
        return answer

    async def _ask_once(self, key: bytes, question: bytes) -> _Answer:
        """Ask, or wait for the answer to the same question of another caller."""
        task = self._asked.get(key)
        if task is None:
            if self._client is None:
                return _Answer(problem="the policy is not open: the lifespan has not run")
            if len(self._asked) >= MAX_ASKED:
                return _Answer(problem=f"{MAX_ASKED} questions are in flight")
            task = asyncio.create_task(self._ask(key, question, self._client))
            self._asked[key] = task
            task.add_done_callback(lambda _: self._asked.pop(key, None))
        # A caller that is cancelled must not end the question for the others.
        await asyncio.wait([task])
        if task.cancelled():
            return _Answer(problem="the policy was closed")
        return task.result()

    async def _ask(self, key: bytes, question: bytes, client: httpx.AsyncClient) -> _Answer:
        """Ask and remember the answer; a failure is counted, and the next caller asks again."""
        self.asked += 1
        answer = await self._answer_of(question, client)
        if answer.problem:
            self.failed += 1
        elif self._rules.cache_seconds:
            self._remember(key, answer)
        return answer

    async def _answer_of(self, question: bytes, client: httpx.AsyncClient) -> _Answer:
        """Ask, and give up after the timeout."""
        try:
            async with asyncio.timeout(self._rules.timeout), self._slots:
                return await self._exchange(client, question)
        except TimeoutError:
            return _Answer(problem=f"no answer in {self._rules.timeout:g} s")
        except httpx.HTTPError as error:
            return _Answer(problem=f"not reached: {type(error).__name__}: {error}")

    async def _exchange(self, client: httpx.AsyncClient, question: bytes) -> _Answer:
        """Send the question and read an answer of bounded size."""
        async with client.stream("POST", self._url, content=question) as response:
            status = response.status_code
            if status != HTTPStatus.OK:
                return _Answer(problem=f"the policy answered {status}", is_no=status in _NO)
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    return _Answer(problem=f"its answer is over {MAX_ANSWER_BYTES} bytes")
        return _read(bytes(body))

    def _remember(self, key: bytes, answer: _Answer) -> None:
        """Remember an answer; of too many, the least recently used is forgotten."""
        self._remembered[key] = self._clock() + self._rules.cache_seconds, answer
        self._remembered.move_to_end(key)
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)


def check_policy_url(url: str, *, allow_http: bool) -> None:
    """Raise ValueError for a URL that claims must not be sent to, saying what to write."""
    try:
        httpx.checked_url(url)
        parts = urlsplit(url)
    except ValueError as error:
        raise ValueError(f"ITEMWIRE_POLICY_URL is not a URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("ITEMWIRE_POLICY_URL is not a URL: write https://host/path")
    if "@" in parts.netloc:
        raise ValueError("ITEMWIRE_POLICY_URL holds a password: use ITEMWIRE_POLICY_TOKEN")
    if parts.scheme == "http" and not (allow_http or is_this_machine(parts.hostname)):
        raise ValueError(
            "ITEMWIRE_POLICY_URL would send claims unencrypted: use https, or set "
            "ITEMWIRE_POLICY_ALLOW_HTTP=true if the network between is your own"
        )


def is_this_machine(host: str) -> bool:
    """Return whether a host name can only be this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _question(principal: Principal, item_id: str) -> bytes:
    """Return the body of a question; equal for equal caller, claims and item."""
    question = {
        "subject": principal.subject,
        "issuer": principal.issuer,
        "item": item_id,
        "actions": list(Action),
        "claims": principal.claims,
    }
    # Claims are read-only mappings, which the JSON encoder accepts only as `dict`.
    return json.dumps(question, default=dict, separators=(",", ":")).encode()


def _are_strings(value: object) -> TypeGuard[list[str]]:
    """Return whether a value is a list of strings."""
    return isinstance(value, list) and all(
        isinstance(word, str) for word in cast("list[object]", value)
    )


def _read(body: bytes) -> _Answer:
    """Parse `{"allow": [...]}`; an unknown word may be a typing error, so it is a problem."""
    try:
        allow = parse_object(body).get("allow")
    except ValueError as error:
        return _Answer(problem=f"its answer is refused: {error}")
    if not _are_strings(allow):
        return _Answer(problem="its answer has no list of strings in `allow`")
    unknown = [word for word in allow if word not in ACTIONS]
    if unknown:
        return _Answer(problem=f"it allows {unknown[0]!r}, which is not an action")
    return _Answer(ACTION_SETS[frozenset(ACTIONS[word] for word in allow)])
