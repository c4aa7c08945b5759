"""What need not be kept is not kept."""

from dataclasses import dataclass
from datetime import timedelta

from domains.identity.ports.transactions import IdentityTransactions
from shared_kernel.clock import Clock
from shared_kernel.principal import Principal

#: Long enough for a second click on a used link to be told so, and for a person to look up an old device.
KEPT = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class ForgetSpent:
    """A scheduled duty, hourly."""

    transactions: IdentityTransactions
    clock: Clock

    async def __call__(self) -> int:
        """Delete wishes for an account and sessions that ended a week ago; return how many."""
        before = self.clock.now() - KEPT
        async with self.transactions(Principal.system(None, name="identity.forget_spent")) as tx:
            return await tx.sign_ups.forget_spent(before=before) + await tx.sessions.forget_spent(before=before)
