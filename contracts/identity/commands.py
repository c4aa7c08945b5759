"""What other contexts ask of identity inside their own transaction: the closed list of the ADR on transactions."""

from typing import Protocol

from shared_kernel.unit_of_work import UnitOfWork


class Confirmations(Protocol):
    """Lets the check that a caller still stands ride in the first database round trip of the request."""

    async def confirm(self, unit: UnitOfWork) -> None:
        """Make the transaction fail unless its principal still stands and holds the permission that it was let in for.

        To be queued before everything else. Does nothing for a principal that was confirmed when it was made.
        Raises `Unauthenticated`, `OrganizationSuspended` or `PermissionDenied`; in a pipeline when that is left.
        """
        ...
