"""docs/limits.md against the code: each limit with its setting and its default."""

import re

from itemwire.settings import Settings
from tests.docs.pages import page, table


def test_shows_each_limit_with_its_default() -> None:
    """A client that meets a limit finds the setting here, and trusts the figure."""
    limits = table(page("limits.md"), "limits")
    shown = re.findall(r"\| `ITEMWIRE_([A-Z_]+)` \| ([0-9]*) ?\|", limits)
    defaults = {name.upper(): field.default for name, field in Settings.model_fields.items()}

    assert len(shown) == limits.count("ITEMWIRE_") > 15
    assert dict(shown) == {name: str(defaults[name] or "0") for name, _ in shown} | {
        "MAX_CONNECTIONS": ""
    }
