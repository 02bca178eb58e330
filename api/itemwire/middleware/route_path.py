"""Where a request goes within the application, wherever that is mounted."""

from starlette.types import Scope


def route_path(scope: Scope) -> str:
    """Return the path of a request without the prefix under which the application is mounted.

    `path` of an ASGI scope is the whole path, also in a mounted application; `root_path` is the
    prefix. A server whose proxy takes the prefix off leaves it out of `path`.
    """
    path: str = scope["path"]
    prefix: str = scope.get("root_path", "")
    below = path.removeprefix(prefix)
    return path if below and not below.startswith("/") else below
