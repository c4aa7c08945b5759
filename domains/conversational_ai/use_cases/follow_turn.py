"""Follow a turn's events, from wherever they are: this process, the log of another, or the stored answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from uuid import UUID

from domains.conversational_ai.model.turn import TurnRecord, TurnState
from domains.conversational_ai.ports.turn_event_log import TERMINAL_EVENTS, LoggedEvent, TurnEventLog, TurnEventsMissing
from domains.conversational_ai.ports.turns import Turns
from domains.conversational_ai.use_cases.running_turns import RunningTurns
from domains.conversational_ai.use_cases.turn_fields import completed_fields, message_fields, problem_fields, usage_fields
from domains.conversational_ai.use_cases.turn_stream import TurnStream
from shared_kernel.errors import Unavailable
from shared_kernel.principal import Principal

_LOOK_AGAIN_SECONDS = 1.0
_IDLE_SECONDS = 5.0
_LAG_SECONDS = 0.5  # how far the log may be behind an end that was stored


@dataclass(frozen=True, slots=True)
class FollowTurnHandler:
    """Finds a turn's events."""

    turns: Turns
    log: TurnEventLog
    running: RunningTurns

    async def __call__(self, principal: Principal, turn_id: UUID, *, after: int) -> AsyncIterator[tuple[LoggedEvent, ...]]:
        """Return the turn's events after sequence `after`, then follow it to its end.

        Reads this process's memory, else the log that all replicas share, else what was stored. Raises `NotFound` for another
        organisation's turn.
        """
        record = await self.turns.get(principal, turn_id)
        here = self.running.follow(principal.tenant, turn_id, after)
        return here if here is not None else self._elsewhere(principal, record, after)

    async def _elsewhere(self, principal: Principal, record: TurnRecord, after: int) -> AsyncIterator[tuple[LoggedEvent, ...]]:
        position = after
        while True:
            running = record.state is TurnState.RUNNING
            if not running and 0 < record.last_sequence <= position:
                return  # the caller has them all
            try:
                if running or await self.log.exists(principal.tenant, record.id):
                    idle_seconds = _IDLE_SECONDS if running else _LAG_SECONDS
                    async with aclosing(self.log.read(principal.tenant, record.id, position, idle_seconds=idle_seconds)) as events:
                        async for event in events:
                            position = event.sequence
                            yield (event,)
                            if event.name in TERMINAL_EVENTS:
                                return
            except (TurnEventsMissing, Unavailable):
                if running:
                    await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            record = await self.turns.get(principal, record.id)
            if not running:
                yield tuple(e for e in stored_events(record, after=position) if e.sequence > position)
                return
            if record.state is TurnState.RUNNING:
                yield ()


def stored_events(record: TurnRecord, *, after: int) -> list[LoggedEvent]:
    """Return the events of an ended turn as its stored answer tells them, numbered so that the last has the number it was sent with.

    A turn whose process went away was ended by a sweeper, which does not know how far the stream had come: its end follows `after`.
    """
    events: list[LoggedEvent] = []
    stream = TurnStream(record.id, events.append)
    outcome = record.outcome
    answer = {"message": message_fields(record.answer), "usage": usage_fields(record.answer.usage)} if record.answer else {}
    if record.state is TurnState.COMPLETED:
        stream.send("answer.completed", completed_fields(record.answer) if record.answer else answer)
        stream.send("turn.completed", {"conversation_id": str(record.conversation_id)})
    elif outcome.failure is None:
        stream.send("turn.stopped", answer)
    else:
        stream.send("turn.failed", {"problem": problem_fields(outcome.failure), **answer})
    shift = max(record.last_sequence - len(events), 0) if record.last_sequence else after
    return [_renumbered(event, shift) for event in events]


def _renumbered(event: LoggedEvent, shift: int) -> LoggedEvent:
    sequence = event.sequence + shift
    data = event.data.replace(f'"sequence":{event.sequence}'.encode(), f'"sequence":{sequence}'.encode(), 1)
    return LoggedEvent(sequence, event.name, data)
