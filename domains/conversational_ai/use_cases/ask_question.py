"""Ask an agent a question: authorise, reserve, store, and start the turn."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from contracts.billing.commands import Quotas
from contracts.billing.errors import QuotaPeriodMissing
from contracts.idempotency import IdempotencyInProgress, RequestKey
from contracts.rate_limits import RateLimited
from domains.conversational_ai.model.turn import (
    NO_WISHES,
    AgentNotPublished,
    ClientMessageIdReused,
    ConversationIsAhead,
    EarlierQuestion,
    NotInCurrentBranch,
    OneOff,
    OpenedTurn,
    Question,
    TurnAlreadyAsked,
    TurnInProgress,
    TurnOutcome,
    TurnRecord,
    TurnState,
    Wishes,
)
from domains.conversational_ai.ports.turn_event_log import LoggedEvent
from domains.conversational_ai.ports.turns import Turns
from domains.conversational_ai.use_cases.agent_rate import AgentRate
from domains.conversational_ai.use_cases.follow_turn import FollowTurnHandler
from domains.conversational_ai.use_cases.running_turns import RunningTurns
from shared_kernel.clock import Clock
from shared_kernel.errors import FieldError, InvalidInput
from shared_kernel.identifiers import id_after, new_id
from shared_kernel.principal import Principal

MAXIMUM_LENGTH = 8_000
MAXIMUM_CLIENT_ID_LENGTH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class AskQuestion:
    """A visitor's message. `client_message_id` makes it unique in the conversation, `idempotency_key` among the caller's requests.

    It belongs to a conversation, or is a `one_off` question to an agent. `edit_of` is the earlier question of the conversation in whose
    place it is asked.

    `streamed` says that the caller follows the answer as it comes, and may come back for the rest of it on another replica.
    """

    conversation_id: UUID | None
    content: str
    requested_by: Principal
    one_off: OneOff | None = None
    wishes: Wishes = NO_WISHES
    client_message_id: str | None = None
    idempotency_key: RequestKey | None = None
    edit_of: UUID | None = None
    streamed: bool = True


@dataclass(frozen=True, slots=True)
class AskedTurn:
    """The turn that answers, first asked at `asked_at`: followed by its `events` from the first on, or awaited whole by `outcome`.

    `repeated` says that it was asked before.
    """

    turn_id: UUID
    conversation_id: UUID
    asked_at: datetime
    events: AsyncIterator[tuple[LoggedEvent, ...]]
    outcome: Callable[[], Awaitable[TurnOutcome]]
    repeated: bool


@dataclass(frozen=True, slots=True)
class AskQuestionHandler:
    """See `AskQuestion`. The reservation outlives the turn's hard limit by `grace`."""

    turns: Turns
    running: RunningTurns
    quotas: Quotas
    follow: FollowTurnHandler
    clock: Clock
    agent_rate: AgentRate
    turn_limit: timedelta
    grace: timedelta

    async def __call__(self, command: AskQuestion) -> AskedTurn:
        """Open the turn and start it; the same message again gives the same turn.

        - It is asked in a conversation or of an agent, not both.
        - The content is 1 to 8,000 characters after trimming.
        - The conversation's agent is published, no other turn runs in it, and the quota allows one more answer.
        - The agent answers no more turns in a minute than its plan says; a message that is only repeated is not counted.
        - A repeated idempotency key whose turn still runs is refused; a repeated client message id is followed.
        - A key that comes with a repeated client message id stands for that turn from then on.
        - With `edit_of`, the earlier question and what came after it leave the current branch as soon as there is something of an answer.

        Raises `InvalidInput`, `NotFound`, `NotInCurrentBranch`, `AgentNotPublished`, `TurnInProgress`, `QuotaExceeded`, `RateLimited`,
        `IdempotencyInProgress`, `IdempotencyKeyReused`,
        `ClientMessageIdReused`.
        """
        return await self.open(self._question(command), streamed=command.streamed)

    async def open(self, question: Question, *, streamed: bool) -> AskedTurn:
        """Open the question's turn and start it, or follow the one that was opened for it before; raises what asking raises."""
        try:
            opened = await self._open(question)
        except (
            TurnAlreadyAsked,
            TurnInProgress,
            NotInCurrentBranch,
            AgentNotPublished,
            RateLimited,
        ) as refused:  # the first answer stays, whatever comes
            before = await self._asked_before(question)
            if before is not None:
                return await self._again(question.asked_by, before)
            if isinstance(refused, TurnAlreadyAsked) and question.idempotency_key is not None:
                raise IdempotencyInProgress from refused  # another request is just claiming the key, or its turn has just failed
            raise
        running = self.running.start(opened, streamed=streamed)
        await asyncio.sleep(0)  # the turn begins now: the model is asked while the response is prepared
        return AskedTurn(
            question.turn_id, question.conversation_id, question.asked_at, running.stream.follow(), running.outcome, repeated=False
        )

    def _question(self, command: AskQuestion) -> Question:
        content = command.content.strip()
        if not content:
            raise InvalidInput(FieldError("content", "empty", "write a message"))
        if len(content) > MAXIMUM_LENGTH:
            raise InvalidInput(FieldError("content", "too_long", f"must be at most {MAXIMUM_LENGTH} characters"))
        if "\x00" in content or (not content.isascii() and any("\ud800" <= c <= "\udfff" for c in content)):
            raise InvalidInput(FieldError("content", "invalid", "must not hold the character NUL or half of a surrogate pair"))
        client_id = command.client_message_id
        if client_id is not None and not (1 <= len(client_id) <= MAXIMUM_CLIENT_ID_LENGTH and client_id.isprintable()):
            raise InvalidInput(FieldError("client_message_id", "invalid", f"must be 1 to {MAXIMUM_CLIENT_ID_LENGTH} printable characters"))
        if (command.conversation_id is None) == (command.one_off is None):
            raise InvalidInput(FieldError("conversation_id", "invalid", "ask in a conversation or of an agent"))
        if command.edit_of is not None and command.one_off is not None:
            raise InvalidInput(FieldError("edit_of", "invalid", "only a question of a conversation has another in its place"))
        turn_id = new_id()
        subject = command.one_off.agent_id if command.one_off else command.conversation_id or turn_id
        place = b"" if command.edit_of is None else command.edit_of.bytes
        return self.question(
            EarlierQuestion(conversation_id=command.conversation_id or turn_id, message_id=new_id(), content=content),
            turn_id=turn_id,
            asked_by=command.requested_by,
            said=subject.bytes + place + content.encode(),
            branch_from=command.edit_of,
            client_message_id=client_id,
            idempotency_key=command.idempotency_key,
            one_off=command.one_off,
            wishes=command.wishes,
        )

    def question(
        self,
        message: EarlierQuestion,
        *,
        asked_by: Principal,
        said: bytes,
        branch_from: UUID | None,
        idempotency_key: RequestKey | None,
        turn_id: UUID | None = None,
        client_message_id: str | None = None,
        one_off: OneOff | None = None,
        wishes: Wishes = NO_WISHES,
    ) -> Question:
        """Return the message as a question that is asked now; `said` is what a repetition of it says too."""
        now = self.clock.now()
        return Question(
            turn_id=turn_id or new_id(),
            message_id=message.message_id,
            conversation_id=message.conversation_id,
            content=message.content,
            asked_by=asked_by,
            asked_at=now,
            expires_at=now + self.turn_limit + self.grace,
            runner_id=self.running.runner_id,
            digest=hashlib.sha256(said).digest(),
            client_message_id=client_message_id,
            idempotency_key=idempotency_key,
            branch_from=branch_from,
            one_off=one_off,
            wishes=wishes,
        )

    async def _open(self, question: Question) -> OpenedTurn:
        agent_id = question.one_off.agent_id if question.one_off else None
        rules = await self.agent_rate.count(question.asked_by, question.conversation_id, agent_id=agent_id)
        try:
            try:
                return await self._in_order(question)
            except QuotaPeriodMissing:
                await self.quotas.open_periods(question.asked_by.tenant)
                return await self._in_order(question)
        except Exception:
            await self.agent_rate.give_back(rules)
            raise

    async def _in_order(self, question: Question) -> OpenedTurn:
        """Open the turn with a message that sorts after all of its conversation, whichever replica's clock is ahead."""
        try:
            return await self.turns.open(question)
        except ConversationIsAhead as ahead:
            return await self.turns.open(replace(question, message_id=id_after(ahead.last_message_id)))

    async def _asked_before(self, question: Question) -> TurnRecord | None:
        caller, key = question.asked_by, question.idempotency_key
        before = None if key is None else await self.turns.asked_under(caller, key, question.asked_at)
        known = before is not None
        if not known and question.client_message_id is not None:
            before = await self.turns.asked_as(caller, question.conversation_id, question.client_message_id)
        if before is None:
            return None
        if before.question_digest != question.digest:
            raise ClientMessageIdReused
        if key is not None and before.state is TurnState.RUNNING:
            raise IdempotencyInProgress
        if key is not None and not known:
            await self._remember(caller, key, before.id)
        return before

    async def _remember(self, caller: Principal, key: RequestKey, turn_id: UUID) -> None:
        try:
            await self.turns.remember(caller, key, turn_id, self.clock.now())
        except TurnAlreadyAsked as error:
            raise IdempotencyInProgress from error

    async def _again(self, caller: Principal, before: TurnRecord) -> AskedTurn:
        events = await self.follow(caller, before.id, after=0)

        async def outcome() -> TurnOutcome:
            async for _ in events:
                continue
            return (await self.turns.get(caller, before.id)).outcome

        return AskedTurn(before.id, before.conversation_id, before.started_at, events, outcome, repeated=True)
