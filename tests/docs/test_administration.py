"""docs/administration.md against the code: every route, and every field of a revocation."""

import re

from itemwire import create_app
from itemwire.settings import Settings
from itemwire_auth.tokens.minting import new_secret
from tests.docs.pages import page

TEXT = page("administration.md")


def test_lists_every_route() -> None:
    """An operator finds here each thing that can be done to a server."""
    app = create_app(Settings(secret=new_secret(), admin=True, _env_file=None))
    served = {
        f"{method.upper()} {path}"
        for path, methods in app.openapi()["paths"].items()
        if path.startswith("/admin/")
        for method in methods
    }

    assert set(re.findall(r"^\| `([A-Z]+ /admin/[^`?]+)", TEXT, re.MULTILINE)) == served


def test_lists_every_field_of_a_revocation() -> None:
    """A revocation that is restricted by a field that does not exist would be refused."""
    app = create_app(Settings(secret=new_secret(), admin=True, _env_file=None))
    body = app.openapi()["paths"]["/admin/revocations"]["post"]["requestBody"]
    fields = body["content"]["application/json"]["schema"]["properties"]
    shown = TEXT.partition("| field |")[2].partition("\n\n")[0]

    assert set(re.findall(r"^\| `(\w+)` \|", shown, re.MULTILINE)) == set(fields)
