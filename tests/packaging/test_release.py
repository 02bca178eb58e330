"""What a release is called is the same everywhere, and its changelog says what is in it."""

import datetime as dt
import json
import re
import tomllib
from pathlib import Path
from typing import Any

from packaging.version import Version

ROOT = Path(__file__).parents[2]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
RELEASE = re.compile(r"(\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)")
PARTS = ["Security", "Changed", "Added"]


def project() -> dict[str, Any]:
    """Return the table `project` of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def package(name: str) -> Any:  # noqa: ANN401 - JSON
    """Return a file of the npm package."""
    return json.loads((ROOT / "clients" / "js" / name).read_text())


def releases() -> list[tuple[Version, dt.date]]:
    """Return the releases of the changelog, and the day of each."""
    first, *others = HEADING.findall(CHANGELOG)
    headings = others if first == "Unreleased" else [first, *others]
    found = [RELEASE.fullmatch(heading) for heading in headings]
    assert None not in found, headings
    return [(Version(one[1]), dt.date.fromisoformat(one[2])) for one in found if one is not None]


def test_the_version_is_the_same_everywhere() -> None:
    """In the wheel, in both files of the npm package, and on top of the changelog."""
    lock = package("package-lock.json")
    versions = {
        "CHANGELOG.md": str(releases()[0][0]),
        "package.json": package("package.json")["version"],
        "package-lock.json": lock["version"],
        "package-lock.json, packages": lock["packages"][""]["version"],
    }

    assert versions == dict.fromkeys(versions, project()["version"])


def test_the_newest_release_comes_first() -> None:
    """By version and by day, each of them once."""
    found = releases()

    assert found == sorted(set(found), reverse=True)
    assert [day for _, day in found] == sorted((day for _, day in found), reverse=True)


def test_each_part_of_a_release_is_there_once_and_in_order() -> None:
    """Who updates reads what is unsafe first, and then what breaks."""
    for text in HEADING.split(CHANGELOG)[2::2]:
        parts = re.findall(r"^### (.+)$", text, re.MULTILINE)
        assert parts == [part for part in PARTS if part in parts]
        assert parts or text.strip() == "Nothing yet."


def test_the_readme_names_the_version() -> None:
    """Its first two numbers: it says how old Itemwire is."""
    major, minor, _ = project()["version"].split(".")

    assert f"this is version {major}.{minor}." in (ROOT / "README.md").read_text()
