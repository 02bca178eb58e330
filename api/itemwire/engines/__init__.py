"""The engines that carry messages between nodes: one interface, each loaded on demand."""

from importlib import import_module
from types import ModuleType
from typing import Final

from itemwire.engines.base import ChannelBounds, Engine
from itemwire.engines.named import NamedBounds, NamedEngine, prefix_of
from itemwire.engines.report import EngineReport

ENGINES: Final[dict[str, str]] = {
    "memory": "itemwire.engines.memory",
    "sqlite": "itemwire.engines.sqlite.engine",
    "postgres": "itemwire.engines.postgres.engine",
    "postgresql": "itemwire.engines.postgres.engine",
    **dict.fromkeys(
        (
            "redis",
            "rediss",
            "redis+cluster",
            "redis+sentinel",
            "redis+unix",
            "unix",
            "valkey",
            "valkeys",
        ),
        "itemwire.engines.redis.opening",
    ),
    "nats": "itemwire.engines.nats.engine",
    "tls": "itemwire.engines.nats.engine",
    "itemwire+unix": "itemwire.engines.unix.engine",
}
"""The module of each URL scheme; it has `open_engine(url, bounds)`."""

OF_WORKERS: Final = "itemwire+unix"
"""The scheme that a supervisor gives its workers, to reach the engine that they share."""

UNSHARED: Final = frozenset({"memory", "sqlite"})
"""Engines that live in one process: several workers would not share anything."""


PREPARED: Final = frozenset({"postgres", "postgresql"})
"""Engines whose store `itemwire engine init` makes; their modules have `init_store(url)`."""


CHECKUPS: Final[dict[str, str]] = {
    "itemwire.engines.nats.engine": "itemwire.engines.nats.checkup",
    "itemwire.engines.postgres.engine": "itemwire.engines.postgres.checkup",
    "itemwire.engines.redis.opening": "itemwire.engines.redis.checkup",
    "itemwire.engines.sqlite.engine": "itemwire.engines.sqlite.checkup",
}
"""By the module of an engine, the one that asks its server about itself: `examine(url)`."""


EXTRAS: Final[dict[str, str]] = {
    "itemwire.engines.nats.engine": "nats",
    "itemwire.engines.postgres.engine": "postgres",
    "itemwire.engines.redis.opening": "redis",
}
"""The extra that installs the client library of an engine's module."""


def open_engine(url: str, bounds: ChannelBounds, name: str = "") -> Engine:
    """Return the engine that a URL names; ValueError says which exist, or what to install.

    With a `name` it is a part of that engine, which those with other names do not share.
    """
    prefix = prefix_of(name)
    inner_bounds = NamedBounds(bounds, prefix) if prefix else bounds
    engine: Engine = _load(_scheme_of(url)).open_engine(url, inner_bounds)
    return NamedEngine(engine, prefix) if prefix else engine


def init_store(url: str) -> str:
    """Make or update an engine's store, and return what was done; EngineError says why not."""
    scheme = _scheme_of(url)
    if scheme not in PREPARED:
        return f"{scheme}:// needs no preparation."
    done: str = _load(scheme).init_store(url)
    return done


async def examine_store(url: str) -> EngineReport | None:
    """Return what an engine's server says of itself; None where there is none to ask.

    EngineError says why it does not answer, ValueError what is wrong with the URL.
    """
    scheme = _scheme_of(url)
    _load(scheme)  # which says what to install
    module = CHECKUPS.get(ENGINES[scheme])
    if module is None:
        return None
    report: EngineReport = await import_module(module).examine(url)
    return report


def _load(scheme: str) -> ModuleType:
    module = ENGINES[scheme]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if module not in EXTRAS:
            raise
        raise ValueError(
            f"ITEMWIRE_ENGINE_URL names {scheme}://, and its client is not installed ({error}): "
            f"pip install 'itemwire[{EXTRAS[module]}]'"
        ) from error


def _scheme_of(url: str) -> str:
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in ENGINES:
        known = ", ".join(f"{name}://" for name in ENGINES if name != OF_WORKERS)
        raise ValueError(f"engine {scheme!r} is not known: ITEMWIRE_ENGINE_URL takes {known}")
    return scheme
