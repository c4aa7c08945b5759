"""How a request on one replica stops a turn that runs on another."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class StopRequest:
    """Somebody who may do so asked that the turn of this organisation ends now."""

    organization_id: UUID
    turn_id: UUID


class TurnStopSignals(Protocol):
    """Carries stop requests to every process. A signal may be lost with the store; the turn's hard limit is the guarantee."""

    async def request_stop(self, organization_id: UUID, turn_id: UUID) -> None:
        """Ask whichever process runs the turn to stop it. Raises `Unavailable` when the signal could not be sent."""
        ...

    def subscribe_stops(self) -> AsyncIterator[StopRequest]:
        """Yield each request made from now on, by any process; one subscription per process.

        Outlives failures of the store and never ends by itself.
        """
        ...
