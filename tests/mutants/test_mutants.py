"""The tool that puts faults into the code: which ones, where, how they are tried and counted."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutants.__main__ import EQUIVALENT, ROOT, chosen, interval, name_of, report
from tests.mutants.operators import Mutation, mutations_of
from tests.mutants.scope import mirrors_of, package_of, sources
from tests.mutants.trying import Copy, NotClean

SOURCES = {path: (ROOT / path).read_text() for path in sources(ROOT)}


def changes(source: str) -> list[str]:
    """List the faults for a source text."""
    return [one.change for one in mutations_of("a.py", source)]


@pytest.mark.parametrize(
    ("source", "change"),
    [
        pytest.param("a < b", "a < b -> a <= b", id="bound"),
        pytest.param("a == b", "a == b -> a != b", id="equality"),
        pytest.param("a in b", "a in b -> a not in b", id="membership"),
        pytest.param("a is None", "a is None -> a is not None", id="identity"),
        pytest.param("a and b", "a and b -> (a or b)", id="and"),
        pytest.param("not a", "not a -> a", id="not"),
        pytest.param("a + b", "a + b -> (a - b)", id="arithmetic"),
        pytest.param("a if b else c", "a if b else c -> (c if b else a)", id="choice"),
        pytest.param("a = 7", "7 -> 8", id="number"),
        pytest.param("MAX_COOKIES: Final = 200", "200 -> 201", id="promised number"),
        pytest.param("size: int = 2", "2 -> 3", id="default"),
        pytest.param("a = True", "True -> False", id="truth"),
        pytest.param("a = 'word'", "'word' -> \"not_word\"", id="word"),
        pytest.param("if a: b", "a -> (not a)", id="condition"),
        pytest.param("def f():\n  return a", "return a -> return None", id="return"),
        pytest.param("f(a)", "f(a) -> pass", id="call"),
        pytest.param("a.b = c", "a.b = c -> pass", id="attribute"),
        pytest.param("raise a", "raise a -> pass", id="raise"),
        pytest.param("a = f(b, c=d)", "f(b, c=d) -> f(b)", id="argument"),
    ],
)
def test_makes_a_fault_of_each_kind(source: str, change: str) -> None:
    """One at a time, each in the place of the text that it changes."""
    assert change in changes(source)


@pytest.mark.parametrize(
    "source",
    [
        '"""A docstring with 1 == 2."""',
        'logger.warning("refused reason=%r", 1 == 2)',
        "if TYPE_CHECKING:\n  a = 1",
        '__slots__ = ("a", "b")',
        'NAME: Final = "word"',
        "SIZE: Final = 64 * 1024",
        "def f(a: Literal[1]) -> Literal[2]: ...",
        "@dataclass(frozen=True)\nclass A: ...",
        "Verdict = Grant | Denied",
        'a = f"{b + 1}"',
        "a = 'a sentence for people'",
    ],
)
def test_passes_over_what_no_test_could_see(source: str) -> None:
    """Text for people, what only a checker reads, and log lines."""
    assert changes(source) == []


def test_every_fault_is_valid_python_of_its_own() -> None:
    """A fault that does not parse would be found by any test, and say nothing of them."""
    for path, text in SOURCES.items():
        mutations = mutations_of(path, text)
        changed = [one.applied(text.encode()) for one in mutations]
        assert text.encode() not in changed
        assert len({str(one) for one in mutations}) == len(mutations)
        for source in changed[::20]:
            ast.parse(source)


def test_every_file_has_tests_that_mirror_it() -> None:
    """And every test that the table names is there."""
    tests = {path: mirrors_of(ROOT, path) for path in SOURCES if mutations_of(path, SOURCES[path])}

    assert [path for path, found in tests.items() if not found] == []
    missing = {one for found in tests.values() for one in found if not (ROOT / one).exists()}
    assert missing == set()
    assert mirrors_of(ROOT, "auth/itemwire_auth/tokens/claims.py")[0] == (
        "tests/auth/tokens/test_claims.py"
    )
    assert package_of("api/itemwire/channels/cluster/peer.py") == "api/itemwire/channels/cluster"


def test_the_same_seed_chooses_the_same_faults() -> None:
    """A greater number adds to them; another seed chooses others."""
    few, many = chosen("", 1, 5), chosen("", 1, 50)

    assert many[:5] == few
    assert len(many) == 50
    assert chosen("", 2, 5) != few
    assert {one.path for one in chosen("auth/itemwire_auth/scopes.py", 1, 9)} == {
        "auth/itemwire_auth/scopes.py"
    }


def test_every_equivalent_fault_is_one_and_says_why() -> None:
    """A line that names no fault any more hides nothing, and is to be removed."""
    lines = [one for one in EQUIVALENT.read_text().splitlines() if one and one[0] != "#"]
    names = {
        name_of(one, text) for path, text in SOURCES.items() for one in mutations_of(path, text)
    }

    assert [line for line in lines if line.partition(" # ")[0].strip() not in names] == []
    assert all(line.partition(" # ")[2].strip() for line in lines)


def test_scores_a_share_with_wilsons_interval() -> None:
    """Values from the formula's literature: also sensible where all or none was found."""
    assert interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert interval(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert interval(20, 20) == pytest.approx((0.8389, 1.0), abs=1e-4)


def test_reports_by_package_and_names_the_survivors() -> None:
    """Those that were found are only counted."""
    found, survived = mutations_of("auth/itemwire_auth/a.py", "a = 1 == b")[:2]
    lines = report({found: True, survived: False}).splitlines()

    assert lines[0].split()[:4] == ["auth/itemwire_auth", "1", "of", "2"]
    assert lines[-1] == f"survived {survived}"
    assert not any(str(found) in line for line in lines)


SOURCE = "def least(a: int) -> bool:\n    return a >= 1\n"


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """Copy a small project of one function and one test, which misses the bound."""
    for name, text in {
        "auth/itemwire_auth/a.py": SOURCE,
        "tests/auth/test_a.py": (
            "from itemwire_auth.a import least\ndef test_a():\n"
            "    assert least(5) and not least(0)\n"
        ),
        "auth/itemwire_auth/b.py": SOURCE,
        "tests/auth/test_b.py": "def test_b():\n    assert False\n",
        "auth/itemwire_auth/__init__.py": "",
        "pyproject.toml": "",
    }.items():
        file = tmp_path / "project" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return Copy.of(tmp_path / "project", tmp_path / "copy", {})


@pytest.mark.server
def test_tries_each_fault_on_a_copy(copy: Copy, tmp_path: Path) -> None:
    """A fault that a test sees is found, one that none sees survives, and both are undone."""
    outcomes = {
        one.change: copy.is_killed(one) for one in mutations_of("auth/itemwire_auth/a.py", SOURCE)
    }

    assert outcomes == {
        "return a >= 1 -> return None": True,
        "a >= 1 -> a > 1": False,
        "1 -> 2": False,
    }
    for folder in ("project", "copy"):
        assert (tmp_path / folder / "auth/itemwire_auth/a.py").read_text() == SOURCE


@pytest.mark.server
@pytest.mark.parametrize("name", ["b", "c"])
def test_says_nothing_where_the_tests_fail_by_themselves(copy: Copy, name: str) -> None:
    """Or where there are none."""
    path = f"auth/itemwire_auth/{name}.py"
    fault = Mutation(path, 1, 0, 0, 1, "d", "e")

    with pytest.raises(NotClean, match=path):
        copy.is_killed(fault)


@pytest.mark.server
def test_a_fault_that_never_ends_is_found(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests have a time limit, and nothing of them goes on after it."""
    monkeypatch.setattr("tests.mutants.trying.MIN_SECONDS", 3)
    monkeypatch.setattr("tests.mutants.trying.SLOWER", 0)
    path = "auth/itemwire_auth/a.py"
    start = SOURCE.index("return")
    loop = Mutation(path, 2, 4, start, len(SOURCE), SOURCE[start:], "\n    while True: pass\n")

    assert copy.is_killed(loop)
