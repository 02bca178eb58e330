"""Live channels for FastAPI, one per item: public names, loaded on first use."""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from itemwire.app import Channel, Itemwire
    from itemwire.engines.base import EngineError
    from itemwire.main import create_app
    from itemwire.messages import Member
    from itemwire.publisher import AsyncPublisher, Publisher, PublishRefused
    from itemwire.rules.payloads import NewMessage
    from itemwire.settings import Settings
    from itemwire.subscribing import ItemMessage, MessagesLost
    from itemwire_auth.errors import ChannelException
    from itemwire_auth.rights import Rights

__all__ = [
    "AsyncPublisher",
    "Channel",
    "ChannelException",
    "EngineError",
    "ItemMessage",
    "Itemwire",
    "Member",
    "MessagesLost",
    "NewMessage",
    "PublishRefused",
    "Publisher",
    "Rights",
    "Settings",
    "create_app",
]

_MODULES: Final = {
    "AsyncPublisher": "itemwire.publisher",
    "Channel": "itemwire.app",
    "ChannelException": "itemwire_auth.errors",
    "EngineError": "itemwire.engines.base",
    "ItemMessage": "itemwire.subscribing",
    "Itemwire": "itemwire.app",
    "Member": "itemwire.messages",
    "MessagesLost": "itemwire.subscribing",
    "NewMessage": "itemwire.rules.payloads",
    "PublishRefused": "itemwire.publisher",
    "Publisher": "itemwire.publisher",
    "Rights": "itemwire_auth.rights",
    "Settings": "itemwire.settings",
    "create_app": "itemwire.main",
}
"""The module that defines each public name (PEP 562): `import itemwire` loads none of them."""


def __getattr__(name: str) -> object:
    """Load a public name on first use, so that pytest does not load FastAPI at every start."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    """Return every public name, loaded or not."""
    return sorted(__all__)
