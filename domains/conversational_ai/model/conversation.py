"""A conversation between a visitor and an agent."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from contracts.conversational_ai.events import ConversationStarted
from shared_kernel.aggregate import Aggregate, AuditNote
from shared_kernel.errors import FieldError, InvalidInput

MAXIMUM_VISITOR_LENGTH = 200


@dataclass(eq=False, kw_only=True)
class Conversation(Aggregate):
    """Belongs to one agent for its whole life.

    `language` is fixed when given, else told from each message. `visitor_id` is the caller's own name for the visitor.
    """

    AGGREGATE: ClassVar[str] = "conversation"

    id: UUID
    organization_id: UUID
    agent_id: UUID
    channel: str
    language: str | None
    visitor_id: str | None
    created_at: datetime
    version: int = 1

    @classmethod
    def start(
        cls,
        *,
        conversation_id: UUID,
        organization_id: UUID,
        agent_id: UUID,
        channel: str,
        language: str | None,
        visitor_id: str | None,
        at: datetime,
    ) -> "Conversation":
        """Begin a conversation. Raises `InvalidInput` for a language that is not two letters or a visitor id over 200 characters."""
        if language is not None and language not in {"fr", "en"}:
            raise InvalidInput(FieldError("language", "unknown", "must be fr or en"))
        if visitor_id is not None and not (1 <= len(visitor_id) <= MAXIMUM_VISITOR_LENGTH and visitor_id.isprintable()):
            raise InvalidInput(FieldError("visitor_id", "invalid", f"must be 1 to {MAXIMUM_VISITOR_LENGTH} printable characters"))
        conversation = cls(
            id=conversation_id,
            organization_id=organization_id,
            agent_id=agent_id,
            channel=channel,
            language=language,
            visitor_id=visitor_id,
            created_at=at,
        )
        conversation.record(ConversationStarted(conversation_id=conversation_id, agent_id=agent_id, channel=channel))
        conversation.note(
            AuditNote(
                action="conversation.started",
                after={"agent_id": str(agent_id), "channel": channel, "language": language},
                personal={"visitor_id": visitor_id} if visitor_id else {},
            )
        )
        return conversation

    def select_branch(self, message_id: UUID) -> None:
        """Note that the conversation goes on from the branch of that message."""
        self.note(AuditNote(action="conversation.branch_selected", after={"message_id": str(message_id)}))
