"""Stop a running turn: what was said so far is kept and metered."""

from dataclasses import dataclass
from uuid import UUID

from domains.conversational_ai.model.turn import TurnRecord, TurnState
from domains.conversational_ai.ports.turn_stop_signals import TurnStopSignals
from domains.conversational_ai.ports.turns import Turns
from domains.conversational_ai.use_cases.running_turns import RunningTurns
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class StopTurn:
    """Ask a turn to end now."""

    turn_id: UUID
    requested_by: Principal


@dataclass(frozen=True, slots=True)
class StopTurnHandler:
    """See `StopTurn`."""

    turns: Turns
    running: RunningTurns
    signals: TurnStopSignals

    async def __call__(self, command: StopTurn) -> TurnRecord:
        """Ask whichever process runs the turn to stop it; return the turn as it was found. A turn that has ended stays as it is.

        Raises `NotFound`; `Unavailable` when another process runs it and cannot be told.
        """
        record = await self.turns.get(command.requested_by, command.turn_id)
        if record.state is TurnState.RUNNING:
            here = self.running.find(command.requested_by.tenant, command.turn_id)
            if here is not None:
                here.stop()
            else:
                await self.signals.request_stop(command.requested_by.tenant, command.turn_id)
        return record
