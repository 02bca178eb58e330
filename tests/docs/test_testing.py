"""docs/testing.md: its examples are run, as files of somebody's own project."""

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

TEXT = (Path(__file__).parents[2] / "docs" / "testing.md").read_text()
EXAMPLES: dict[str, str] = dict(
    re.findall(r"<!-- (test_\w+\.py) -->\n\n```py\n(.*?)```", TEXT, re.DOTALL)
)


def test_shows_examples() -> None:
    """A pattern that finds nothing would run nothing."""
    assert TEXT.count("```py\n") == len(EXAMPLES) >= 5


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_works(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Each example runs as it is pasted, in a process of its own: it leaves nothing loaded here."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.path.joinpath(name).write_text(EXAMPLES[name])
    plugins = ("-p", "itemwire.testing.plugin", "-p", "anyio", "-p", "no:cacheprovider")
    # Starlette's TestClient would rather have another library, and works with this one.
    result = pytester.runpytest_subprocess(*plugins, "-W", "ignore:Using `httpx`")
    outcomes = result.parseoutcomes()

    assert outcomes.keys() == {"passed"}


def test_every_fixture_is_in_the_table() -> None:
    """What is not written down does not exist."""
    plugin = (Path(__file__).parents[2] / "api" / "itemwire" / "testing" / "plugin.py").read_text()
    fixtures = set(re.findall(r"^def ((?:itemwire|live)_\w+)", plugin, re.MULTILINE))

    assert len(fixtures) >= 6
    assert [name for name in fixtures | {"itemwire_attack"} if f"| `{name}` |" not in TEXT] == []
