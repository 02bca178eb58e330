"""Asks an HTTP endpoint of the application what a caller may do with an item.

    POST <ITEMWIRE_POLICY_URL>
    {"subject": "alice", "issuer": null, "item": "order:42", "claims": {…},
     "actions": ["subscribe", "publish", "history", "presence"]}

    200 {"allow": ["subscribe", "history"]}

What it answers replaces the token's rights, and holds for a few seconds. Whatever else happens
lets nobody in: what may pass by itself is told as such, so that clients come back.
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
from ipaddress import ip_address
from typing import Final, Self
from urllib.parse import urlsplit

import httpx
from typing_extensions import override

from itemwire_auth.errors import Forbidden, PolicyUnavailable
from itemwire_auth.policies import Policy
from itemwire_auth.principal import Principal
from itemwire_auth.scopes import ACTION_SETS, ACTIONS, Action
from itemwire_auth.strict_json import parse_object

MAX_ANSWER_BYTES: Final = 16_384  # four words fit into fewer than a hundred
MAX_CONNECTIONS: Final = 64
MAX_ASKED: Final = 4096  # questions under way; a crowd past it is told to come back
MAX_REMEMBERED: Final = 10_000

_FROM_SERVER_ERROR: Final = 500
_TOKEN: Final = re.compile(r"[!-~]+")  # what a header can hold and an environment may not spoil


@dataclass(frozen=True, slots=True)
class PolicyRules:
    """How an endpoint is asked; times in seconds."""

    timeout: float = 2
    cache_seconds: float = 5
    token: str | None = None
    allow_http: bool = False

    def __post_init__(self) -> None:
        # A line break, say from the file it was read of, fails each question by an error that
        # shows the whole header: the log would have it.
        if self.token is not None and _TOKEN.fullmatch(self.token) is None:
            raise ValueError(
                "ITEMWIRE_POLICY_TOKEN is empty or holds white space, a line break at its end "
                "perhaps, or what is not ASCII: write what stands behind `Bearer `"
            )


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came of a question: actions, or what went wrong and whether it may pass."""

    allow: frozenset[Action] = frozenset()
    problem: str = ""
    passing: bool = False


