"""The first envelopes of a connection and of a subscription: who, what, and from where."""

from msgspec import UNSET, UnsetType

from itemwire.channels.connection import Connection, Subscription
from itemwire.channels.limits.bounds import Limits
from itemwire.channels.presence.presence import Page
from itemwire.channels.rights import rights_of
from itemwire.messages import Hello, Position, Ref, Welcome
from itemwire_auth.scopes import Action


def hello_to(
    connection: Connection,
    server_time: float,
    limits: Limits,
    *,
    max_items: int | UnsetType = UNSET,
    heartbeat: int | UnsetType = UNSET,
) -> Hello:
    """Return the first envelope of a connection whose client asked for hints."""
    return Hello(
        connection=connection.id,
        subject=connection.principal.subject,
        expires_at=connection.expiry,
        server_time=server_time,
        ping_interval=limits.ping_interval,
        max_message_bytes=limits.max_message_bytes,
        max_items=max_items,
        heartbeat=heartbeat,
    )


def welcome_to(
    subscription: Subscription,
    position: Position,
    limits: Limits,
    page: Page,
    ref: Ref | UnsetType = UNSET,
    *,
    was_recovering: bool,
    recovered: bool,
    resume: str | None,
    max_message_bytes: int | None = None,
) -> Welcome:
    """Return the welcome of a subscription; it has members only if its client may see them.

    `max_message_bytes` is the bound of its item, if that has one of its own.
    """
    connection = subscription.connection
    may_see = Action.PRESENCE in subscription.can
    return Welcome(
        connection=subscription.member.connection,
        subject=connection.principal.subject,
        item=subscription.item_id,
        can=rights_of(subscription.can),
        epoch=position.epoch,
        offset=position.offset,
        was_recovering=was_recovering,
        recovered=recovered,
        expires_at=connection.expiry,
        ping_interval=limits.ping_interval,
        max_message_bytes=max_message_bytes or limits.max_message_bytes,
        resume=UNSET if resume is None else resume,
        members=page.members if may_see else UNSET,
        member_count=page.count if may_see else UNSET,
        ref=ref,
        server_time=connection.server_time,
    )
