"""Says before anything is measured whether the docs can be renewed from it."""

import importlib.util

import click


def check_docs_can_be_renewed(*, is_quick: bool) -> None:
    """Raise `click.UsageError` where a run of half an hour would end without them."""
    if is_quick:
        raise click.UsageError("the figures of a quick run are not for the docs")
    if importlib.util.find_spec("matplotlib") is None:
        raise click.UsageError("--write-docs draws with matplotlib: pip install -e '.[benchmarks]'")
