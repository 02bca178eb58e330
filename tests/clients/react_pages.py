"""Pages with React and the client's hooks, as ES modules in a browser, without a bundler."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.clients.node import CLIENT, MODULES, need_node, run

PACKAGES: Final = {
    "react": "react/cjs/react.development.js",
    "react/jsx-runtime": "react/cjs/react-jsx-runtime.development.js",
    "react-dom": "react-dom/cjs/react-dom.development.js",
    "react-dom/client": "react-dom/cjs/react-dom-client.development.js",
    "scheduler": "scheduler/cjs/scheduler.development.js",
}
"""The builds for development: in others, StrictMode does nothing."""

LOADER: Final = """
const process = { env: { NODE_ENV: "development" } };
const loaded = {};
export function load(name) {
  if (!loaded[name]) {
    loaded[name] = { exports: {} };
    packages[name](loaded[name].exports, load, loaded[name]);
  }
  return loaded[name].exports;
}
"""


def with_react(app: ASGIApp, program: str) -> ASGIApp:
    """Return an application that also has a page at `/react/`, which runs a module with React.

    The module may import `react`, `react-dom/client`, `itemwire` and `itemwire/react`. The page
    comes from the server, because Chromium lets no other connect to this machine.
    """
    need_node()
    files = {f"/react/{path}": text for path, text in _files(program).items()}

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        text = files.get(scope.get("path", ""))
        if text is None:
            await app(scope, receive, send)
        else:
            kind = "text/javascript" if scope["path"].endswith(".js") else "text/html"
            await Response(text, media_type=kind)(scope, receive, send)

    return answer


def compiled(source: Path, folder: Path) -> str:
    """Return the JavaScript of a file with JSX."""
    need_node()
    flags = ("--allowJs", "--noCheck", "--noResolve", "--jsx", "react-jsx", "--outDir", folder)
    target = ("--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler")
    run(["node", MODULES / "typescript" / "bin" / "tsc", *flags, *target, source], folder)
    return (folder / source.with_suffix(".js").name).read_text()


def _files(program: str) -> Mapping[str, str]:
    """Return what is served: React and the hooks as modules, and the page that loads them."""
    sources = {name: (MODULES / path).read_text() for name, path in PACKAGES.items()}
    addresses = {name: f"./{name.replace('/', '-')}.js" for name in sources}
    imports = {**addresses, "itemwire": "/live/itemwire.js", "itemwire/react": "./hooks.js"}
    imported = json.dumps({"imports": imports})
    return {
        **{addresses[name][2:]: _module(name, source) for name, source in sources.items()},
        "packages.js": _packages(sources),
        "hooks.js": (CLIENT / "react.js").read_text(),
        "program.js": program,
        "": f"""<!doctype html>
            <div id="root"></div>
            <script type="importmap">{imported}</script>
            <script type="module" src="./program.js"></script>""",
    }


def _packages(sources: Mapping[str, str]) -> str:
    functions = ",\n".join(
        f"{json.dumps(name)}(exports, require, module) {{\n{source}\n}}"
        for name, source in sources.items()
    )
    return f"{LOADER}\nconst packages = {{\n{functions}\n}};"


def _module(name: str, source: str) -> str:
    names = ", ".join(sorted(set(re.findall(r"\bexports\.(\w+) =", source))))
    return f"""
        import {{ load }} from "./packages.js";
        export const {{ {names} }} = load({json.dumps(name)});
    """
