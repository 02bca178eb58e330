"""The pytest kit: real servers, clients whose waits end, and attacks with their twins.

Names are loaded when they are asked for: pytest imports this package at every start, and a run
that uses none of it must pay for none of it.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from itemwire.testing.attacks import ATTACKS
    from itemwire.testing.clients import AsyncChannelClient, ChannelClient
    from itemwire.testing.clock import Clock
    from itemwire.testing.knocks import Answer, Knock, Refreshing
    from itemwire.testing.model import Attack, Door, Fault
    from itemwire.testing.refusals import Ended, Refusal
    from itemwire.testing.routes import (
        BEARER,
        COOKIE,
        QUERY,
        SUBPROTOCOL,
        Route,
        Source,
        Ticketing,
        itemwire_route,
    )
    from itemwire.testing.servers import (
        LiveServer,
        live_application,
        live_server,
        settings_for,
    )
    from itemwire.testing.trials import Report, Trial, Verdict, attacks_for, faults, run_attacks

__all__ = [
    "ATTACKS",
    "BEARER",
    "COOKIE",
    "QUERY",
    "SUBPROTOCOL",
    "Answer",
    "AsyncChannelClient",
    "Attack",
    "ChannelClient",
    "Clock",
    "Door",
    "Ended",
    "Fault",
    "Knock",
    "LiveServer",
    "Refreshing",
    "Refusal",
    "Report",
    "Route",
    "Source",
    "Ticketing",
    "Trial",
    "Verdict",
    "attacks_for",
    "faults",
    "itemwire_route",
    "live_application",
    "live_server",
    "run_attacks",
    "settings_for",
]

_MODULES: Final = {
    "attacks": ["ATTACKS"],
    "clients": ["AsyncChannelClient", "ChannelClient"],
    "clock": ["Clock"],
    "knocks": ["Answer", "Knock", "Refreshing"],
    "model": ["Attack", "Door", "Fault"],
    "refusals": ["Ended", "Refusal"],
    "routes": [
        "BEARER",
        "COOKIE",
        "QUERY",
        "SUBPROTOCOL",
        "Route",
        "Source",
        "Ticketing",
        "itemwire_route",
    ],
    "servers": ["LiveServer", "live_application", "live_server", "settings_for"],
    "trials": ["Report", "Trial", "Verdict", "attacks_for", "faults", "run_attacks"],
}
_HOMES: Final = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - PEP 562: whatever the name stands for
    """Load the module that has a name."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """List the names that can be asked for."""
    return __all__
