"""docs/protocol.md against the code: its tables are made of the tables."""

import re
from pathlib import Path

from itemwire.channels.sessions.commands import COMMANDS_OF_MANY
from itemwire.close_reasons import CLOSE_REASONS
from itemwire.settings import Settings
from itemwire.wire import CODECS
from itemwire_auth.credentials import CREDENTIAL_SOURCES
from itemwire_auth.scopes import Action

TEXT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()


def reasons_table() -> str:
    """The registry as the document shows it."""
    head = "| reason | code | retry | HTTP | meaning |\n| --- | --- | --- | --- | --- |\n"
    return head + "\n".join(
        f"| `{row.reason}` | {row.code} | `{row.retry}` | {row.status} | {row.meaning} |"
        for row in CLOSE_REASONS.values()
    )


def test_shows_the_registry_as_it_is() -> None:
    """If this fails, paste what `reasons_table` gives between the two marks."""
    shown = re.search(r"<!-- reasons -->\n\n(.*?)\n\n", TEXT, re.DOTALL)

    assert shown is not None
    assert shown.group(1) == reasons_table()


def test_shows_each_limit_with_its_default() -> None:
    """Whoever meets a limit looks here for the setting, and trusts the figure."""
    table = TEXT.partition("<!-- limits -->")[2].partition("<!-- /limits -->")[0]
    shown = re.findall(r"\| `ITEMWIRE_([A-Z_]+)` \| ([0-9]*) ?\|", table)
    defaults = {name.upper(): field.default for name, field in Settings.model_fields.items()}

    assert len(shown) == table.count("ITEMWIRE_")
    assert dict(shown) == {name: str(defaults[name] or "0") for name, _ in shown} | {
        "MAX_CONNECTIONS": ""
    }


def test_lists_every_command_codec_source_and_action() -> None:
    """Something the document does not name does not exist for a client."""
    names = [*COMMANDS_OF_MANY, *CODECS, *CREDENTIAL_SOURCES, *(action.value for action in Action)]

    assert [name for name in names if f"`{name}`" not in TEXT] == []
