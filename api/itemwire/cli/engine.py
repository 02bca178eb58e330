"""`engine`: prepares an engine's store before the server uses it."""

import click

from itemwire.cli.configuration import ConfigurationProblem, load_settings
from itemwire.engines import init_store
from itemwire.engines.base import EngineError


@click.group()
def engine() -> None:
    """Prepare the store of an engine."""


@engine.command()
def init() -> None:
    """Create or update the store at ITEMWIRE_ENGINE_URL. Running it again does no harm."""
    try:
        click.echo(init_store(load_settings().engine_url))
    except ValueError as error:
        raise ConfigurationProblem(str(error)) from error
    except EngineError as error:
        raise click.ClickException(str(error)) from error
