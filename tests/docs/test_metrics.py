"""docs/metrics.md against the code: its tables are made from the code's tables."""

import ast
import re
from pathlib import Path

from itemwire.observability.logs import EVENT
from itemwire.observability.metrics import METRICS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "metrics.md").read_text()
LEVELS = {"debug", "info", "warning", "error", "exception"}
ENDINGS = ("_bucket", "_count", "_sum")  # what a histogram has on the page


def metrics_table() -> str:
    """Return the metrics as the page shows them."""
    head = "| metric | kind | labels | meaning |\n| --- | --- | --- | --- |\n"
    return head + "\n".join(
        f"| `{row.full_name}` | {row.kind} | {', '.join(f'`{one}`' for one in row.labels)} "
        f"| {row.meaning} |"
        for row in METRICS
    )


def events() -> set[str]:
    """Return the events of the source, by the templates that it logs."""
    calls = (
        node
        for package in ("api", "auth")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    )
    templates = [call.args[0] for call in calls if call.func.attr in LEVELS and call.args]  # type: ignore[attr-defined] # an Attribute
    told = [one.value for one in templates if isinstance(one, ast.Constant)]
    return {str(one).partition(" ")[0] for one in told if EVENT.fullmatch(str(one))}


def test_shows_the_metrics_as_they_are() -> None:
    """If this fails, paste what `metrics_table` returns between the two marks."""
    shown = re.search(r"<!-- metrics -->\n\n(.*?)\n\n<!-- /metrics -->", TEXT, re.DOTALL)

    assert shown is not None
    assert shown.group(1) == metrics_table()


def test_its_queries_name_metrics_that_exist() -> None:
    """A query of an unknown name is empty, and an alert on it never fires."""
    names = {row.full_name for row in METRICS}
    names |= {
        f"{row.full_name}{end}" for row in METRICS if row.kind == "histogram" for end in ENDINGS
    }
    blocks = "".join(re.findall(r"```(?:promql|yaml)\n(.*?)```", TEXT, re.DOTALL))
    asked = set(re.findall(r"\bitemwire_\w+", blocks))

    assert len(asked) > 4
    assert asked - names == set()


def test_lists_every_event() -> None:
    """Operators search for events; `administered` has a template of its own."""
    log = TEXT.partition("\n## The log\n")[2]
    listed = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", log, re.MULTILINE)

    assert {name.strip("`") for names in listed for name in names.split(", ")} == events() | {
        "administered"
    }
