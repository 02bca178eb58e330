"""The command line: results on standard output, everything else on standard error."""

import click

from itemwire.cli.bench import bench
from itemwire.cli.channels import publish, tail
from itemwire.cli.configuration import config
from itemwire.cli.engine import engine
from itemwire.cli.serving import dev, serve
from itemwire.cli.tokens import token


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="itemwire", prog_name="itemwire")
def main() -> None:
    """Live channels, one per item, for whoever your tokens let in.

    Start with `itemwire dev`: it needs no settings and prints what to paste next.
    """


for command in (dev, serve, token, publish, tail, bench, config, engine):
    main.add_command(command)
