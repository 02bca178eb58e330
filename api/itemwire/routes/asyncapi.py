"""Serves the AsyncAPI document of the channels, and a page that shows it to people."""

from collections.abc import Iterator
from functools import lru_cache
from html import escape

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from itemwire.application import ChannelApplication, application_of
from itemwire.assembly import Assembly
from itemwire.routes.console import HEADERS
from itemwire.rules.asyncapi import Credentials, Json, described, document_of
from itemwire_auth.dependencies import current_principal

router = APIRouter(include_in_schema=False)


@router.get("/asyncapi.json")
async def asyncapi_document(request: Request) -> Response:
    """Serve the document for programs."""
    return Response(asyncapi_of(application_of(request.scope)), media_type="application/json")


@router.get("/asyncapi")
async def asyncapi_page(request: Request) -> HTMLResponse:
    """Serve the document for people."""
    page = _page_of(asyncapi_of(application_of(request.scope)))
    return HTMLResponse(page, headers=HEADERS)


def asyncapi_of(application: ChannelApplication) -> bytes:
    """Return the AsyncAPI document of an application, with the channels that it declares."""
    rules = Assembly.of(application).rules
    return document_of(described(rules), _credentials_of(application))


def _credentials_of(application: ChannelApplication) -> Credentials:
    settings = Assembly.of(application).settings
    if current_principal in application.seams:  # users of a host, which reads what it likes
        return Credentials()
    return Credentials(settings.cookie_name, tickets=True, query_tokens=settings.query_tokens)


@lru_cache(maxsize=16)  # as the document: anybody may ask for it
def _page_of(document: bytes) -> str:
    return "\n".join(_page(msgspec.json.decode(document)))


def _page(document: Json) -> Iterator[str]:
    """Yield the lines of the page; whatever an application has named is escaped."""
    info = document["info"]
    yield "<!doctype html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<meta name="color-scheme" content="light dark">'
    yield f"<title>Channels of {escape(info['title'])}</title>"
    yield '<link rel="stylesheet" href="console/base.css"></head><body>'
    yield f"<header><h1>{escape(info['title'])} <span>channels</span></h1></header><main>"
    yield f"<section><p>{escape(info['description'])}</p>"
    yield '<p><a href="asyncapi.json">The document for programs</a> (AsyncAPI 3.0)</p>'
    for name, channel in document["channels"].items():
        yield from _channel(document, name, channel)
    yield "<h2>Schemas</h2>"
    for name, schema in document["components"]["schemas"].items():
        yield _details(name, schema)
    yield "<h2>Credentials</h2>"
    for name, scheme in document["components"]["securitySchemes"].items():
        yield _details(name, scheme)
    yield "</section></main></body></html>"


def _channel(document: Json, name: str, channel: Json) -> Iterator[str]:
    yield f"<h2>{escape(channel['address'])}</h2><p>{escape(channel.get('description', ''))}</p>"
    for kind, title in (("events", "A client gets"), ("requests", "A client may send")):
        yield f"<h3>{title}</h3>"
        for reference in document["operations"][f"{name}_{kind}"]["messages"]:
            own = reference["$ref"].rpartition("/")[2]
            found = channel["messages"][own]["$ref"].rpartition("/")[2]
            message = document["components"]["messages"][found]
            yield _details(f"{message['name']}: {message['summary']}", message["payload"])


def _details(title: str, value: object) -> str:
    shown = msgspec.json.format(msgspec.json.encode(value).decode(), indent=2)
    return f"<details><summary>{escape(title)}</summary><pre>{escape(shown)}</pre></details>"
