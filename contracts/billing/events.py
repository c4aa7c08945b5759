"""Facts that billing publishes."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from shared_kernel.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionChanged(Event):
    """An organisation's plan, add-ons or status are others than before; its quotas have changed in the same transaction.

    `plan` and `previous_plan` are slugs of the catalogue; `previous_plan` is `None` when the account was opened. `add_ons` counts each
    add-on by slug.
    """

    TYPE: ClassVar[str] = "billing.subscription_changed.v1"

    organization_id: UUID
    subscription_id: UUID
    plan: str
    previous_plan: str | None
    add_ons: dict[str, int]
    status: str
