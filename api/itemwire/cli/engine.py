"""`engine`: what is done to an engine's store ahead of serving."""

import click

from itemwire.cli.configuration import ConfigurationProblem, load_settings
from itemwire.engines import init_store
from itemwire.engines.base import EngineError


@click.group()
def engine() -> None:
    """Prepare where channels live."""


@engine.command()
def init() -> None:
    """Make or update the store of ITEMWIRE_ENGINE_URL; done twice, it is done once."""
    try:
        click.echo(init_store(load_settings().engine_url))
    except ValueError as error:
        raise ConfigurationProblem(str(error)) from error
    except EngineError as error:
        raise click.ClickException(str(error)) from error
