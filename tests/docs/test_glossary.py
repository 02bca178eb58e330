"""docs/glossary.md against the code: in order, one sentence a term, and new names that exist."""

import re
from importlib.util import find_spec

from itemwire.observability.metrics import METRICS
from itemwire.settings import RENAMED
from tests.docs.pages import page, table_under
from tests.docs.test_metrics import events

TEXT = page("glossary.md")
TERMS = re.findall(r"^- \*\*(.+?)\*\*: (.+)$", TEXT, re.MULTILINE)


def test_terms_are_in_alphabetical_order() -> None:
    """A reader looks a term up, and does not read the page."""
    terms = [term for term, _ in TERMS]

    assert len(terms) > 50
    assert terms == sorted(terms, key=str.lower)


def test_each_term_is_one_sentence_with_a_link() -> None:
    """A term that needs more has a page that explains it."""
    shape = re.compile(r"[A-Z][^.!?]*? \(\[[^\]]+\]\([^)]+\)\)\.")

    assert [term for term, meaning in TERMS if not shape.fullmatch(meaning)] == []


def test_lists_every_renamed_setting() -> None:
    """Anyone who upgrades finds each old name beside the new one."""
    rows = table_under(TEXT, "Renamed settings")

    assert {old.strip("`"): new.strip("`") for old, new in rows} == RENAMED


def test_new_names_of_metrics_and_events_exist() -> None:
    """A dashboard that is changed by this table works again."""
    (_, metric), (_, event) = table_under(TEXT, "Renamed metrics and log events")

    assert metric.strip("`") in {row.full_name for row in METRICS}
    assert event.strip("`") in events()


def test_new_names_of_modules_exist() -> None:
    """An import that is changed by this table works again."""
    new = [name for _, names in table_under(TEXT, "Renamed modules") for name in names.split(", ")]
    modules = [name.strip("`") for name in new if re.fullmatch(r"`itemwire[\w.]+`", name)]

    assert len(modules) > 15
    assert [module for module in modules if find_spec(module) is None] == []
