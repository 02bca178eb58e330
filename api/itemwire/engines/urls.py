"""What is the same of every engine's URL: how it is shown, and the files that it names."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl

MISPLACED: Final = re.compile(r"[@/?#]")  # before the host: it cannot be told where that begins


def hide_password(url: str) -> str:
    """Return a URL that may be shown: without user, password and options."""
    scheme, _, rest = url.partition("://")
    who, at, where = rest.rpartition("@")
    if MISPLACED.search(who):
        return f"{scheme}://***"
    return f"{scheme}://{'***@' if at else ''}{re.split('[?#]', where)[0]}"


def check_files(url: str, options: Iterable[str]) -> None:
    """Check that these options of a URL name files; ValueError says which does not.

    A client library says the same of a key that is missing as of a server that is away.
    """
    named = dict(parse_qsl(url.partition("#")[0].partition("?")[2]))
    for option in options:
        if option in named and not Path(named[option]).is_file():
            raise ValueError(f"ITEMWIRE_ENGINE_URL: {option} names no file")
