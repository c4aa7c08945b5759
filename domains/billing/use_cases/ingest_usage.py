"""Take in usage that was not reserved: late, in bulk, perhaps twice."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from domains.billing.model.usage import UsageEvent
from domains.billing.ports.usage_events import UsageEvents
from domains.billing.use_cases.open_periods import OpenPeriods, OpenPeriodsHandler


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestUsage:
    """Record `events` of `organization_id`."""

    organization_id: UUID
    events: Sequence[UsageEvent]


@dataclass(frozen=True, slots=True)
class IngestUsageHandler:
    """Handles `IngestUsage`."""

    open_periods: OpenPeriodsHandler
    usage_events: UsageEvents

    async def __call__(self, command: IngestUsage) -> int:
        """Write what is new and return how many events that were; what is known already changes nothing.

        The current period is opened first, so that no event of it goes uncounted. Raises `NotFound` without an account.
        """
        await self.open_periods(OpenPeriods(organization_id=command.organization_id))
        return await self.usage_events.record(command.organization_id, command.events)
