"""docs/credentials.md against the code: sources in their order, and actions."""

import re

from itemwire_auth.credentials import CREDENTIAL_SOURCES
from itemwire_auth.scopes import Action
from tests.docs.pages import page

TEXT = page("credentials.md")


def test_lists_the_sources_in_their_order() -> None:
    """The order is the precedence, and an issuer of tokens relies on it."""
    sources = TEXT.partition("| source |")[2].partition("\n\n")[0]

    assert re.findall(r"^\| `(\w+)` \|", sources, re.MULTILINE) == list(CREDENTIAL_SOURCES)


def test_lists_every_action() -> None:
    """An author of tokens knows no action that the page does not name."""
    rights = TEXT.partition("\n## Rights\n")[2].partition("\n## ")[0]

    assert [action for action in Action if f"`{action.value}`" not in rights] == []
