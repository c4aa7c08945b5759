"""Start a conversation with an agent."""

from dataclasses import dataclass
from uuid import UUID

from domains.conversational_ai.model.conversation import Conversation
from domains.conversational_ai.ports.conversations import ConversationTransactions
from shared_kernel.clock import Clock
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class StartConversation:
    """Begin talking to an agent. It costs nothing until its first turn settles."""

    agent_id: UUID
    requested_by: Principal
    language: str | None = None
    visitor_id: str | None = None
    channel: str = "api"


@dataclass(frozen=True, slots=True)
class StartConversationHandler:
    """See `StartConversation`."""

    transactions: ConversationTransactions
    clock: Clock

    async def __call__(self, command: StartConversation) -> Conversation:
        """Return the new conversation.

        An agent that nobody could talk to is refused here; it may still be archived before the first message, which is refused then.
        Raises `NotFound` for another organisation's agent, `AgentNotPublished`, `InvalidInput`.
        """
        async with self.transactions(command.requested_by) as tx:
            conversation = Conversation.start(
                conversation_id=new_id(),
                organization_id=command.requested_by.tenant,
                agent_id=command.agent_id,
                channel=command.channel,
                language=command.language,
                visitor_id=command.visitor_id,
                at=self.clock.now(),
            )
            await tx.conversations.add(conversation)
        return conversation
