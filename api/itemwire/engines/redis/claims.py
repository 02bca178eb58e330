"""Nodes claim each of several servers for their list, as long as one of them runs.

Nodes with different lists would look for an item on different servers, and not hear each other.
"""

from __future__ import annotations

from typing import Final

from itemwire.engines.redis.client import Word
from itemwire.engines.redis.scripts import LuaScript

CLAIM_SECONDS: Final = 5.0  # between two claims of a node
CLAIMED_SECONDS: Final = 20.0  # for which a server is kept from nodes with another list

# A server that takes no writes goes on with the claim that it has.
# KEYS: the claim. ARGV: life, the list of servers, for how long in ms. Returns whose it is.
CLAIM: Final = LuaScript.of(
    """
local list = redis.call('GET', KEYS[1])
if list and list ~= ARGV[2] then return list end
if list then
  redis.pcall('PEXPIRE', KEYS[1], ARGV[3])
else
  redis.pcall('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return ARGV[2]
""",
)

OTHER_LIST: Final = (
    "nodes run with another list of servers, or in another order: stop all of them, and start them "
    f"{CLAIMED_SECONDS:g} seconds later"
)


def claim_of(servers: str) -> tuple[Word, ...]:
    """Return the arguments of a claim for this list."""
    return servers, max(int(CLAIMED_SECONDS * 1000), 1)
