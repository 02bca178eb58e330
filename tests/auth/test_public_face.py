"""Tests of itemwire_auth/__init__.py: a package of its own, loaded as far as it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import itemwire_auth

pytestmark = pytest.mark.server  # each runs an interpreter

HEAVY = ("cryptography", "fastapi", "httpx", "jwt", "pydantic", "starlette")

# A fresh interpreter in which `itemwire` cannot be imported, as where only this package is.
ALONE = """
import importlib.abc, pkgutil, sys

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "itemwire":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
"""


def run(code: str) -> str:
    """Run a program in a fresh interpreter and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE + code], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def loaded_by(statement: str) -> list[str]:
    """Return which of the heavy packages a statement loads."""
    program = f"{statement}\nprint(*(name for name in {HEAVY!r} if name in sys.modules))"
    return run(program).split()


@pytest.mark.parametrize(
    "statement",
    [
        "import itemwire_auth",
        "from itemwire_auth import Action, Forbidden, Grant, Identity, Principal, ScopeSet",
        "from itemwire_auth import Policy, TokenRights",
    ],
)
def test_loads_no_framework_before_it_is_needed(statement: str) -> None:
    """The core of channels uses these names, and pytest imports it at every start."""
    assert loaded_by(statement) == []


def test_loads_the_framework_with_a_name_that_needs_it() -> None:
    """The twin: the list above would be empty, too, if nothing worked."""
    assert "fastapi" in loaded_by("from itemwire_auth import CurrentPrincipal")


def test_every_module_works_without_itemwire() -> None:
    """It can be used alone in any FastAPI application."""
    program = """
import itemwire_auth
for module in pkgutil.walk_packages(itemwire_auth.__path__, "itemwire_auth."):
    __import__(module.name)
for name in itemwire_auth.__all__:
    getattr(itemwire_auth, name)
print("itemwire" in sys.modules, "itemwire_auth.dependencies" in sys.modules)
"""
    assert run(program) == "False True"


def test_an_application_of_its_own_lets_a_caller_in() -> None:
    """The lines of the package's docstring, as somebody without channels would write them."""
    program = """
from fastapi import FastAPI
from fastapi.testclient import TestClient
from itemwire_auth import AuthSettings, CurrentPrincipal, build_authenticator, install_auth
from itemwire_auth.keys.static import signing_key_from_secret
from itemwire_auth.tokens.minting import mint, new_secret

secret = new_secret()
app = FastAPI()
install_auth(app, build_authenticator(AuthSettings(secret=secret)))

@app.get("/me")
async def me(principal: CurrentPrincipal) -> str:
    return principal.subject

token = mint(signing_key_from_secret(secret), subject="alice", lifetime=60)
client = TestClient(app)
print(client.get("/me").status_code, end=" ")
print(client.get("/me", headers={"Authorization": f"Bearer {token}"}).json())
"""
    assert run(program) == "401 alice"


def test_lists_every_public_name_and_no_other() -> None:
    """A name that is promised is there; one that is not raises as in any module."""
    names = [name for name in itemwire_auth.__all__ if not hasattr(itemwire_auth, name)]

    assert names == []
    assert dir(itemwire_auth) == sorted(itemwire_auth.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        itemwire_auth.Nothing  # noqa: B018 - the access is what is tested
