"""The agent of a conversation, looked up for a caller who is confirmed in the same round trip."""

from typing import LiteralString
from uuid import UUID

from adapters.postgres.database import Database
from contracts.identity.commands import Confirmations
from shared_kernel.errors import NotFound
from shared_kernel.principal import Principal

_AGENT: LiteralString = """
select agent_id from conversational_ai.conversations where organization_id = %(organization)s and id = %(conversation)s and listed
"""


class PostgresConversationAgents:
    """Implements `ConversationAgents`."""

    def __init__(self, database: Database, confirmations: Confirmations) -> None:
        self._database = database
        self._confirmations = confirmations

    async def of(self, caller: Principal, conversation_id: UUID) -> UUID:
        """See `ConversationAgents.of`."""
        async with self._database.pipeline(caller) as pipeline:
            await self._confirmations.confirm(pipeline)
            found = await pipeline.queue(_AGENT, {"organization": caller.tenant, "conversation": conversation_id})
        row = await found.one_or_none()
        if row is None:
            raise NotFound("There is no such conversation")
        agent_id: UUID = row["agent_id"]
        return agent_id
