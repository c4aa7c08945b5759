"""Messages form a tree: a question can be answered anew, or asked otherwise, and what was said before stays in the record."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Say of each message after which it comes and whether it is in the current branch, and of a turn which earlier question it answers.

    `parent_id` and `question_id` have no foreign key: a message and what it names stand in one conversation, are written by one statement
    and go together, and a key would ask for an index of its own at every message.
    """
    op.execute("alter table conversational_ai.messages add column parent_id uuid")
    op.execute("alter table conversational_ai.messages add column shown boolean not null default true")
    op.execute("alter table conversational_ai.turns add column question_id uuid")
    # the owner is held by the policies too: without row-level security on the owner for a moment, every organisation's rows are reached
    op.execute("alter table conversational_ai.messages no force row level security")
    op.execute(
        """
        update conversational_ai.messages m set parent_id = before.parent_id
          from (select organization_id, id, lag(id) over (partition by organization_id, conversation_id order by id) as parent_id
                  from conversational_ai.messages) before
         where before.organization_id = m.organization_id and before.id = m.id and before.parent_id is not null
        """
    )
    op.execute("alter table conversational_ai.messages force row level security")
    op.execute("grant update (shown) on conversational_ai.messages to luneo_app")


def downgrade() -> None:
    """Forget the branches: every message is in the one list again."""
    op.execute("revoke update (shown) on conversational_ai.messages from luneo_app")
    op.execute("alter table conversational_ai.turns drop column question_id")
    op.execute("alter table conversational_ai.messages drop column shown")
    op.execute("alter table conversational_ai.messages drop column parent_id")
