"""The project's own files: what an install takes, and what must not be in them."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
SOURCES = [*ROOT.glob("api/itemwire/**/*.py"), *ROOT.glob("auth/itemwire_auth/**/*.py")]
FOLDERS = ("api", "auth", "benchmarks", "docs", "tests", ".ci")
LONGEST = 400  # lines; past 300, look for the second concept and give it a file
LEGS = ("oldest", "middle", "newest")
TOKEN_MAKERS = {"good", "mint", "token"}
LIFETIMES = {"exp", "lifetime"}  # arguments that say how long a token lasts
PINS = (ROOT / "constraints.txt").read_text().splitlines()


def pinned() -> set[str]:
    """The names of what constraints.txt pins."""
    return {canonicalize_name(line.partition("==")[0]) for line in PINS}


def test_constraints_are_names_and_versions_only() -> None:
    """An address in it would tie every install to one registry."""
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in PINS)


@pytest.mark.parametrize("leg", LEGS)
def test_so_are_those_of_the_other_versions(leg: str) -> None:
    """Each pins what `.ci/versions` must not take from constraints.txt."""
    lines = (ROOT / "constraints" / f"{leg}.txt").read_text().splitlines()

    assert lines[0].startswith("# ")
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in lines[1:])


def test_the_oldest_versions_are_the_least_that_pip_takes() -> None:
    """A floor that no test runs on is a guess."""
    pins = {
        canonicalize_name(name): version
        for name, _, version in (
            line.partition("==")
            for line in (ROOT / "constraints/oldest.txt").read_text().splitlines()[1:]
        )
    }
    needed = [Requirement(text) for text in distribution("itemwire").requires or []]
    floors = {
        canonicalize_name(one.name): next(iter(one.specifier))
        for one in needed
        if "extra" not in str(one.marker)
    }

    assert {name: floor.operator for name, floor in floors.items() if floor.operator != ">="} == {}
    assert {
        name: pins.get(name)
        for name, floor in floors.items()
        if Version(pins.get(name, "0")) != Version(floor.version)
    } == {}


def test_everything_that_an_install_takes_is_pinned() -> None:
    """What is not pinned is another version tomorrow."""
    wanted = {"itemwire"}
    seen: set[str] = set()
    while wanted:
        name = wanted.pop()
        seen.add(name)
        for text in distribution(name).requires or []:
            requirement = Requirement(text)
            extra = {"extra": "dev" if name == "itemwire" else ""}
            needed = requirement.marker is None or requirement.marker.evaluate(extra)
            wanted |= {canonicalize_name(requirement.name)} - seen if needed else set()

    assert seen - pinned() == {"itemwire"}


def test_the_pins_are_what_is_installed() -> None:
    """The tests speak for the versions that users get."""
    installed = {canonicalize_name(d.name): d.version for d in distributions()}
    pins = {canonicalize_name(n): v for n, _, v in (line.partition("==") for line in PINS)}

    assert {name: installed[name] for name in pins if name in installed} == {
        name: version for name, version in pins.items() if name in installed
    }


def test_every_public_name_says_shortly_what_it_is() -> None:
    """The first line of a docstring is what an editor shows, in one line."""
    missing, long = [], []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, DOCUMENTED):
                continue
            first = (ast.get_docstring(node) or "").partition("\n")[0]
            if isinstance(node, ast.Module) and not first:
                missing.append(path.name)
            if len(first) > 88:
                long.append(first)

    assert (missing, long) == ([], [])


def test_a_public_class_name_stands_for_one_thing() -> None:
    """Anyone who searches for a name finds one class, and an error that shows it is clear."""
    homes = defaultdict(list)
    for path in SOURCES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(str(path.relative_to(ROOT)))

    twice = [f"{name}: {', '.join(found)}" for name, found in homes.items() if len(found) > 1]
    assert not twice, "\n".join(["more than one class has the name", *sorted(twice)])


def test_no_file_is_longer_than_its_reader_keeps_in_mind() -> None:
    """A test file too is about one thing: who looks for a test finds it by the file's name."""
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}

    assert len(lines) > len(SOURCES)
    assert {name: count for name, count in lines.items() if count > LONGEST} == {}


def test_no_token_of_a_test_expires_before_its_turn_comes() -> None:
    """One that is made when tests are collected waits for its test, on a busy machine for long."""
    short = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path in (ROOT / "tests").rglob("*.py")
        if "clock=" not in (text := path.read_text())  # its time stands still
        for call in _calls_at_import(ast.parse(text))
        if _name_of(call) in TOKEN_MAKERS and not LIFETIMES & {one.arg for one in call.keywords}
    ]

    assert short == []


def _calls_at_import(tree: ast.Module) -> Iterator[ast.Call]:
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += node.decorator_list
            continue
        if isinstance(node, ast.Call):
            yield node
        waiting += ast.iter_child_nodes(node)


def _name_of(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
