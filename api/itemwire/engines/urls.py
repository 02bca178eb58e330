"""How an engine's URL is shown in logs and errors."""

import re
from typing import Final

MISPLACED: Final = re.compile(r"[@/?#]")  # before the host: it cannot be told where that begins


def hide_password(url: str) -> str:
    """Return a URL that may be shown: without user, password and options."""
    scheme, _, rest = url.partition("://")
    who, at, where = rest.rpartition("@")
    if MISPLACED.search(who):
        return f"{scheme}://***"
    return f"{scheme}://{'***@' if at else ''}{re.split('[?#]', where)[0]}"
