"""docs/architecture.md against the code: the way of a message, and the picture of the folders."""

import re
import tomllib

from tests.docs.pages import ROOT, page

TEXT = page("architecture.md")
PICTURE = (ROOT / "docs" / "architecture.svg").read_text()


def test_every_place_on_the_way_of_a_message_is_there() -> None:
    """The list is the first thing that a newcomer follows."""
    way = TEXT.partition("## The way of a message")[2].partition("\n## ")[0]
    places = re.findall(r"\b(?:api|auth)/[\w/.]+", way)

    assert len(places) > 15
    assert [place for place in places if not (ROOT / place).exists()] == []


def depths(container: str) -> dict[str, int]:
    """Return how deep in its package's import contract each module or folder stands."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = [
        contract["layers"]
        for contract in contracts["contracts"]
        if contract["type"] == "layers" and contract["containers"] == [container]
    ]
    return {name: depth for depth, row in enumerate(layers) for name in row.split(" | ")}


def test_the_picture_shows_the_direction_that_the_import_contracts_check() -> None:
    """A picture that contradicts the contracts would lead a newcomer astray."""
    rows = re.findall(r"<text x=.285. [^>]*>([^<]+)</text>", PICTURE)
    outer, inner = depths("itemwire"), depths("itemwire.channels")
    start, end = rows.index("sessions"), rows.index("limits") + 1
    shown = [
        [outer[name] for row in rows[:start] for name in row.split(" · ")],
        [inner[name] for row in rows[start:end] for name in row.split(" · ")],
        [outer[name] for row in rows[end:] for name in row.split(" · ")],
    ]

    assert all(column == sorted(column) for column in shown)
    assert shown[0][-1] < outer["channels"] < shown[2][0]


def test_the_picture_names_what_there_is_in_itemwire_auth() -> None:
    """Each is a module or a folder there."""
    names = re.findall(r"class=.auth.[^>]*>(\w+)</text>", PICTURE)
    folder = ROOT / "auth" / "itemwire_auth"

    assert len(names) > 4
    assert [name for name in names if not list(folder.glob(f"{name}*"))] == []
