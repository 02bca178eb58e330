"""A client of server-sent events, by the letter of the HTML standard."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from itemwire.testing import LiveServer
from tests.scenarios.clients import EVERYTHING, PATIENCE, Envelope, token


@dataclass(frozen=True, slots=True)
class Heard:
    """One event: its name, the id that counts after it, its data."""

    name: str
    id: str
    data: str

    @property
    def envelope(self) -> Envelope:
        """Read the data."""
        found: dict[str, Any] = json.loads(self.data)
        return found


class EventSource:
    """A stream that is open; `retry` is how long a browser would wait before it comes back."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.last_id = ""
        self.retry = ""
        self.comments = 0
        self._lines = response.iter_lines()

    def read(self) -> Heard:
        """Give the next event; StopIteration once the stream has ended."""
        fields: dict[str, str] = {}
        for line in self._lines:
            if line:
                self._note(line, fields)
            elif fields.get("event") == "cursor":  # a page listens to none: only its id counts
                fields.clear()
            elif "data" in fields:
                return Heard(fields.get("event", "message"), self.last_id, fields["data"])
            else:
                fields.clear()
        raise StopIteration

    def read_all(self) -> list[Heard]:
        """Give what comes until the end of the stream."""
        events = []
        while True:
            try:
                events.append(self.read())
            except StopIteration:
                return events

    def messages(self, count: int) -> list[Heard]:
        """Read so many messages, past whatever else is told meanwhile."""
        found: list[Heard] = []
        while len(found) < count:
            event = self.read()
            if event.name == "message":
                found.append(event)
        return found

    def comes_to(self, event_id: str) -> None:
        """Wait for the id that counts from then on."""
        while self.last_id != event_id:
            self._note(next(self._lines), {})

    def beats(self) -> None:
        """Wait for a comment."""
        before = self.comments
        while self.comments == before:
            self._note(next(self._lines), {})

    def _note(self, line: str, fields: dict[str, str]) -> None:
        """Take a line that is not empty, of an event whose fields these are."""
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not name:
            self.comments += 1
        elif name == "id":
            self.last_id = value
        elif name == "retry":
            self.retry = value
        else:
            fields[name] = f"{fields[name]}\n{value}" if name in fields else value


@contextmanager
def event_source(
    server: LiveServer,
    item_id: str,
    subject: str = "carol",
    *,
    headers: Mapping[str, str] | None = None,
    credential: str | None = None,
    **query: object,
) -> Iterator[EventSource]:
    """Open a stream that is not refused."""
    sent = {"Authorization": f"Bearer {credential or token(subject, EVERYTHING)}"}
    with (
        httpx.Client(base_url=server.url, timeout=PATIENCE) as client,
        client.stream(
            "GET",
            f"/items/{item_id}/events",
            params={name: str(value) for name, value in query.items()},
            headers={**sent, **(headers or {})},
        ) as response,
    ):
        assert response.status_code == 200, response.read()
        yield EventSource(response)
