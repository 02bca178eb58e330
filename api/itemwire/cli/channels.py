"""`publish` and `tail`: use a channel from the shell, by the client for Python."""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing
from typing import Any, Final, TypeVar

import click
import msgspec

from itemwire.client import AsyncClient, ClientError, NotConnected, Refused
from itemwire.wire.envelopes import read_envelope
from itemwire.wire.payloads import payload_of

T = TypeVar("T")

ANSWER_SECONDS: Final = 10.0
FIRST_CLOSE_CODE: Final = 1000  # RFC 6455 section 7.4; what is below is an HTTP status
UNPRINTED: Final = ("hello", "ping", "pong", "reply")
EPHEMERAL: Final = "ephemeral"  # in place of the position of a message that is not stored

url_option = click.option(
    "--url",
    envvar="ITEMWIRE_URL",
    default="http://127.0.0.1:8000",
    show_default=True,
    help="The server's URL [ITEMWIRE_URL].",
)
token_option = click.option(
    "--token",
    envvar="ITEMWIRE_TOKEN",
    help="The token. Prefer ITEMWIRE_TOKEN: a process list shows command-line options.",
)


@click.command()
@click.argument("item")
@click.argument("data", default="-")
@url_option
@token_option
@click.option("--data-json", is_flag=True, help="DATA is a JSON value, not text.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def publish(
    item: str, data: str, url: str, token: str | None, *, data_json: bool, as_json: bool
) -> None:
    """Publish DATA to ITEM, and print its position as EPOCH:OFFSET.

    Where messages of ITEM are not stored, print `ephemeral`.
    DATA is read from standard input if it is `-` or absent.

    ITEM is joined meanwhile, so the token needs the right `subscribe` beside `publish`; one that
    has `publish` alone is for POST /items/ITEM/messages.
    """
    text = sys.stdin.read() if data == "-" else data
    payload = _checked(text) if data_json else json.dumps(text)
    answer = _run(_publish(url, token, item, payload.encode()), url)
    if as_json:
        click.echo(json.dumps(answer))
    else:
        is_stored = "offset" in answer
        click.echo(f"{answer['epoch']}:{answer['offset']}" if is_stored else EPHEMERAL)


@click.command()
@click.argument("item")
@url_option
@token_option
@click.option(
    "--replay", default=0, show_default=True, help="Print this many recent messages first."
)
@click.option("--count", type=click.IntRange(min=1), help="Stop after this many messages.")
@click.option("--json", "as_json", is_flag=True, help="Print each envelope as one JSON line.")
def tail(
    item: str, url: str, token: str | None, replay: int, count: int | None, *, as_json: bool
) -> None:
    """Print the messages published to ITEM, one per line, until interrupted.

    After a break it goes on where it was.
    """

    async def work() -> None:
        frames = _tail(_client(url, token), item, replay)
        async with aclosing(frames):
            await _print(frames, count, as_json=as_json)

    _run(work(), url)


async def _publish(url: str, token: str | None, item: str, payload: bytes) -> dict[str, Any]:
    """Publish a payload, given as JSON, and return its position, or that it has none."""
    async with _client(url, token) as wire:
        await _connected(wire)
        result = await wire.publish(item, msgspec.Raw(payload))
    if result.position is None:
        return {EPHEMERAL: True}
    epoch, _, offset = result.position.rpartition(":")
    return {"epoch": epoch, "offset": int(offset)}


async def _tail(wire: AsyncClient, item_id: str, replay: int) -> AsyncGenerator[str | bytes]:
    """Yield each frame about an item; after a break the client goes on where it was."""
    told: asyncio.Queue[str | bytes | Exception] = asyncio.Queue()
    async with wire:
        wire.on("frame", told.put_nowait)
        await _connected(wire)
        item = wire.item(item_id, replay=replay)
        item.on("refused", told.put_nowait)
        wire.on("error", lambda error: click.echo(f"reconnecting: {_said(error)}", err=True))
        wire.on("state", lambda state: told.put_nowait(_Stopped()) if state == "refused" else None)
        await item.join()
        while True:
            frame = await told.get()
            if isinstance(frame, _Stopped):
                await wire.ready()  # raises why
            elif isinstance(frame, Exception):
                raise frame
            else:
                yield frame


