"""What other contexts may ask of billing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from contracts.billing.metrics import Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Entitlement:
    """What an organisation's plan gives it now, add-ons included. A limit of `None` is unlimited."""

    plan: str
    features: frozenset[str]
    limits: Mapping[Metric, int | None]
    agent_rate_per_minute: int


class Entitlements(Protocol):
    """May this organisation do X."""

    async def of(self, organization_id: UUID) -> Entitlement:
        """Return what `organization_id` is entitled to at this moment."""
        ...
