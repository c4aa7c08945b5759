"""Show each thing that was counted."""

from dataclasses import dataclass

from domains.billing.model.usage import UsageEvent
from domains.billing.ports.billing_reader import BillingReader
from shared_kernel.pagination import Page, PageRequest
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class ListUsageEvents:
    """One page of usage events."""

    page: PageRequest
    requested_by: Principal


@dataclass(frozen=True, slots=True)
class ListUsageEventsHandler:
    """Answers `ListUsageEvents`."""

    reader: BillingReader

    async def __call__(self, query: ListUsageEvents) -> Page[UsageEvent]:
        """Return the page, the newest event first. Raises `InvalidInput` for a wrong cursor."""
        return await self.reader.usage_events(query.requested_by, query.page)
