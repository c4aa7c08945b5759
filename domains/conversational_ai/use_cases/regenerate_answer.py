"""Answer a question anew: as a new turn, with the history that its first answer had."""

from dataclasses import dataclass
from uuid import UUID

from contracts.idempotency import RequestKey
from domains.conversational_ai.ports.turns import Turns
from domains.conversational_ai.use_cases.ask_question import AskedTurn, AskQuestionHandler
from shared_kernel.principal import Principal

_AGAIN = b"answered anew"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegenerateAnswer:
    """Answer the question of a turn once more. `idempotency_key` and `streamed` are as in `AskQuestion`."""

    turn_id: UUID
    requested_by: Principal
    idempotency_key: RequestKey | None = None
    streamed: bool = True


@dataclass(frozen=True, slots=True)
class RegenerateAnswerHandler:
    """See `RegenerateAnswer`."""

    turns: Turns
    ask: AskQuestionHandler

    async def __call__(self, command: RegenerateAnswer) -> AskedTurn:
        """Open a turn for the same question and start it.

        - The question is in the conversation's current branch.
        - Everything else is as for a question that is asked: quota, rate, one running turn in a conversation, repeated keys.
        - The earlier answer, and what came after it, stay in the record and leave the current branch as soon as there is something of a new
          one; when nothing comes, the conversation is as before.

        Raises `NotFound`, `NotInCurrentBranch`, and what asking raises.
        """
        earlier = await self.turns.question(command.requested_by, command.turn_id)
        question = self.ask.question(
            earlier,
            asked_by=command.requested_by,
            said=_AGAIN + command.turn_id.bytes,
            branch_from=earlier.message_id,
            idempotency_key=command.idempotency_key,
        )
        return await self.ask.open(question, streamed=command.streamed)
