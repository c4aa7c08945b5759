"""The end of an API key."""

from dataclasses import dataclass
from uuid import UUID

from domains.identity.ports.transactions import IdentityTransactions
from shared_kernel.clock import Clock
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeApiKey:
    """End a key for good."""

    api_key_id: UUID
    requested_by: Principal


@dataclass(frozen=True, slots=True)
class RevokeApiKeyHandler:
    """Revokes a key."""

    transactions: IdentityTransactions
    clock: Clock

    async def __call__(self, command: RevokeApiKey) -> None:
        """End the key; its next call is refused. A second call changes nothing. Raises `NotFound`."""
        async with self.transactions(command.requested_by) as tx:
            (await tx.api_keys.get(command.api_key_id)).revoke(self.clock.now())
