"""Answers what a caller may do with an item by the rule that its application declared."""

from collections.abc import Iterable
from typing import Final

from starlette.requests import HTTPConnection

from itemwire.application import application_of
from itemwire.authorization.solving import AskedFunction
from itemwire.channels.presence.info import read_info
from itemwire.rules.channels import ChannelRule, ChannelRules
from itemwire_auth.dependencies import PUBLIC, CurrentPrincipal, ItemId, authorize_item
from itemwire_auth.errors import Forbidden
from itemwire_auth.principal import Grant, Principal
from itemwire_auth.refusals import delayed_refusal
from itemwire_auth.rights import Rights
from itemwire_auth.scopes import Action
from itemwire_auth.state import auth_of

MOST_SHOWN: Final = 500  # characters of patterns in a line of the log


class RuleGrants:
    """The dependency that takes the place of `authorize_item` in an application with rules."""

    def __init__(self, rules: ChannelRules) -> None:
        self._rules = rules

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
            return await self._without_rule(connection, item_id, principal)
        rule, parameters = found
        if principal.is_anonymous:  # the item is public, else it had been refused
            return Grant(principal, item_id, PUBLIC)
        if rule.authorize is None:
            grant = await authorize_item(connection, item_id, principal)
            return Grant(grant.principal, item_id, _without_hidden(rule, grant.can), grant.info)
        overrides = application_of(connection.scope).overrides
        rights = await rule.authorize.ask(
            connection, overrides, parameters=parameters, principal=principal
        )
        if not isinstance(rights, Rights):
            raise TypeError(f"the channel {rule.pattern.text!r} has returned no Rights")
        can = _without_hidden(rule, rights.can)
        if not can:  # whatever the token says: it is the rule that decides
            error = Forbidden(f"the channel {rule.pattern.text!r} grants nothing")
            raise await delayed_refusal(connection, error)
        info = rights.info
        if info is None:
            info = auth_of(connection).info_claims.info_of(principal.claims)
        else:
            read_info(info)
        return Grant(principal, item_id, can, info)

    async def _without_rule(
        self, connection: HTTPConnection, item_id: str, principal: Principal
    ) -> Grant:
        """Return what the token or the policy grants, where these may decide."""
        if self._rules.unknown != "forbid":
            grant = await authorize_item(connection, item_id, principal)
            if grant.can or principal.rights.is_of_token:
                return grant
        patterns = ", ".join(rule.pattern.text for rule in self._rules)[:MOST_SHOWN] or "none"
        detail = f"no channel declares {item_id!r}; the declared patterns are: {patterns}"
        raise await delayed_refusal(connection, Forbidden(detail))


def _without_hidden(rule: ChannelRule, can: frozenset[Action]) -> frozenset[Action]:
    """Return rights without the one to see members where nobody is known to be a member."""
    return can - {Action.PRESENCE} if rule.item_rules.presence == "off" else can
