"""`publish` and `tail`: use a channel from the shell, over an ordinary WebSocket."""

import asyncio
import json
import sys
from collections.abc import Coroutine
from typing import Any, Final, TypeVar
from urllib.parse import quote

import click
import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from itemwire.close_reasons import CLOSE_REASONS
from itemwire.wire.envelopes import read_envelope
from itemwire.wire.payloads import payload_of

T = TypeVar("T")

ANSWER_SECONDS: Final = 10.0
ANSWERED: Final = ("epoch", "offset", "ephemeral")  # of a reply, what is printed
EPHEMERAL: Final = "ephemeral"  # in place of the position of a message that is not stored
ENVELOPES: Final = Subprotocol("itemwire.v1.json")

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
    """
    text = sys.stdin.read() if data == "-" else data
    payload = _checked(text) if data_json else json.dumps(text)
    answer = _run(_publish(_socket_url(url, item), token, payload), url)
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
    """Print the messages published to ITEM, one per line, until interrupted."""
    address = _socket_url(url, item) + (f"?replay={replay}" if replay else "")
    _run(_tail(address, token, count, as_json=as_json), url)


async def _publish(address: str, token: str | None, payload: str) -> dict[str, Any]:
    """Publish a payload, given as JSON, and return its position, or that it has none."""
    async with asyncio.timeout(ANSWER_SECONDS), _connect(address, token) as connection:
        await connection.send(f'{{"type":"publish","ref":"cli","data":{payload}}}')
        async for text in connection:
            envelope = _read(text)
            if envelope["type"] == "error":
                raise click.ClickException(f"{envelope['code']}: {envelope['detail']}")
            if envelope["type"] == "reply":
                return {name: envelope[name] for name in ANSWERED if name in envelope}
    raise click.ClickException("the server closed the connection without an answer")


async def _tail(address: str, token: str | None, count: int | None, *, as_json: bool) -> None:
    seen = 0
    async with _connect(address, token) as connection:
        async for text in connection:
            envelope = _read(text)
            line = str(text) if as_json else _line(envelope)
            if line is not None:
                click.echo(line)
            seen += envelope["type"] == "message"
            if count is not None and seen >= count:
                return


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
        case "joined" | "left" | "updated":
            return _plain(f"* {envelope['member']['subject']} {envelope['type']}")
        case _:
            return None


def _plain(text: str) -> str:
    """Escape control characters, because a terminal would act on them."""
    return "".join(
        one if one.isprintable() or one in "\t\n" else one.encode("unicode_escape").decode()
        for one in text
    )


def _connect(address: str, token: str | None) -> "connect":
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return connect(
        address, additional_headers=headers, subprotocols=[ENVELOPES], max_size=None, proxy=None
    )


def _socket_url(url: str, item: str) -> str:
    base = url.rstrip("/").replace("http", "ws", 1) if url.startswith("http") else url.rstrip("/")
    return f"{base}/items/{quote(item, safe='')}/ws"


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
    """Run to the end; print one line and exit with 1 if the connection to the URL fails."""
    try:
        return asyncio.run(work)
    except InvalidStatus as error:
        raise click.ClickException(_denied(error)) from error
    except ConnectionClosed as error:
        raise click.ClickException(_closed(error)) from error
    except TimeoutError as error:
        raise click.ClickException(f"no answer within {ANSWER_SECONDS:.0f} s") from error
    except BrokenPipeError:
        raise  # the reader of our output has closed it (`| head`); click exits quietly
    except (OSError, InvalidHandshake, InvalidURI) as error:
        raise click.ClickException(f"cannot connect to {url}: {error}") from error
    except KeyboardInterrupt:
        sys.exit(130)  # the shell's status for a process ended by SIGINT


def _denied(error: InvalidStatus) -> str:
    """Describe how a handshake was refused; the body of an Itemwire server has the reason."""
    status = error.response.status_code
    try:
        row = CLOSE_REASONS[json.loads(error.response.body or b"")["reason"]]
    except (ValueError, TypeError, KeyError):
        return f"refused with HTTP {status}"
    return f"refused with HTTP {status} {row.reason}: {row.meaning}"


def _closed(error: ConnectionClosed) -> str:
    if error.rcvd is None:
        return "the connection was lost"
    row = CLOSE_REASONS.get(error.rcvd.reason)
    meaning = f": {row.meaning}" if row else ""
    return f"closed with {error.rcvd.code} {error.rcvd.reason}{meaning}"
