"""Which agent answers in a conversation."""

from typing import Protocol
from uuid import UUID

from shared_kernel.principal import Principal


class ConversationAgents(Protocol):
    """Looks up a conversation's agent. It never changes, so the answer may be remembered."""

    async def of(self, caller: Principal, conversation_id: UUID) -> UUID:
        """Confirm `caller` and return the id of the conversation's agent, in one round trip.

        Raises `NotFound` for another organisation's conversation, and what confirming a caller raises.
        """
        ...
