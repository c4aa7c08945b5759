"""Stop requests for turns over Redis publish/subscribe."""

from collections.abc import AsyncIterator
from uuid import UUID

from adapters.redis_store.connection import RedisConnection
from domains.conversational_ai.ports.turn_stop_signals import StopRequest

_MESSAGE_BYTES = 32


class RedisTurnStopSignals:
    """One channel for all turns: a message is the organisation's 16 bytes and the turn's 16 bytes."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection
        self._channel = connection.key("turns", "stop")

    async def request_stop(self, organization_id: UUID, turn_id: UUID) -> None:
        """Publish the request."""
        message = organization_id.bytes + turn_id.bytes
        await self._connection.run(lambda redis: redis.publish(self._channel, message))

    async def subscribe_stops(self) -> AsyncIterator[StopRequest]:
        """Yield each request, subscribing again after every failure."""
        async for message in self._connection.messages(self._channel):
            if message is not None and len(message) == _MESSAGE_BYTES:
                yield StopRequest(UUID(bytes=message[:16]), UUID(bytes=message[16:]))
