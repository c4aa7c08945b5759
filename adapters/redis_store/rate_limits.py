"""Rate limits that all replicas share."""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Final
from uuid import UUID

from adapters.redis_store.connection import RedisConnection, RedisUnavailable
from adapters.redis_store.local_rate_limits import MICROSECONDS, LocalRateLimits, Permits, decision, interval
from adapters.redis_store.scripts import Script
from contracts.rate_limits import RateDecision, RateRule

# The same algorithm as LocalRateLimits, by the clock of Redis, for all rules at once. Numbers are microseconds: they stay below 2^53.
# No arrival is further away than the window, unless the clock was set back since: then the caller would be refused for as long as that.
# -> {allowed, which rule (from 0), remaining, reset, retry}
_CHECK: Final = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local arrivals, refused, wait, reset = {}, nil, 0, 0
for i, key in ipairs(KEYS) do
  local window, interval = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local arrival = math.max(math.min(tonumber(redis.call('GET', key) or '0'), now + window), now) + interval
  arrivals[i] = arrival
  if arrival - window - now > wait then
    refused, wait, reset = i, arrival - window - now, arrival - interval - now
  end
end
if refused then return {0, refused - 1, 0, reset, wait} end
local nearest, least = 1, nil
for i, key in ipairs(KEYS) do
  local window, interval = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  redis.call('SET', key, string.format('%.0f', arrivals[i]), 'PX', math.ceil((arrivals[i] - now) / 1000))
  local remaining = math.floor((window - (arrivals[i] - now)) / interval)
  if not least or remaining < least then nearest, least = i, remaining end
end
return {1, nearest - 1, least, arrivals[nearest] - now, 0}
""")

# The same for several requests of one rule, after some were put back. -> {how many are granted, remaining, reset, retry}
_TAKE: Final = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local window, interval, wanted, returned = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local free_at = math.max(math.min(tonumber(redis.call('GET', KEYS[1]) or '0'), now + window) - returned * interval, now)
local granted = math.min(math.floor((window - (free_at - now)) / interval), wanted)
local arrival = free_at + math.max(granted, 0) * interval
if arrival > now then
  redis.call('SET', KEYS[1], string.format('%.0f', arrival), 'PX', math.ceil((arrival - now) / 1000))
else
  redis.call('DEL', KEYS[1])
end
if granted < 1 then return {0, 0, free_at - now, free_at + interval - window - now} end
return {granted, math.floor((window - (arrival - now)) / interval), arrival - now, 0}
""")

# The keys as above; one interval less each.
_GIVE_BACK: Final = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
for i, key in ipairs(KEYS) do
  local window, interval = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local arrival = math.min(tonumber(redis.call('GET', key) or '0'), now + window) - interval
  if arrival > now then
    redis.call('SET', key, string.format('%.0f', arrival), 'PX', math.ceil((arrival - now) / 1000))
  else
    redis.call('DEL', key)
  end
end
return {}
""")


class RedisRateLimits:
    """One script, one round trip, for all rules of a request.

    While Redis is gone each process limits for itself by the same rules (`LocalRateLimits`): with n replicas up to n times the limit gets
    through, never an unlimited amount. The shared count is used again as soon as Redis answers. `on_fallback` hears each such request.
    """

    def __init__(self, connection: RedisConnection, *, on_fallback: Callable[[], None] | None = None) -> None:
        self._connection = connection
        self._local = LocalRateLimits()
        self._on_fallback = on_fallback

    async def check(self, rules: Sequence[RateRule]) -> RateDecision:
        """Count one request in Redis, or in this process while Redis is gone."""
        if not rules:
            raise ValueError("a request must be counted against at least one rule")
        try:
            answer = await self._run(_CHECK, rules)
        except RedisUnavailable:
            if self._on_fallback is not None:
                self._on_fallback()
            return self._local.decide(rules)
        allowed, which, remaining, reset, retry = answer
        return decision(rules[which], allowed=bool(allowed), remaining=remaining, reset=reset, retry=retry)

    async def take(self, rule: RateRule, *, permits: int, returned: int) -> Permits:
        """Put `returned` requests back and count up to `permits` in Redis; while Redis is gone, one in this process."""
        arguments = (rule.window_seconds * MICROSECONDS, interval(rule), permits, returned)
        try:
            answer: list[int] = await self._connection.run(lambda redis: _TAKE(redis, [self._key(rule)], arguments))
        except RedisUnavailable:
            if self._on_fallback is not None:
                self._on_fallback()
            return await self._local.take(rule, permits=1, returned=0)
        granted, remaining, reset, retry = answer
        return Permits(granted, decision(rule, allowed=granted > 0, remaining=remaining, reset=reset, retry=retry))

    async def give_back(self, rules: Sequence[RateRule]) -> None:
        """Take one request back in Redis, or in this process while Redis is gone."""
        if not rules:
            raise ValueError("a request must be taken back from at least one rule")
        try:
            await self._run(_GIVE_BACK, rules)
        except RedisUnavailable:
            self._local.forgive(rules)

    async def _run(self, script: Script, rules: Sequence[RateRule]) -> list[int]:
        keys = [self._key(rule) for rule in rules]
        arguments = [value for rule in rules for value in (rule.window_seconds * MICROSECONDS, interval(rule))]
        answer: list[int] = await self._connection.run(lambda redis: script(redis, keys, arguments))
        return answer

    def _key(self, rule: RateRule) -> str:
        tenant, separator, rest = rule.key.partition(":")
        if _is_uuid(tenant):
            return self._connection.tenant_key(UUID(tenant), "rl", rule.name, *([_hashed(rest)] if separator else []))
        # addresses and e-mails are personal data: only their hash is kept
        return self._connection.key("rl", rule.name, _hashed(rule.key))


def _hashed(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
