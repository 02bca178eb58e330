"""The Lua scripts, each of which Redis runs as one atomic step.

A channel has four kinds of keys under one hash tag: `m`, a hash with the epoch, the offset and
the bytes of everything that was ever published; `s`, a stream whose ids are the offsets; one key
for each idempotency key; and `r`, the last message, where it is retained.

An epoch ends with the life of the server that it began in. A server that was restarted from a
dump, or a replica that took over, may lack messages that were acknowledged already, and would give
their offsets to other messages.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Final

from itemwire.engines.base import KEY_SECONDS, Bounds
from itemwire.engines.notices import LEAST_SECONDS

MAX_NOTICES: Final = 100_000


@dataclass(frozen=True, slots=True)
class LuaScript:
    """A script, and the digest by which a server knows it once it has run it."""

    source: str
    sha: str

    @classmethod
    def of(cls, *parts: str) -> LuaScript:
        """Return the script that these parts make up."""
        source = "\n".join(parts)
        return cls(source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


def idle_ms(bounds: Bounds) -> int:
    """Return for how long a channel is kept that nobody publishes to or reads, in ms."""
    return int(max(bounds.seconds, KEY_SECONDS) * 1000)


@dataclass(frozen=True, slots=True)
class ChannelScripts:
    """The scripts of channels, with the bounds of their history written into them."""

    publish: LuaScript
    read: LuaScript

    @classmethod
    def of(cls, bounds: Bounds, publish_command: str, life_key: str | None) -> ChannelScripts:
        """Return them for these bounds; `publish_command` is PUBLISH, or SPUBLISH in a cluster.

        There is no `life_key` in a cluster.
        """
        numbers = {
            "idle": idle_ms(bounds),
            "messages": bounds.messages,
            "most": bounds.bytes,
            "age": max(int(bounds.seconds * 1000), 1),
            "key_time": int(KEY_SECONDS * 1000),
            "retained": math.ceil(bounds.retained * 1000),
        }
        head = "\n".join(f"local {name} = {number}" for name, number in numbers.items())
        head += f"\nlocal publish = '{publish_command}'"
        head += "\nlocal life_key = " + (f"'{life_key}'" if life_key else "nil")
        return cls(
            LuaScript.of(head, CHANNEL, PUBLISH),
            LuaScript.of(head, CHANNEL, READ),
        )


# A life ends with the process of the server, and when that was a replica meanwhile: then another
# server has left its own process here, or a node doubts the life because it has seen the replica.
# A full server takes no new name, but its process names the life as well, and a key can be deleted:
# so a process that has had no life here (`was:`, which earlier versions did not note) is its name.
# A name may come back in a store that was emptied, a mark never does: lives are doubted by it.
# KEYS: life. ARGV: the run id of the process, a new name, the mark of a life that is in doubt.
LIFE: Final = LuaScript.of(
    """
local was = 'was:' .. ARGV[1]
local known = redis.call('HMGET', KEYS[1], 'run', 'name', was, 'mark')
local mark = known[4] or known[2]
if known[1] == ARGV[1] and mark ~= ARGV[3] then return {known[2], mark} end
local is_old = known[1] and not redis.call('HMGET', KEYS[1], 'was:' .. known[1])[1]
local name = (known[3] or is_old or ARGV[1] == ARGV[3]) and ARGV[2] or ARGV[1]
local made = redis.pcall('HSET', KEYS[1], 'run', ARGV[1], 'name', name, was, 1, 'mark', ARGV[2])
if type(made) == 'table' and made.err then
  redis.pcall('DEL', KEYS[1])
  return {ARGV[1], ARGV[1]}
end
return {name, ARGV[2]}
""",
)

# KEYS: stream, meta, then `r` where it matters. ARGV: the life of the server, an epoch in case one
# begins, then the script's.
CHANNEL: Final = """
local stream, meta, life = KEYS[1], KEYS[2], ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local kept = redis.call('HMGET', meta, 'epoch', 'life', 'offset', 'bytes')
local epoch, offset, bytes, is_new = ARGV[2], 0, 0, true
-- Nodes that do not know of each other's lives would end each other's epochs for ever.
if kept[1] and kept[2] ~= life and life_key then
  local name = redis.call('HGET', life_key, 'name')
  if name and name ~= life then return redis.error_reply('STALELIFE it has begun a new life') end
end
if kept[1] and kept[2] == life then
  epoch, offset, bytes, is_new = kept[1], tonumber(kept[3]), tonumber(kept[4]), false
end

-- An entry is {id, {'b', bytes before it, 't', when, 'm', message}}.
local function is_kept(entry)
  return bytes - tonumber(entry[2][2]) <= most and tonumber(entry[2][4]) >= now - age
end

local function trim()
  while true do
    local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
    if not first or is_kept(first) then return end
    -- A server whose disk fails lets nothing be deleted either, and must be read all the same.
    if type(redis.pcall('XDEL', stream, first[1])) == 'table' then return end
  end