class PolicyURL(Policy):
    """A policy behind an URL; open while inside `async with`, and lets nobody in when not.

    Callers of whom the same would be asked at the same time share one question. Questions are
    the same if every byte of them is, claims included.
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
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)  # of the loop that runs now
        headers = {"content-type": "application/json", "accept-encoding": "identity"}
        if self._rules.token is not None:
            headers["authorization"] = f"Bearer {self._rules.token}"
        self._client = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(None),  # one clock runs over the whole exchange, in `_ask`
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS),
            follow_redirects=False,
            # A proxy of the environment is no place for claims; the system's own certificates
            # (and SSL_CERT_FILE) hold for an application of one's own.
            trust_env=False,
            verify=ssl.create_default_context(),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """End what is under way and close the pool."""
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
        """Give what the endpoint allows; Forbidden, or PolicyUnavailable if that may pass."""
        question = _question(principal, item_id)
        # The digest stands for the question, so that a dump of this memory holds no claims.
        key = sha256(question).digest()
        answer = self._recall(key) or await self._ask_once(key, question)
        if answer.passing:
            raise PolicyUnavailable(answer.problem)
        if not answer.allow:
            raise Forbidden(answer.problem or f"the policy allows {principal.subject!r} nothing")
        return answer.allow

    def _recall(self, key: bytes) -> _Answer | None:
        """Give an answer that still holds."""
        until, answer = self._remembered.get(key, (0.0, None))
        if answer is None or self._clock() >= until:
            return None
        self._remembered.move_to_end(key)
        return answer

    async def _ask_once(self, key: bytes, question: bytes) -> _Answer:
        """Ask, or wait with those who asked already."""
        task = self._asked.get(key)
        if task is None:
            if self._client is None:
                return _Answer(problem="the policy is not open: no lifespan ran", passing=True)
            if len(self._asked) >= MAX_ASKED:
                return _Answer(problem=f"{MAX_ASKED} questions are under way", passing=True)
            task = asyncio.create_task(self._ask(key, question, self._client))
            self._asked[key] = task
            task.add_done_callback(lambda _: self._asked.pop(key, None))
        # One caller that gives up must not take the answer from the others.
        await asyncio.wait([task])
        if task.cancelled():
            return _Answer(problem="the policy was closed", passing=True)
        return task.result()

    async def _ask(self, key: bytes, question: bytes, client: httpx.AsyncClient) -> _Answer:
        """Ask and remember; what failed is asked anew by the next caller, and counted."""
        self.asked += 1
        answer = await self._answer_of(question, client)
        if answer.problem:
            self.failed += 1
        elif self._rules.cache_seconds:
            self._remember(key, answer)
        return answer

    async def _answer_of(self, question: bytes, client: httpx.AsyncClient) -> _Answer:
        """Ask within the time there is."""
        try:
            async with asyncio.timeout(self._rules.timeout), self._slots:
                return await self._exchange(client, question)
        except TimeoutError:
            return _Answer(problem=f"no answer in {self._rules.timeout:g} s", passing=True)
        except httpx.HTTPError as error:
            return _Answer(problem=f"not reached: {type(error).__name__}: {error}", passing=True)

    async def _exchange(self, client: httpx.AsyncClient, question: bytes) -> _Answer:
        """Post the question and read an answer of bounded size."""
        async with client.stream("POST", self._url, content=question) as response:
            status = response.status_code
            if status != httpx.codes.OK:
                passing = status >= _FROM_SERVER_ERROR or status == httpx.codes.TOO_MANY_REQUESTS
                return _Answer(problem=f"the policy answered {status}", passing=passing)
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    return _Answer(problem=f"its answer is over {MAX_ANSWER_BYTES} bytes")
        return _read(bytes(body))

    def _remember(self, key: bytes, answer: _Answer) -> None:
        """Keep an answer; the one that was longest not asked for makes place."""
        self._remembered[key] = self._clock() + self._rules.cache_seconds, answer
        self._remembered.move_to_end(key)
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)


def check_policy_url(url: str, *, allow_http: bool) -> None:
    """Refuse an URL that claims must not be sent to; ValueError says what to write instead."""
    try:
        parts = urlsplit(url)
        httpx.URL(url)
        _ = parts.port  # which is read, and refused, only now
    except (ValueError, httpx.InvalidURL) as error:
        raise ValueError(f"ITEMWIRE_POLICY_URL is no URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("ITEMWIRE_POLICY_URL is no URL: write https://host/path")
    if "@" in parts.netloc:
        raise ValueError("ITEMWIRE_POLICY_URL holds a password: use ITEMWIRE_POLICY_TOKEN")
    if parts.scheme == "http" and not (allow_http or is_this_machine(parts.hostname)):
        raise ValueError(
            "ITEMWIRE_POLICY_URL would send claims in the clear: use https, or set "
            "ITEMWIRE_POLICY_ALLOW_HTTP=true if the network between is your own"
        )


def is_this_machine(host: str) -> bool:
    """Tell whether a host name can only be this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _question(principal: Principal, item_id: str) -> bytes:
    """Write what is asked; the same for the same caller, claims and item."""
    question = {
        "subject": principal.subject,
        "issuer": principal.issuer,
        "item": item_id,
        "actions": list(Action),
        "claims": principal.claims,
    }
    # Claims are mappings that cannot be changed, which JSON knows only as `dict`.
    return json.dumps(question, default=dict, separators=(",", ":")).encode()


def _read(body: bytes) -> _Answer:
    """Read `{"allow": [...]}`; a word that is no action may be a typing error, so it refuses."""
    try:
        allow = parse_object(body).get("allow")
    except ValueError as error:
        return _Answer(problem=f"its answer is refused: {error}")
    if not isinstance(allow, list) or not all(isinstance(word, str) for word in allow):
        return _Answer(problem="its answer has no list of strings in `allow`")
    unknown = [word for word in allow if word not in ACTIONS]
    if unknown:
        return _Answer(problem=f"it allows {unknown[0]!r}, which is no action")
    return _Answer(ACTION_SETS[frozenset(ACTIONS[word] for word in allow)])
