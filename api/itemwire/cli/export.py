"""`export`: write what describes the channels, or check that a file still does."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Final

import click
import msgspec
from fastapi.routing import iter_route_contexts
from starlette.applications import Starlette

from itemwire.app import Itemwire
from itemwire.application import ChannelApplication
from itemwire.assembly import Assembly, assemble
from itemwire.cli.configuration import ConfigurationProblem, load_settings
from itemwire.main import application_with
from itemwire.routes.asyncapi import asyncapi_of
from itemwire.rules.typescript import typescript_of_rules


def openapi_of(application: ChannelApplication) -> bytes:
    """Return the OpenAPI document of an application's HTTP routes."""
    text = msgspec.json.encode(application.openapi())
    return msgspec.json.format(text, indent=2) + b"\n"


def typescript_of(application: ChannelApplication) -> bytes:
    """Return the types of an application's channels, for clients in TypeScript."""
    return typescript_of_rules(Assembly.of(application).rules)


KINDS: Final[dict[str, Callable[[ChannelApplication], bytes]]] = {
    "asyncapi": asyncapi_of,
    "openapi": openapi_of,
    "typescript": typescript_of,
}


@click.command()
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--app", "app_name", metavar="MODULE:NAME", help="The application with the channels.")
@click.option("--check", is_flag=True, help="Write nothing; end with 1 if FILE is out of date.")
def export(kind: str, file: Path | None, app_name: str | None, *, check: bool) -> None:
    """Write the AsyncAPI or OpenAPI document, or the TypeScript types, to FILE, or print them."""
    if check and file is None:
        raise click.UsageError("--check needs the FILE to look at")
    application = _served() if app_name is None else _application(app_name)
    document = KINDS[kind](application)
    if file is None:
        click.echo(document, nl=False)
    elif not check:
        file.write_bytes(document)
    elif not file.is_file() or file.read_bytes() != document:
        again = " ".join(("itemwire export", kind, str(file), *_app_option(app_name)))
        raise click.ClickException(f"{file} is out of date: run `{again}`")


def _app_option(app_name: str | None) -> list[str]:
    return [] if app_name is None else ["--app", app_name]


def _served() -> ChannelApplication:
    """Return the application that `serve` runs; keys are not needed to describe it."""
    settings = load_settings()
    try:
        return application_with(assemble(settings, needs_keys=False))
    except ValueError as error:  # of a file or a key that a setting names
        raise ConfigurationProblem(str(error)) from error


def _application(name: str) -> ChannelApplication:
    """Import an application as servers do, and return the one of Itemwire in it."""
    module, _, attribute = name.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: object = getattr(import_module(module), attribute or "app")
    except (ImportError, AttributeError) as error:
        raise click.UsageError(f"--app {name}: {error}") from error
    inside = _channels_in(found)
    if len(inside) != 1:
        problem = "has no channels" if not inside else "has several: name one `Itemwire` of them"
        raise click.UsageError(f"--app {name}: it {problem}")
    return inside[0]


def _channels_in(found: object) -> list[ChannelApplication]:
    """Return each application of Itemwire that this is, or that is mounted in it."""
    if isinstance(found, Itemwire):
        return [found.app]
    if isinstance(found, ChannelApplication):
        return [found]
    if not isinstance(found, Starlette):
        return []
    routes = (context.original_route for context in iter_route_contexts(found.routes))
    mounted = [getattr(route, "app", None) for route in routes]
    return [inside for app in mounted for inside in _channels_in(app)]
