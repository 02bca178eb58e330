"""Which items are public, by the rules of their channels, and on which routes that counts."""

from collections.abc import Callable, Collection
from typing import Any

from starlette.requests import HTTPConnection
from typing_extensions import override

from itemwire.rules.channels import ChannelRules
from itemwire_auth.state import Public

Endpoints = Collection[Callable[..., Any]]


class PublicItems(Public):
    """The items of channels with `anonymous`, on the routes where clients subscribe."""

    def __init__(self, rules: ChannelRules, *, of_item: Endpoints, of_many: Endpoints) -> None:
        self._rules = rules
        self._of_item = of_item
        self._of_many = of_many

    @override
    def admits(self, connection: HTTPConnection) -> bool:
        endpoint = connection.scope.get("endpoint")
        if endpoint in self._of_item:
            return self.has(connection.path_params["item_id"])
        return endpoint in self._of_many and self._rules.has_public

    @override
    def has(self, item_id: str) -> bool:
        return self._rules.of_item(item_id).anonymous
