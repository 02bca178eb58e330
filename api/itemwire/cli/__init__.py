"""The command line. Results go to standard output, everything else to standard error."""

import click

from itemwire.cli.bench import bench
from itemwire.cli.channels import publish, tail
from itemwire.cli.configuration import config
from itemwire.cli.engine import engine
from itemwire.cli.export import export
from itemwire.cli.serving import dev, serve
from itemwire.cli.tokens import token
from itemwire.serving.streams import keep_streams_open


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="itemwire", prog_name="itemwire")
def main() -> None:
    """Live channels over WebSocket, one per item, guarded by your tokens.

    Start with `itemwire dev`: it needs no settings, and prints tokens and commands to try.
    """
    keep_streams_open()


for command in (dev, serve, token, publish, tail, bench, config, engine, export):
    main.add_command(command)
