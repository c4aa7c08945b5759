"""Fail the turns whose process went away, and release what they held."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from contracts.billing.errors import ReservationNotOpen
from domains.conversational_ai.model.turn import Failure, TurnEnd, TurnInterrupted, TurnNoLongerRunning, TurnState
from domains.conversational_ai.ports.turns import AbandonedTurns, Turns
from shared_kernel.clock import Clock
from shared_kernel.principal import Principal

_BATCH = 200
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class FailAbandonedTurnsHandler:
    """Runs each few seconds in the scheduler.

    A runner is gone when it was silent for `silence`; a turn has expired `expiry` after it began.
    """

    abandoned: AbandonedTurns
    turns: Turns
    clock: Clock
    silence: timedelta

    async def __call__(self) -> int:
        """Fail them as interrupted and retryable, each in its own organisation's transaction; return how many.

        - A turn that ends meanwhile is left alone: the first to write its end wins.
        - Silence counts once the store has been there for as long: while it was away nobody could be heard, and the answers that wait for
          it are not to be failed before their processes can write them. Those who said good-bye are gone at once.
        """
        now = self.clock.now()
        silent_since = now - self.silence
        if await self.abandoned.reachable_since() > silent_since:
            silent_since = _LONG_AGO
        failed = 0
        for organization_id, conversation_id, turn_id in await self.abandoned.find(
            silent_since=silent_since, expired_before=now, limit=_BATCH
        ):
            error = TurnInterrupted()
            end = TurnEnd(
                turn_id=turn_id,
                conversation_id=conversation_id,
                state=TurnState.FAILED,
                answer=None,
                failure=Failure(error.code, error.title, error.detail, retryable=True),
                ended_at=self.clock.now(),
            )
            try:
                await self.turns.end(end, Principal.system(organization_id))
            except (TurnNoLongerRunning, ReservationNotOpen):
                continue
            failed += 1
        return failed
