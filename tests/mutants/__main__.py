"""Scores the tests by the faults they find: `python -m tests.mutants --seed 1 --count 400`.

Exits with 1 if fewer than 90 of 100 faults are found.
"""

from __future__ import annotations

import math
import queue
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Final

import click

from tests.mutants.operators import Mutation, mutations_of
from tests.mutants.scope import package_of, sources
from tests.mutants.trying import Copy, NotClean

ROOT: Final = Path(__file__).parents[2]
EQUIVALENT: Final = Path(__file__).with_name("equivalent.txt")
MIN_SCORE: Final = 0.9
Z: Final = 1.96  # of 95 %

Outcomes = dict[Mutation, bool]  # whether each mutation was found


def equivalents() -> set[str]:
    """Return the mutations that no test can find, as `path | line of source | before -> after`."""
    lines = [one for one in EQUIVALENT.read_text().splitlines() if one and one[0] != "#"]
    return {one.partition(" # ")[0].strip() for one in lines}


def name_of(mutation: Mutation, source: str) -> str:
    """Return a mutation's name in the list of equivalent ones: by text, since lines move."""
    line = source.splitlines()[mutation.line - 1].strip()
    return f"{mutation.path} | {line} | {mutation.change}"


def chosen(only: str, seed: int, count: int) -> list[Mutation]:
    """Choose mutations by a seed: with a greater count, the same ones and more."""
    texts = {path: (ROOT / path).read_text() for path in sources(ROOT, only)}
    candidates = [one for path, text in texts.items() for one in mutations_of(path, text)]
    random.Random(seed).shuffle(candidates)  # noqa: S311 - a sample, not a secret
    known = equivalents()
    return [one for one in candidates if name_of(one, texts[one.path]) not in known][:count]


def interval(found: int, count: int) -> tuple[float, float]:
    """Return Wilson's interval of 95 % for a share."""
    share, square = found / count, Z * Z / count
    middle = share + square / 2
    spread = Z * math.sqrt(share * (1 - share) / count + square / count / 4)
    return (middle - spread) / (1 + square), (middle + spread) / (1 + square)


def tried(mutations: Sequence[Mutation], jobs: int) -> Iterator[tuple[Mutation, bool]]:
    """Yield each mutation and whether it was found, as they are tried.

    One whose tests fail without it says nothing, so it is reported and left out.
    """
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(jobs) as pool:
        copies: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        seconds: dict[tuple[str, ...], float] = {}
        for number in range(jobs):
            copies.put(Copy.of(ROOT, Path(folder) / str(number), seconds))

        def is_killed(mutation: Mutation) -> bool:
            copy = copies.get()
            try:
                return copy.is_killed(mutation)
            finally:
                copies.put(copy)

        running = {pool.submit(is_killed, one): one for one in mutations}
        try:
            for done in as_completed(running):
                if isinstance(problem := done.exception(), NotClean):
                    click.echo(f"not tried: {problem}", err=True)
                else:
                    yield running[done], done.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def report(outcomes: Outcomes) -> str:
    """Return the table by package, and the mutations that no test has found, by place."""
    packages: dict[str, list[bool]] = {}
    for mutation, is_found in outcomes.items():
        packages.setdefault(package_of(mutation.path), []).append(is_found)
    lines = [_row(package, packages[package]) for package in sorted(packages)]
    survivors = sorted(f"survived {one}" for one, is_found in outcomes.items() if not is_found)
    return "\n".join([*lines, _row("all", list(outcomes.values())), *survivors])


def _row(name: str, found: list[bool]) -> str:
    low, high = interval(sum(found), len(found))
    share = sum(found) / len(found)
    return f"{name:32} {sum(found):4} of {len(found):4} {share:6.1%} ({low:.1%} to {high:.1%})"


def found_before(log: Path | None) -> set[str]:
    """Return the mutations that a log of an earlier run has as found."""
    lines = log.read_text().splitlines() if log and log.exists() else []
    return {line.removeprefix("found ") for line in lines if line.startswith("found ")}


@click.command()
@click.option("--seed", default=1, show_default=True, help="Which mutations are chosen.")
@click.option("--count", default=400, show_default=True, help="How many of them.")
@click.option("--jobs", default=1, show_default=True, help="How many are tried at once.")
@click.option("--only", default="", metavar="PATH", help="A file or folder in place of all.")
@click.option(
    "--log",
    type=click.Path(path_type=Path),
    help="Append each outcome; what the file has as found already is not tried again.",
)
def main(seed: int, count: int, jobs: int, only: str, log: Path | None) -> None:
    """Put faults into a copy of the code, one at a time, and count those that a test finds."""
    known = found_before(log)
    mutations = chosen(only, seed, count)
    outcomes: Outcomes = dict.fromkeys((one for one in mutations if str(one) in known), True)
    try:
        for mutation, is_found in tried([one for one in mutations if str(one) not in known], jobs):
            outcomes[mutation] = is_found
            line = f"{'found' if is_found else 'survived'} {mutation}"
            click.echo(line, err=True)
            if log:
                with log.open("a") as file:
                    file.write(f"{line}\n")
    except KeyboardInterrupt:
        click.echo("interrupted: the score is of those that were tried", err=True)
    click.echo(report(outcomes))
    sys.exit(sum(outcomes.values()) < MIN_SCORE * len(outcomes))


if __name__ == "__main__":
    main()