class _Stopped(Exception):
    """The server wants this client no more."""


async def _print(frames: AsyncIterator[str | bytes], count: int | None, *, as_json: bool) -> None:
    seen = 0
    async for frame in frames:
        envelope = _read(frame)
        if envelope["type"] in UNPRINTED:
            continue
        line = str(frame) if as_json else _line(envelope)
        if line is not None:
            click.echo(line)
        seen += envelope["type"] == "message"
        if count is not None and seen >= count:
            return


async def _connected(wire: AsyncClient) -> None:
    """Wait for the first connection; a person who waits is told of the first failure."""
    failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(error: Exception) -> None:
        if not failure.done():
            failure.set_exception(error)

    remove = wire.on("error", fail)
    ready = asyncio.ensure_future(wire.ready())
    try:
        await asyncio.wait([ready, failure], return_when=asyncio.FIRST_COMPLETED)
        if failure.done():
            await failure
        await ready
    finally:
        remove()
        ready.cancel()
        failure.cancel()


def _read(text: str | bytes) -> dict[str, Any]:
    """Parse an envelope; one that cannot be read is named on stderr and taken as a message.

    Only a message can be such a one: nothing else holds what a client of an older server wrote.
    """
    try:
        return read_envelope(text)
    except ValueError as error:
        click.echo(f"a message cannot be read: {error}", err=True)
        return {"type": "message"}


def _line(envelope: dict[str, Any]) -> str | None:
    match envelope["type"]:
        case "message" if "data" in envelope:
            data = envelope["data"]
            shown = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
            sender = envelope["sender"] or "(application)"
            place = envelope.get("offset", EPHEMERAL)
            return _plain(f"{place} {sender}: {shown}")
        case "gap" | "welcome" if envelope.get("recovered") is not True:
            return _lost(envelope)
        case "joined" | "left" | "updated":
            return _plain(f"* {envelope['member']['subject']} {envelope['type']}")
        case "count":
            return f"* {envelope['member_count']} members"
        case _:
            return None


def _lost(envelope: dict[str, Any]) -> str | None:
    """Say that messages are missing, if that is what an envelope says."""
    is_lost = envelope["type"] == "gap" or envelope["was_recovering"]
    return "* messages are lost" if is_lost else None


def _plain(text: str) -> str:
    """Escape control characters, because a terminal would act on them."""
    return "".join(
        one if one.isprintable() or one in "\t\n" else one.encode("unicode_escape").decode()
        for one in text
    )


def _client(url: str, token: str | None) -> AsyncClient:
    try:
        return AsyncClient(url, token=token or None, timeout=ANSWER_SECONDS, proxy=None)
    except ValueError as error:  # of the URL or of the token, which it does not show
        raise click.ClickException(str(error)) from error


def _checked(text: str) -> str:
    """Return text that is JSON the server takes; refuse any other before connecting."""
    try:
        raw = msgspec.json.decode(text.encode(), type=msgspec.Raw)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"not JSON: {error}", param_hint="DATA") from error
    try:
        payload_of(raw)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="DATA") from error
    return text


def _run(work: Coroutine[Any, Any, T], url: str) -> T:
    """Run to the end; print one line and exit with 1 if the server refuses or is away."""
    try:
        return asyncio.run(work)
    except NotConnected as error:
        raise click.ClickException(f"cannot connect to {url}: {error}") from error
    except ClientError as error:
        raise click.ClickException(_said(error)) from error
    except KeyboardInterrupt:
        sys.exit(130)  # the shell's status for a process ended by SIGINT


def _said(error: Exception) -> str:
    """Describe why a connection ended or a request was refused: its code, reason and meaning."""
    if not isinstance(error, Refused) or error.status is None:
        return str(error)
    if error.reason == f"http_{error.status}":
        return f"refused with HTTP {error.status}"
    how = "refused with HTTP" if error.status < FIRST_CLOSE_CODE else "closed with"
    return f"{how} {error.status} {error}"
