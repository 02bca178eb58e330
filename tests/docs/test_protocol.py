"""docs/protocol.md against the code: its tables are made from the code's tables."""

from itemwire.channels.sessions.commands import COMMANDS_OF_MANY
from itemwire.close_reasons import CLOSE_REASONS
from itemwire.wire import CODECS
from tests.docs.pages import page, table

TEXT = page("protocol.md")


def reasons_table() -> str:
    """Return the registry of close reasons as the page shows it."""
    head = "| reason | code | retry | HTTP | meaning |\n| --- | --- | --- | --- | --- |\n"
    return head + "\n".join(
        f"| `{row.reason}` | {row.code} | `{row.retry}` | {row.status} | {row.meaning} |"
        for row in CLOSE_REASONS.values()
    )


def test_shows_the_registry_as_it_is() -> None:
    """If this fails, paste what `reasons_table` returns after the mark."""
    assert table(TEXT, "reasons") == reasons_table()


def test_lists_every_command_and_codec() -> None:
    """To the author of a client, what the page does not name does not exist."""
    names = [*COMMANDS_OF_MANY, *CODECS]

    assert [name for name in names if f"`{name}`" not in TEXT] == []
