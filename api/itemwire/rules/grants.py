"""Answers what a caller may do with an item by the rule that its application declared."""

from collections.abc import Iterable

from starlette.requests import HTTPConnection

from itemwire.application import application_of
from itemwire.authorization.solving import AskedFunction
from itemwire.channels.presence.info import read_info
from itemwire.rules.channels import ChannelRule, ChannelRules, UnknownItems
from itemwire_auth.dependencies import PUBLIC, CurrentPrincipal, ItemId, authorize_item
from itemwire_auth.errors import Forbidden
from itemwire_auth.principal import Grant
from itemwire_auth.refusals import delayed_refusal
from itemwire_auth.rights import Rights
from itemwire_auth.scopes import Action


class RuleGrants:
    """The dependency that takes the place of `authorize_item` in an application with rules."""

    def __init__(self, rules: ChannelRules, unknown: UnknownItems) -> None:
        self._rules = rules
        self._unknown = unknown

    def asked(self) -> Iterable[AskedFunction]:
        """List the functions of the host that are asked about what a handshake presented."""
        for rule in self._rules:
            if rule.authorize is not None:
                yield rule.authorize
            yield from rule.handlers.asked()

    async def __call__(
        self, connection: HTTPConnection, item_id: ItemId, principal: CurrentPrincipal
    ) -> Grant:
        """Return what the caller may do with the item, or refuse."""
        found = self._rules.find(item_id)
        if found is None:
            if self._unknown == "forbid":
                error = Forbidden(f"no channel is declared for {item_id!r}")
                raise await delayed_refusal(connection, error)
            return await authorize_item(connection, item_id, principal)
        rule, parameters = found
        if principal.is_anonymous:  # the item is public, else it had been refused
            return Grant(principal, item_id, PUBLIC)
        if rule.authorize is None:
            grant = await authorize_item(connection, item_id, principal)
            return Grant(grant.principal, item_id, _without_hidden(rule, grant.can), grant.info)
        overrides = application_of(connection.scope).dependency_overrides
        rights = await rule.authorize.ask(
            connection, overrides, parameters=parameters, principal=principal
        )
        if not isinstance(rights, Rights):
            raise TypeError(f"the channel {rule.pattern.text!r} has returned no Rights")
        can = _without_hidden(rule, rights.can)
        if not can:  # whatever the token says: it is the rule that decides
            error = Forbidden(f"the channel {rule.pattern.text!r} grants nothing")
            raise await delayed_refusal(connection, error)
        if rights.info is not None:
            read_info(rights.info)
        return Grant(principal, item_id, can, rights.info)


def _without_hidden(rule: ChannelRule, can: frozenset[Action]) -> frozenset[Action]:
    """Return rights without the one to see members where nobody is known to be a member."""
    return can - {Action.PRESENCE} if rule.item_rules.presence == "off" else can
