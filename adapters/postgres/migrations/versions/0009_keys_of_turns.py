"""The keys of turns stand in the store of every other request's keys."""

from alembic import op

from adapters.postgres.row_level_security import allow

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_ANSWER = ("status", "headers", "body")


def upgrade() -> None:
    """Let a key stand for a turn; the turn's own column goes. Keys of turns from before are forgotten a day early."""
    op.execute("alter table luneo.idempotent_requests add column turn_id uuid")
    for column in _ANSWER:
        op.execute(f"alter table luneo.idempotent_requests alter column {column} drop not null")
    op.execute(
        "alter table luneo.idempotent_requests add constraint ck_idempotent_requests_answer_or_turn"
        " check ((turn_id is null) = (body is not null))"
    )
    op.execute("create index ix_idempotent_requests_turn on luneo.idempotent_requests (organization_id, turn_id) where turn_id is not null")
    op.execute("grant delete on luneo.idempotent_requests to luneo_app")
    op.execute("drop policy platform_update on conversational_ai.turns")
    op.execute("alter table conversational_ai.turns drop column idempotency_key")


def downgrade() -> None:
    """Give turns their own keys again; those that stood for turns are forgotten."""
    op.execute("alter table conversational_ai.turns add column idempotency_key text")
    op.execute(
        "create unique index uq_turns_idempotency_key on conversational_ai.turns (organization_id, asked_by, idempotency_key)"
        " where idempotency_key is not null"
    )
    op.execute("create index ix_turns_key_age on conversational_ai.turns (started_at) where idempotency_key is not null")
    allow("luneo_platform", "conversational_ai.turns", "update (idempotency_key)", name="platform")
    op.execute("revoke delete on luneo.idempotent_requests from luneo_app")
    # the owner is held by the policies too: without row-level security on the owner for a moment, every organisation's rows are reached
    op.execute("alter table luneo.idempotent_requests no force row level security")
    op.execute("delete from luneo.idempotent_requests where turn_id is not null")
    op.execute("alter table luneo.idempotent_requests force row level security")
    op.execute("alter table luneo.idempotent_requests drop constraint ck_idempotent_requests_answer_or_turn")
    op.execute("alter table luneo.idempotent_requests drop column turn_id")
    for column in _ANSWER:
        op.execute(f"alter table luneo.idempotent_requests alter column {column} set not null")
