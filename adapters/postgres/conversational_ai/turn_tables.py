"""Conversations, turns and messages.

`turn_runners` belongs to no organisation: it names the processes that run turns.
"""

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, ForeignKeyConstraint, Index, Integer, LargeBinary, Table, Text, text

from adapters.postgres.mapping import Json, identifier, metadata, moment

SCHEMA = "conversational_ai"

conversations = Table(
    "conversations",
    metadata,
    identifier("organization_id", primary_key=True),
    identifier(primary_key=True),
    identifier("agent_id"),
    Column("channel", Text, nullable=False),
    Column("language", Text),
    Column("visitor_id", Text),
    moment("created_at"),
    Column("version", Integer, nullable=False),
    Column("listed", Boolean, nullable=False, server_default=text("true")),
    ForeignKeyConstraint(
        ["organization_id", "agent_id"],
        ["conversational_ai.agents.organization_id", "conversational_ai.agents.id"],
        name="fk_conversations_organization_id",
    ),
    schema=SCHEMA,
)
Index("ix_conversations_agent", conversations.c.organization_id, conversations.c.agent_id, conversations.c.id)
Index("ix_conversations_listed", conversations.c.organization_id, conversations.c.id, postgresql_where=text("listed"))

turns = Table(
    "turns",
    metadata,
    identifier("organization_id", primary_key=True),
    identifier(primary_key=True),
    identifier("conversation_id"),
    Column("agent_version", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("asked_by_kind", Text, nullable=False),
    identifier("asked_by", nullable=True),
    Column("client_message_id", Text),
    Column("question_digest", LargeBinary, nullable=False),
    identifier("question_id", nullable=True),
    identifier("runner_id"),
    moment("started_at"),
    moment("expires_at"),
    moment("ended_at", nullable=True),
    Column("last_sequence", Integer, nullable=False, server_default=text("0")),
    Column("failure", Json),
    Column("steps", Json),
    Column("model", Text),
    Column("provider", Text),
    Column("tokens_in", Integer),
    Column("tokens_out", Integer),
    Column("estimated", Boolean),
    Column("cost_micros", BigInteger),
    Column("currency", Text),
    CheckConstraint("state in ('running', 'completed', 'stopped', 'failed')", name="state_known"),
    ForeignKeyConstraint(
        ["organization_id", "conversation_id"],
        ["conversational_ai.conversations.organization_id", "conversational_ai.conversations.id"],
        name="fk_turns_organization_id",
        ondelete="CASCADE",
    ),
    schema=SCHEMA,
)
Index(
    "uq_turns_client_message",
    turns.c.organization_id,
    turns.c.conversation_id,
    turns.c.client_message_id,
    unique=True,
    postgresql_where=text("client_message_id is not null"),
)
Index("uq_turns_running", turns.c.organization_id, turns.c.conversation_id, unique=True, postgresql_where=text("state = 'running'"))
Index("ix_turns_abandoned", turns.c.expires_at, turns.c.runner_id, postgresql_where=text("state = 'running'"))

messages = Table(
    "messages",
    metadata,
    identifier("organization_id", primary_key=True),
    identifier(primary_key=True),
    identifier("conversation_id"),
    identifier("turn_id"),
    Column("role", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("citations", Json, nullable=False),
    Column("complete", Boolean, nullable=False),
    identifier("parent_id", nullable=True),
    Column("shown", Boolean, nullable=False, server_default=text("true")),
    Column("finish_reason", Text),
    Column("tool_calls", Json),
    moment("created_at"),
    CheckConstraint("role in ('user', 'assistant')", name="role_known"),
    ForeignKeyConstraint(
        ["organization_id", "turn_id"],
        ["conversational_ai.turns.organization_id", "conversational_ai.turns.id"],
        name="fk_messages_organization_id",
        ondelete="CASCADE",
    ),
    schema=SCHEMA,
)
Index("ix_messages_conversation", messages.c.organization_id, messages.c.conversation_id, messages.c.id)
Index("uq_messages_turn", messages.c.organization_id, messages.c.turn_id, messages.c.role, unique=True)

turn_runners = Table("turn_runners", metadata, identifier(primary_key=True), moment("heard_at"), schema=SCHEMA)
