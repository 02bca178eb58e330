"""The command line. Results go to standard output, everything else to standard error."""

import contextlib
import gc
import sys
from collections.abc import Generator
from importlib import import_module
from typing import Any, Final

import click
from typing_extensions import override

from itemwire.serving.streams import drop_what_cannot_be_written, keep_streams_open

MODULES: Final = {
    "dev": "serving",
    "serve": "serving",
    "token": "tokens",
    "publish": "channels",
    "tail": "channels",
    "bench": "bench",
    "config": "configuration",
    "doctor": "doctor",
    "engine": "engine",
    "export": "export",
}
"""The module of this package that has each command: loaded when the command is asked for."""


class Commands(click.Group):
    """Loads a command when it is asked for, so that a server starts without the others."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the name of each command."""
        return sorted(MODULES)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, or None if there is none of this name."""
        if cmd_name not in MODULES:
            return None
        with _collecting_nothing():
            module = import_module(f"{__name__}.{MODULES[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    @override
    def main(self, *args: Any, **options: Any) -> Any:
        """Run the command that is asked for, and exit; what the system refuses is one line."""
        try:
            return super().main(*args, **options)
        except OSError as error:
            drop_what_cannot_be_written()  # of the line, and of what was not written before
            named = f": {error.filename}" if error.filename else ""
            click.echo(f"Error: {error.strerror or error}{named}", err=True)
            sys.exit(1)


@contextlib.contextmanager
def _collecting_nothing() -> Generator[None]:
    """Search for no garbage among what is loaded, now or later: it all stays."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="itemwire", prog_name="itemwire")
def main() -> None:
    """Live channels over WebSocket, one per item, guarded by your tokens.

    Start with `itemwire dev`: it needs no settings, and prints tokens and commands to try.
    """
    keep_streams_open()
