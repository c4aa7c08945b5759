"""A turn's events in a Redis stream: one entry for those that are written together, `<last sequence>-0` as its id."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Final, cast
from uuid import UUID

import msgspec

from adapters.redis_store.connection import BLOCK_SECONDS_MAXIMUM, RedisConnection
from adapters.redis_store.scripts import Script
from domains.conversational_ai.ports.turn_event_log import TERMINAL_EVENTS, LoggedEvent, TurnEventsMissing

KEPT_SECONDS: Final = 3600
_ENTRIES_MAXIMUM: Final = 20_000
_ENTRIES_READ_AT_ONCE: Final = 500
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(list[LoggedEvent])
# An append that timed out may have happened: adding it again changes nothing.
_APPEND: Final = Script("""
for i, key in ipairs(KEYS) do
  local added = redis.pcall('XADD', key, 'MAXLEN', '~', ARGV[1], ARGV[2 * i + 1], 'e', ARGV[2 * i + 2])
  if added['err'] and not string.find(added['err'], 'equal or smaller', 1, true) then return added end
  redis.call('EXPIRE', key, ARGV[2])
end
return {}
""")


class RedisTurnEventLog:
    """The log of `TurnEventLog` in Redis, an hour long and bounded to about 20,000 writes per turn."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection

    async def append(self, organization_id: UUID, turn_id: UUID, events: Sequence[LoggedEvent]) -> None:
        """Add `events` in one round trip."""
        await self.append_all({(organization_id, turn_id): events})

    async def append_all(self, batches: Mapping[tuple[UUID, UUID], Sequence[LoggedEvent]]) -> None:
        """Add the events of several turns, by (organisation, turn), in one round trip."""
        written = {self._key(*turn): events for turn, events in batches.items() if events}
        if not written:
            return
        arguments: list[str | bytes | int] = [_ENTRIES_MAXIMUM, KEPT_SECONDS]
        for events in written.values():
            arguments += (f"{events[-1].sequence}-0", _ENCODER.encode(events))
        await self._connection.run(lambda redis: _APPEND(redis, list(written), arguments))

    async def read(
        self, organization_id: UUID, turn_id: UUID, after: int, *, idle_seconds: float = 30.0
    ) -> AsyncGenerator[LoggedEvent, None]:
        """Yield the events after sequence `after`, then follow the turn live."""
        key = self._key(organization_id, turn_id)
        loop = asyncio.get_running_loop()
        last = after
        idle_until = loop.time() + idle_seconds
        while (left := idle_until - loop.time()) > 0:
            entries = await self._next(key, last, min(left, BLOCK_SECONDS_MAXIMUM))
            for event in entries:
                if event.sequence <= last:  # an entry may begin before what was asked for, or repeat what is known
                    continue
                if event.sequence != last + 1:
                    raise TurnEventsMissing(expected=last + 1, found=event.sequence)
                last = event.sequence
                yield event
                if event.name in TERMINAL_EVENTS:
                    return
            if entries:
                idle_until = loop.time() + idle_seconds

    async def exists(self, organization_id: UUID, turn_id: UUID) -> bool:
        """Tell whether Redis holds anything of this turn."""
        key = self._key(organization_id, turn_id)
        return bool(await self._connection.run(lambda redis: redis.exists(key)))

    async def _next(self, key: str, last: int, wait_seconds: float) -> list[LoggedEvent]:
        wait_ms = max(int(wait_seconds * 1000), 1)
        answer = await self._connection.follow(
            lambda redis: redis.xread({key: f"{last}-0"}, count=_ENTRIES_READ_AT_ONCE, block=wait_ms),
        )
        streams = cast("dict[bytes, list[list[tuple[bytes, dict[bytes, bytes]]]]]", answer)
        # {stream: [[(b"7-0", {b"e": events}), …]]}, empty when nothing came
        return [
            event for chunks in streams.values() for entries in chunks for _, fields in entries for event in _DECODER.decode(fields[b"e"])
        ]

    def _key(self, organization_id: UUID, turn_id: UUID) -> str:
        return self._connection.tenant_key(organization_id, "turn", turn_id)
