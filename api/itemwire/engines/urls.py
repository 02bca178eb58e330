"""How the URL of an engine may be shown."""

import re
from typing import Final

MISPLACED: Final = re.compile(r"[@/?#]")  # in what is ahead of the host: who knows where that began


def hide_password(url: str) -> str:
    """Give a URL that may be shown: no user, no password, no options."""
    scheme, _, rest = url.partition("://")
    who, at, where = rest.rpartition("@")
    if MISPLACED.search(who):
        return f"{scheme}://***"
    return f"{scheme}://{'***@' if at else ''}{re.split('[?#]', where)[0]}"
