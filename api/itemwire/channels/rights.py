"""What a subscriber may do with an item, in the form that clients are told it."""

from functools import lru_cache

from itemwire_auth.scopes import Action


@lru_cache(maxsize=16)  # at least as many as there are sets of actions
def rights_of(can: frozenset[Action]) -> list[str]:
    """Return the names of the allowed actions, always in the same order.

    The list is cached and shared: do not change it.
    """
    return [action for action in Action if action in can]
