"""Signing out, here or elsewhere."""

from dataclasses import dataclass
from uuid import UUID

from domains.identity.model.session import EndReason
from domains.identity.ports.transactions import IdentityTransactions
from shared_kernel.clock import Clock
from shared_kernel.errors import NotFound
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class EndSession:
    """End one of the caller's own sessions: their current one when it is the one that asks."""

    session_id: UUID
    requested_by: Principal


@dataclass(frozen=True, slots=True)
class EndSessionHandler:
    """Revokes a session."""

    transactions: IdentityTransactions
    clock: Clock

    async def __call__(self, command: EndSession) -> None:
        """End the session; its next request is refused. Raises `NotFound` for somebody else's."""
        async with self.transactions(command.requested_by) as tx:
            session = await tx.sessions.get(command.session_id)
            if session.user_id != command.requested_by.id:
                raise NotFound
            own = command.session_id == command.requested_by.session_id
            session.revoke(EndReason.LOGOUT if own else EndReason.REVOKED, at=self.clock.now())
