"""Has the application check what a client publishes, where it wants to be asked."""

from collections.abc import Callable

from itemwire.channels.connection import Subscription
from itemwire.channels.sessions.context import Context
from itemwire.close_reasons import SCOPE_MISSING, CloseReason
from itemwire.messages import Payload
from itemwire_auth.scopes import Action


def is_checked(context: Context, target: Subscription) -> bool:
    """Return whether the application wants to be asked about what is published to an item."""
    return context.host is not None and context.host.checks(target.item_id)


def publish_checked(
    context: Context,
    target: Subscription,
    data: Payload,
    *,
    publish: Callable[[Payload], None],
    refuse: Callable[[CloseReason], None],
) -> None:
    """Publish what the application lets through; at once without one.

    Nothing is published whose publisher is gone by then, or may not publish any more.
    """
    if context.host is None:
        publish(data)
        return

    def answer(checked: Payload | CloseReason) -> None:
        if not context.connection.is_open:
            return
        if isinstance(checked, CloseReason):
            refuse(checked)
        elif Action.PUBLISH in target.can:
            publish(checked)
        else:
            refuse(SCOPE_MISSING)

    context.host.check(target, data, answer)
