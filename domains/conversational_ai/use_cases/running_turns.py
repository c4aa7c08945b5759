"""The turns that this process runs, each in a task of its own: it outlives the request that began it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID

from domains.conversational_ai.model.turn import OpenedTurn, TurnOutcome
from domains.conversational_ai.ports.turn_event_log import LoggedEvent, TurnEventSink
from domains.conversational_ai.ports.turn_stop_signals import TurnStopSignals
from domains.conversational_ai.use_cases.orchestrator import Orchestrator, TurnControl
from domains.conversational_ai.use_cases.turn_stream import TurnStream
from shared_kernel.identifiers import new_id


@dataclass(slots=True)
class RunningTurn:
    """One turn in its task, which returns how it ended."""

    organization_id: UUID
    stream: TurnStream
    control: TurnControl
    task: asyncio.Task[TurnOutcome]

    async def outcome(self) -> TurnOutcome:
        """Wait for the end; whoever no longer waits does not end the turn."""
        return await asyncio.shield(self.task)

    def stop(self) -> None:
        """End the answer with what there is; without effect once the end is being written."""
        if not self.control.finishing and not self.control.stop_asked:
            self.control.stop_asked = True
            self._cancel()

    def interrupt(self) -> None:
        """Fail the turn as interrupted; without effect once the end is being written."""
        if not self.control.finishing:
            self._cancel()

    def _cancel(self) -> None:
        self.control.interrupted = True
        if self.control.begun:
            self.task.cancel()


@dataclass(slots=True)
class RunningTurns:
    """Starts turns, finds them, stops them, and lets them finish when the process ends. Belongs to one event loop.

    `runner_id` names this process in the turns that it runs.
    """

    orchestrator: Orchestrator
    sink: TurnEventSink
    signals: TurnStopSignals
    runner_id: UUID = field(default_factory=new_id)
    _turns: dict[UUID, RunningTurn] = field(default_factory=dict)

    def start(self, turn: OpenedTurn, *, streamed: bool) -> RunningTurn:
        """Run `turn` in a task of its own.

        The events of a `streamed` turn also go to the log that other replicas read. Whoever waits for the whole answer never resumes in the
        middle of it: the stored answer is enough.
        """
        organization_id, turn_id = turn.question.asked_by.tenant, turn.question.turn_id

        def log(event: LoggedEvent) -> None:
            self.sink.put(organization_id, turn_id, event)

        stream = TurnStream(turn_id, log if streamed else None)
        control = TurnControl()
        task = asyncio.get_running_loop().create_task(self.orchestrator.answer(turn, stream, control), name="turn")
        running = self._turns[turn_id] = RunningTurn(organization_id, stream, control, task)
        task.add_done_callback(lambda _: self._turns.pop(turn_id, None))
        return running

    def find(self, organization_id: UUID, turn_id: UUID) -> RunningTurn | None:
        """Return the organisation's turn when this process runs it."""
        turn = self._turns.get(turn_id)
        return turn if turn is not None and turn.organization_id == organization_id else None

    def of(self, organization_id: UUID) -> list[RunningTurn]:
        """Return all turns of one organisation that run here."""
        return [t for t in self._turns.values() if t.organization_id == organization_id]

    def follow(self, organization_id: UUID, turn_id: UUID, after: int) -> AsyncIterator[tuple[LoggedEvent, ...]] | None:
        """Return the turn's events after `after` when this process runs it."""
        turn = self.find(organization_id, turn_id)
        return None if turn is None else turn.stream.follow(after)

    async def obey_stop_signals(self) -> None:
        """Stop the turns that requests on other replicas ask to stop; runs until cancelled."""
        async for request in self.signals.subscribe_stops():
            turn = self.find(request.organization_id, request.turn_id)
            if turn is not None:
                turn.stop()

    async def drain(self, seconds: float) -> None:
        """Let running turns finish for `seconds`, then fail the rest as interrupted; none is ever run again by itself."""
        tasks = [t.task for t in self._turns.values()]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=seconds)
        for turn in list(self._turns.values()):
            turn.interrupt()
        if late:
            await asyncio.wait(late, timeout=10)
