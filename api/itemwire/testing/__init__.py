"""The pytest kit: real servers, clients with time limits, and attacks with good twins.

Names are loaded on first use (PEP 562): pytest imports this package at every start, and a run that
does not use the kit must not pay for it.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from itemwire.testing.attacks import ATTACKS
    from itemwire.testing.clients import AsyncChannelClient, ChannelClient
    from itemwire.testing.clock import Clock
    from itemwire.testing.model import Attack, Endpoint, Fault
    from itemwire.testing.published import Published
    from itemwire.testing.raw_handshakes import Answer, RawHandshake, Refreshing
    from itemwire.testing.refusals import Ended, Refusal
    from itemwire.testing.reports import Blocked, Report, Verdict, faults
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
    from itemwire.testing.trials import Trial, attacks_for, run_attacks
    from itemwire_auth.testing import Severity

__all__ = [
    "ATTACKS",
    "BEARER",
    "COOKIE",
    "QUERY",
    "SUBPROTOCOL",
    "Answer",
    "AsyncChannelClient",
    "Attack",
    "Blocked",
    "ChannelClient",
    "Clock",
    "Ended",
    "Endpoint",
    "Fault",
    "LiveServer",
    "Published",
    "RawHandshake",
    "Refreshing",
    "Refusal",
    "Report",
    "Route",
    "Severity",
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
    "raw_handshakes": ["Answer", "RawHandshake", "Refreshing"],
    "model": ["Attack", "Endpoint", "Fault"],
    "published": ["Published"],
    "refusals": ["Ended", "Refusal"],
    "reports": ["Blocked", "Report", "Verdict", "faults"],
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
    "trials": ["Severity", "Trial", "attacks_for", "run_attacks"],
}
_HOMES: Final = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - PEP 562: any object of the kit
    """Return an object of the kit, loading its module if needed."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """Return the names of the kit."""
    return __all__
