"""Where turns are kept: two transactions each, and what may be asked of them afterwards."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from contracts.idempotency import RequestKey
from domains.conversational_ai.model.turn import EarlierQuestion, OpenedTurn, Question, TurnEnd, TurnRecord
from shared_kernel.principal import Principal


class Turns(Protocol):
    """The store of turns. Each method is one transaction."""

    async def open(self, question: Question) -> OpenedTurn:
        """Store the question, reserve the quota and read what is needed to answer: all or nothing, in one round trip.

        A question that is asked in the place of an earlier one is given the history before that one; at the end it joins the branch.
        A one-off question makes a conversation that is in no list and is never found, and takes no `conversations` from the quota.

        Raises `NotFound` for another organisation's conversation or agent or no such earlier question in the conversation,
        `NotInCurrentBranch`, `AgentNotPublished`, `TurnInProgress`, `TurnAlreadyAsked`, `QuotaExceeded`, `QuotaPeriodMissing` when the
        billing period has to be opened first, and `ConversationIsAhead` for a new message that would sort before one of the conversation.
        """
        ...

    async def end(self, end: TurnEnd, principal: Principal) -> None:
        """Write how the turn ended, settle or release its reservation, and publish it: all or nothing, in one round trip.

        With an answer to a question that was asked in the place of an earlier one, the branch from there on leaves the history.
        A turn that may be asked again gives up its idempotency key and its client message id.

        Raises `TurnNoLongerRunning` or `ReservationNotOpen` when it was ended before; then nothing is changed.
        """
        ...

    async def get(self, principal: Principal, turn_id: UUID) -> TurnRecord:
        """Return a turn. Raises `NotFound`."""
        ...

    async def question(self, principal: Principal, turn_id: UUID) -> EarlierQuestion:
        """Return the question that a turn answers. Raises `NotFound`."""
        ...

    async def asked_under(self, principal: Principal, key: RequestKey, at: datetime) -> TurnRecord | None:
        """Return the turn that the principal's key stands for at `at`.

        Raises `IdempotencyKeyReused` when the key came with another request, of any kind.
        """
        ...

    async def asked_as(self, principal: Principal, conversation_id: UUID, client_message_id: str) -> TurnRecord | None:
        """Return the turn that the client message id stands for in the conversation."""
        ...

    async def remember(self, principal: Principal, key: RequestKey, turn_id: UUID, at: datetime) -> None:
        """Let a key that came with a repetition of the turn's message stand for the turn from now on.

        Raises `TurnAlreadyAsked` when the key stands for something already.
        """
        ...


class AbandonedTurns(Protocol):
    """Turns that nobody runs any more, over all organisations."""

    async def find(self, *, silent_since: datetime, expired_before: datetime, limit: int) -> Sequence[tuple[UUID, UUID, UUID]]:
        """Return (organisation, conversation, turn) of running turns whose runner was last heard before `silent_since`, or that expired."""
        ...

    async def reachable_since(self) -> datetime:
        """Return since when the store has been there without a break, as far as it knows: while it was away nobody could be heard."""
        ...

    async def runners_are_gone(self, before: datetime) -> None:
        """Say that no process heard before `before` runs turns any more; what is left of theirs is found at the next look."""
        ...


class TurnRunners(Protocol):
    """The processes that run turns, by their heartbeats."""

    async def beat(self, runner_id: UUID, at: datetime) -> None:
        """Say that the runner lives."""
        ...

    async def leave(self, runner_id: UUID) -> None:
        """Say that the runner ends; what it still runs is abandoned."""
        ...
