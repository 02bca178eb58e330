"""What a client is told first: who it is here, what it may do, where it stands."""

from msgspec import UNSET, UnsetType

from itemwire.channels.connection import Subscription
from itemwire.channels.join import JoinResult
from itemwire.channels.limits.bounds import Limits
from itemwire.channels.presence.presence import Page
from itemwire.channels.rights import rights_of
from itemwire.messages import Ref, Welcome
from itemwire_auth.scopes import Action


def welcome_to(
    subscription: Subscription,
    arrival: JoinResult,
    limits: Limits,
    page: Page,
    ref: Ref | UnsetType = UNSET,
) -> Welcome:
    """Write the welcome of a subscription; the members are for those who may see them."""
    connection, position = subscription.connection, arrival.history.position
    may_see = Action.PRESENCE in subscription.can
    return Welcome(
        connection=subscription.member.connection,
        subject=connection.principal.subject,
        item=subscription.item_id,
        can=rights_of(subscription.can),
        epoch=position.epoch,
        offset=position.offset,
        was_recovering=arrival.was_recovering,
        recovered=arrival.recovered,
        expires_at=connection.expires_at,
        ping_interval=limits.ping_interval,
        max_message_bytes=limits.max_message_bytes,
        members=page.members if may_see else UNSET,
        member_count=page.count if may_see else UNSET,
        ref=ref,
    )
