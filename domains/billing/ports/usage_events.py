"""The book of usage."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from domains.billing.model.usage import UsageEvent


class UsageEvents(Protocol):
    """Usage events, append-only."""

    async def record(self, organization_id: UUID, batch: Sequence[UsageEvent]) -> int:
        """Write those of `batch` that are new and return how many that were, in a transaction of its own.

        Counters follow: what has happened counts, even beyond a limit, in the period in which it happened. Events that are known already,
        in the book or twice in
        the batch, change nothing.
        """
        ...
