"""Engines: what is between nodes. One file each behind one interface, loaded on demand."""

from importlib import import_module
from typing import Final

from api.engines.base import Bounds, Engine

ENGINES: Final[dict[str, str]] = {
    "memory": "api.engines.memory",
    "sqlite": "api.engines.sqlite",
    "redis": "api.engines.redis",
    "rediss": "api.engines.redis",
    "redis+cluster": "api.engines.redis",
}
"""The module of each URL scheme; it has `open_engine(url, bounds)`."""

UNSHARED: Final = frozenset({"memory", "sqlite"})
"""Engines that live in one process: several workers would be several worlds."""


def open_engine(url: str, bounds: Bounds) -> Engine:
    """Make the engine an URL names; ValueError says which there are."""
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in ENGINES:
        known = ", ".join(f"{name}://" for name in ENGINES)
        raise ValueError(f"engine {scheme!r} is not known: ITEMWIRE_ENGINE_URL takes {known}")
    engine: Engine = import_module(ENGINES[scheme]).open_engine(url, bounds)
    return engine