end
"""

# The write that a full server refuses must come first, before anything else has been done.
PUBLISH: Final = """
local message, size, live, key = ARGV[3], tonumber(ARGV[4]), ARGV[5], KEYS[retained > 0 and 4 or 3]
local first = key and redis.call('GET', key)
if first then
  local first_offset, first_epoch = string.match(first, '^(%d+) (.+)$')
  return {first_epoch, tonumber(first_offset), 0}
end

offset = offset + 1
redis.call('HSET', meta, 'epoch', epoch, 'life', life, 'offset', offset, 'bytes', bytes + size)
redis.call('PEXPIRE', meta, idle)
if is_new then redis.call('DEL', stream) end
redis.call('XADD', stream, 'MAXLEN', messages, offset .. '-0', 'b', bytes, 't', now, 'm', message)
redis.call('PEXPIRE', stream, age)
bytes = bytes + size
trim()
if retained > 0 then
  redis.call('SET', KEYS[3], offset .. ' ' .. epoch .. ' ' .. message, 'PX', retained)
end
if key then redis.call('SET', key, offset .. ' ' .. epoch, 'PX', key_time) end
-- It is stored, whether or not this user may tell: nodes that hear nothing compare positions.
redis.pcall(publish, live, offset .. ' ' .. epoch .. ' ' .. message)
return {epoch, offset, 1}
"""

# A server that takes no writes cannot make a channel that does not exist yet. Until it does the
# channel is read as empty, in an epoch that is called `none` on every node.
READ: Final = """
local limit, low, high, command = tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6]
if is_new then
  local made = redis.pcall('HSET', meta, 'epoch', epoch, 'life', life, 'offset', 0, 'bytes', 0)
  if type(made) == 'table' and made.err then return {'none', 0, false} end
  redis.call('DEL', stream)
end
redis.pcall('PEXPIRE', meta, idle)
trim()
local found = {epoch, offset, false}
if limit > 0 then
  for _, entry in ipairs(redis.call(command, stream, low, high, 'COUNT', limit)) do
    if is_kept(entry) then
      found[#found + 1] = entry[1]
      found[#found + 1] = entry[2][6]
    end
  end
end
if KEYS[3] and #found == 3 then found[3] = redis.call('GET', KEYS[3]) end
return found
"""

# KEYS: kept, meta. ARGV: life, a new epoch, until, notice, publish command, live channel.
POST: Final = LuaScript.of(
    f"local most, least = {MAX_NOTICES}, {LEAST_SECONDS}",
    """
local kept, meta = KEYS[1], KEYS[2]
local now = tonumber(redis.call('TIME')[1])
local number = redis.call('HINCRBY', meta, 'offset', 1)
local known = redis.call('HMGET', meta, 'epoch', 'life')
local epoch = known[1]
if not epoch or known[2] ~= ARGV[1] then
  epoch = ARGV[2]
  redis.call('HSET', meta, 'epoch', epoch, 'life', ARGV[1])
end
redis.call('ZREMRANGEBYSCORE', kept, '-inf', '(' .. now)
if redis.call('ZCARD', kept) >= most then
  return redis.error_reply('there is no room for another notice')
end
local ends = math.max(tonumber(ARGV[3]), now + least)
redis.call('ZADD', kept, ends, number .. ' ' .. ARGV[3] .. ' ' .. ARGV[4])
redis.call(ARGV[5], ARGV[6], number .. ' ' .. epoch .. ' ' .. ARGV[4])
return number
""",
)

# KEYS: kept, meta. ARGV: life, a new epoch, the epoch and the number that were read last.
# Returns: epoch, last number, the server's time, then each notice as `number until notice`.
NOTICES: Final = LuaScript.of(
    """
local kept, meta = KEYS[1], KEYS[2]
local time = redis.call('TIME')
local known = redis.call('HMGET', meta, 'epoch', 'life', 'offset')
local epoch = known[1]
if not epoch or known[2] ~= ARGV[1] then
  epoch = ARGV[2]
  local made = redis.pcall('HSET', meta, 'epoch', epoch, 'life', ARGV[1])
  if type(made) == 'table' and made.err then epoch = 'none' end
end
local after = epoch == ARGV[3] and tonumber(ARGV[4]) or 0
local last = tonumber(known[3] or 0)
local found = {epoch, last, time[1] .. '.' .. string.format('%06d', time[2])}
if after >= last then return found end  -- every node asks every 10 s, and there may be 100,000
for _, notice in ipairs(redis.call('ZRANGEBYSCORE', kept, time[1], '+inf')) do
  if tonumber(string.match(notice, '^%d+')) > after then found[#found + 1] = notice end
end
return found
""",
)

# KEYS: the meta of each channel. ARGV: life, how long in ms a channel is kept that is followed.
# Returns for each its epoch and its offset, or nothing where it has to be read.
POSITIONS: Final = LuaScript.of(
    """
local found = {}
for _, meta in ipairs(KEYS) do
  local known = redis.call('HMGET', meta, 'epoch', 'life', 'offset')
  local is_known = known[1] and known[2] == ARGV[1]
  if is_known then redis.pcall('PEXPIRE', meta, ARGV[2]) end
  found[#found + 1] = is_known and known[1]
  found[#found + 1] = is_known and tonumber(known[3])
end
return found
""",
)
