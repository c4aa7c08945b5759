"""Conversations, turns and messages."""

from alembic import op

from adapters.postgres.row_level_security import allow, grant_app, protect

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.execute(
        """
        create table conversational_ai.conversations (
          organization_id uuid not null,
          id uuid not null,
          constraint pk_conversations primary key (organization_id, id),
          agent_id uuid not null,
          constraint fk_conversations_organization_id foreign key (organization_id, agent_id) references conversational_ai.agents
          (organization_id, id),
          channel text not null,
          language text,
          visitor_id text,
          created_at timestamptz not null,
          version integer not null
        )
        """
    )
    op.execute("create index ix_conversations_agent on conversational_ai.conversations (organization_id, agent_id, id)")
    op.execute(
        """
        create table conversational_ai.turns (
          organization_id uuid not null,
          id uuid not null,
          constraint pk_turns primary key (organization_id, id),
          conversation_id uuid not null,
          constraint fk_turns_organization_id foreign key (organization_id, conversation_id)
            references conversational_ai.conversations (organization_id, id) on delete cascade,
          agent_version integer not null,
          state text not null constraint ck_turns_state_known check (state in ('running', 'completed', 'stopped', 'failed')),
          asked_by_kind text not null,
          asked_by uuid,
          client_message_id text,
          idempotency_key text,
          question_digest bytea not null,
          runner_id uuid not null,
          started_at timestamptz not null,
          expires_at timestamptz not null,
          ended_at timestamptz,
          last_sequence integer not null default 0,
          failure jsonb,
          steps jsonb,
          model text,
          provider text,
          tokens_in integer,
          tokens_out integer,
          estimated boolean,
          cost_micros bigint,
          currency text
        )
        """
    )
    op.execute(
        "create unique index uq_turns_client_message on conversational_ai.turns (organization_id, conversation_id, client_message_id)"
        " where client_message_id is not null"
    )
    op.execute(
        "create unique index uq_turns_idempotency_key on conversational_ai.turns (organization_id, asked_by, idempotency_key)"
        " where idempotency_key is not null"
    )
    op.execute("create unique index uq_turns_running on conversational_ai.turns (organization_id, conversation_id) where state = 'running'")
    op.execute("create index ix_turns_abandoned on conversational_ai.turns (expires_at, runner_id) where state = 'running'")
    op.execute(
        """
        create table conversational_ai.messages (
          organization_id uuid not null,
          id uuid not null,
          constraint pk_messages primary key (organization_id, id),
          conversation_id uuid not null,
          turn_id uuid not null,
          constraint fk_messages_organization_id foreign key (organization_id, turn_id)
            references conversational_ai.turns (organization_id, id) on delete cascade,
          role text not null constraint ck_messages_role_known check (role in ('user', 'assistant')),
          content text not null,
          citations jsonb not null,
          complete boolean not null,
          created_at timestamptz not null
        )
        """
    )
    op.execute("create index ix_messages_conversation on conversational_ai.messages (organization_id, conversation_id, id)")
    op.execute("create unique index uq_messages_turn on conversational_ai.messages (organization_id, turn_id, role)")
    op.execute(
        """
        create table conversational_ai.turn_runners (
          id uuid constraint pk_turn_runners primary key,
          heard_at timestamptz not null
        )
        """
    )
    for table in ("conversations", "turns", "messages"):
        protect(f"conversational_ai.{table}")
        grant_app(f"conversational_ai.{table}", "select, insert, update" if table == "turns" else "select, insert")
    grant_app("conversational_ai.turn_runners")
    op.execute("grant select, update, delete on conversational_ai.turn_runners to luneo_platform")
    allow("luneo_platform", "conversational_ai.turns", "select, update (idempotency_key)", name="platform")
    op.execute("create index ix_turns_key_age on conversational_ai.turns (started_at) where idempotency_key is not null")


def downgrade() -> None:
    """Drop the tables."""
    for table in ("turn_runners", "messages", "turns", "conversations"):
        op.execute(f"drop table conversational_ai.{table}")
