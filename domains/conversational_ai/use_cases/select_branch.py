"""Go back to another branch of a conversation."""

from dataclasses import dataclass
from uuid import UUID

from domains.conversational_ai.model.branch import branch_through
from domains.conversational_ai.ports.conversations import ConversationTransactions
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectBranch:
    """Let the conversation go on from the branch that `message_id` is in."""

    conversation_id: UUID
    message_id: UUID
    requested_by: Principal


@dataclass(frozen=True, slots=True)
class SelectBranchHandler:
    """See `SelectBranch`."""

    transactions: ConversationTransactions

    async def __call__(self, command: SelectBranch) -> None:
        """Make the message's branch the current one; nothing that was said is lost.

        - Below the message the branch goes on as it last did.
        - While a turn runs in the conversation, its branch stays; while the branch is selected, no turn opens.
        - Selecting the current branch again changes nothing.

        Raises `NotFound` for another organisation's conversation or no such message in it, `TurnInProgress`.
        """
        async with self.transactions(command.requested_by) as tx:
            conversation = await tx.conversations.hold(command.conversation_id)
            branch = branch_through(await tx.conversations.links(conversation.id), command.message_id)
            await tx.conversations.show(conversation.id, branch)
            conversation.select_branch(command.message_id)
