"""What an operator should know of variables: their sources, and which are no settings."""

import logging
import sys
from collections.abc import Iterator
from pathlib import PurePath
from typing import Final

from itemwire.settings import PREFIX, RENAMED, Settings, set_variables
from itemwire_auth.environment import is_of_platform

# Read by commands that are clients, such as `publish`, and not by the server.
CLIENT_VARIABLES: Final = frozenset({"ITEMWIRE_TOKEN", "ITEMWIRE_URL"})

OWN_COMMAND: Final = "itemwire"

logger = logging.getLogger("itemwire.startup")


def read_settings() -> Settings:
    """Return the settings of the environment; the log has what was changed about them.

    Nothing is logged under `itemwire`, which prints it before it reads them.
    """
    if PurePath(sys.argv[0] if sys.argv else "").stem != OWN_COMMAND:
        for remark in remarks():
            logger.warning("variable_changed detail=%r", remark)
    return Settings()


def source_of(name: str) -> str:
    """Return the source of a setting's value: `environment`, `.env` or `default`."""
    return set_variables().sources.get(f"{PREFIX}{name.upper()}", "default")


def remarks() -> Iterator[str]:
    """List what was changed about variables, and those that are no settings."""
    yield from set_variables().notes
    for variable, meant in unknown_variables():
        yield f"{variable} is not a setting{f'; did you mean {meant}?' if meant else ''}"


def unknown_variables() -> Iterator[tuple[str, str | None]]:
    """Yield each ITEMWIRE_ variable that is not a setting, with the closest real one."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    for variable in sorted(
        set_variables().values.keys() - known - CLIENT_VARIABLES - RENAMED.keys()
    ):
        if not is_of_platform(variable):
            import difflib  # noqa: PLC0415 - for mistakes alone

            close = difflib.get_close_matches(variable, known, n=1, cutoff=0.8)
            yield variable, close[0] if close else None
