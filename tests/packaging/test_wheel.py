"""The wheel, in a project that has an `api`, an `auth` and a `tests` of its own."""

import sys
import sysconfig
import textwrap
import zipfile
from pathlib import Path

import pytest

from tests.packaging.building import build, run

PROJECT = {
    "api/__init__.py": "",
    "api/main.py": """
        from starlette.applications import Starlette
        from starlette.responses import PlainTextResponse
        from starlette.routing import Route

        async def whose(request):
            return PlainTextResponse("theirs")

        app = Starlette(routes=[Route("/", whose)])
        """,
    "auth/__init__.py": "WHOSE = 'theirs'",
    "tests/__init__.py": "",
    "tests/test_theirs.py": """
        import sys
        from pathlib import Path

        import httpx
        import itemwire
        import itemwire_auth

        import api.main
        import auth

        HERE = Path(__file__).parents[1]

        def test_their_modules_are_their_own():
            assert Path(api.main.__file__) == HERE / "api" / "main.py"
            assert Path(auth.__file__) == HERE / "auth" / "__init__.py"
            assert auth.WHOSE == "theirs"

        def test_itemwire_comes_from_the_wheel():
            for package in (itemwire, itemwire_auth):
                assert Path(package.__file__).is_relative_to(sys.prefix)

        def test_the_kit_serves_itemwire(itemwire_server, itemwire_tokens):
            path = f"/items/42/ws?token={itemwire_tokens.good()}"
            with itemwire_server.client(path) as client:
                client.publish("hello")
                assert client.message()["data"] == "hello"

        def test_the_kit_serves_their_application(itemwire_serve):
            assert httpx.get(itemwire_serve(api.main.app).url).text == "theirs"

        def test_the_kit_has_a_clock(itemwire_clock):
            itemwire_clock.advance(60)
        """,
}
TESTS = 5


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel of this checkout."""
    return build("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into a fresh environment and return the folder of its programs.

    What the wheel depends on is found where it is installed for this run. Only the folder itself
    is added: Python follows no `.pth` file in it, so an editable install of ours is not seen.
    """
    environment = tmp_path_factory.mktemp("foreign") / "venv"
    run([sys.executable, "-m", "venv", "--without-pip", environment], environment.parent)
    python = environment / "bin" / "python"
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", python]
    run(
        [*pip, "install", "--disable-pip-version-check", "--no-deps", "--no-index", wheel],
        environment.parent,
    )
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pytest_program = environment / "bin" / "pytest"
    pytest_program.write_text(f"#!{python}\nimport sys, pytest\nsys.exit(pytest.main())\n")
    pytest_program.chmod(0o755)
    return python.parent


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Write somebody else's project, laid out as thousands are."""
    for name, text in PROJECT.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return tmp_path / "project"


def test_installs_two_packages_and_nothing_else(wheel: Path) -> None:
    """A name that is not ours alone hides its user's own."""
    with zipfile.ZipFile(wheel) as archive:
        top = {name.partition("/")[0] for name in archive.namelist()}

    assert top == {"itemwire", "itemwire_auth", f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"}


def test_has_the_javascript_client(wheel: Path) -> None:
    """The server serves it; in the repository it lies with the npm package."""
    source = Path(__file__).parents[2] / "clients" / "js" / "itemwire.js"
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read("itemwire/web/itemwire.js") == source.read_bytes()


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("pytest",), id="pytest"),
        pytest.param(("python", "-m", "pytest"), id="python -m pytest"),
        # In this mode pytest puts no folder on the path by itself.
        pytest.param(("pytest", "--import-mode=importlib", "-o", "pythonpath=."), id="importlib"),
    ],
)
def test_leaves_a_project_its_own_modules(
    programs: Path, project: Path, command: tuple[str, ...]
) -> None:
    """Their tests import their modules, and the fixtures of the kit work beside them."""
    program, *options = command
    printed = run([programs / program, *options, "-p", "no:cacheprovider", "-q"], project)

    assert f"{TESTS} passed" in printed


def test_brings_the_command(programs: Path, tmp_path: Path) -> None:
    """It starts outside of the checkout."""
    assert "Usage: itemwire" in run([programs / "itemwire", "--help"], tmp_path)
