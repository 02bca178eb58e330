"""What somebody who reports a fault or sends a change is told, and the forms for it."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def test_supported_versions_begin_with_the_newest() -> None:
    """SECURITY.md has a row for it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    major, minor, _ = project["version"].split(".")

    assert f"| {major}.{minor} | yes |" in (ROOT / "SECURITY.md").read_text()


@pytest.mark.parametrize("file", FORMS, ids=lambda file: file.name)
def test_the_forms_for_issues_are_forms(file: Path) -> None:
    """GitHub shows none that it cannot read, and tells nobody."""
    form = yaml.safe_load(file.read_text())
    if file.name == "config.yml":
        assert form == {"blank_issues_enabled": False}
        return
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    names = [field["id"] for field in fields]

    assert form["name"] and form["description"]  # noqa: PT018 - one demand: both are there
    assert len(fields) == len(set(names)) >= 3
    assert all(field["attributes"]["label"] for field in fields)
    assert any(field.get("validations", {}).get("required") for field in fields)


def test_a_newcomer_is_shown_programs_that_are_there() -> None:
    """CONTRIBUTING.md names scripts and folders."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"(?:\.ci|tests|api|auth|clients)/[\w./]*", text))

    assert {".ci/run", ".ci/release"} <= named
    assert [name for name in named if not (ROOT / name.rstrip(".")).exists()] == []
