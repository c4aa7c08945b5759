"""An organisation's plan and add-ons."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from contracts.billing.events import SubscriptionChanged
from contracts.billing.plans import PlanSlug
from domains.billing.model.catalogue import Allowances, Plan, allowances_of, checked_add_ons, plan_named
from domains.billing.model.period import BillingPeriod
from shared_kernel.aggregate import Aggregate, AuditNote
from shared_kernel.identifiers import new_id


class SubscriptionStatus(StrEnum):
    """Whether the subscription is served. Nothing suspends one until there are payments."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


@dataclass(eq=False, kw_only=True)
class Subscription(Aggregate):
    """What an organisation has bought: exactly one per organisation, from its first day.

    `add_ons` counts each add-on by slug. Periods begin on `anchor_day` (1–31), the day the account was opened.
    """

    AGGREGATE: ClassVar[str] = "subscription"

    id: UUID
    organization_id: UUID
    plan: PlanSlug
    anchor_day: int
    started_at: datetime
    add_ons: dict[str, int] = field(default_factory=dict)
    status: SubscriptionStatus = SubscriptionStatus.ACTIVE
    version: int = 1

    @classmethod
    def open(cls, *, organization_id: UUID, plan: str, at: datetime) -> "Subscription":
        """Open an account on `plan`, anchored on the day of `at` (UTC). Raises `UnknownPlan`."""
        subscription = cls(
            id=new_id(),
            organization_id=organization_id,
            plan=plan_named(plan).slug,
            anchor_day=at.astimezone(UTC).day,
            started_at=at,
        )
        subscription.record(subscription._changed(previous_plan=None))
        subscription.note(AuditNote(action="subscription.opened", after=subscription._terms()))
        return subscription

    @property
    def terms(self) -> Plan:
        """The plan in the catalogue."""
        return plan_named(self.plan)

    @property
    def allowances(self) -> Allowances:
        """What plan and add-ons give together."""
        return allowances_of(self.terms, self.add_ons)

    def period(self, at: datetime) -> BillingPeriod:
        """Return the billing period around `at`."""
        return BillingPeriod.containing(self.anchor_day, at)

    def change_plan(self, plan: str, add_ons: Mapping[str, int]) -> bool:
        """Switch to `plan` with exactly `add_ons`; return whether anything changed. The anchor day stays.

        Raises `UnknownPlan`, `AddOnNotAvailable`.
        """
        terms = plan_named(plan)
        wanted = checked_add_ons(terms, add_ons)
        if terms.slug == self.plan and wanted == self.add_ons:
            return False
        before, previous = self._terms(), self.plan
        self.plan, self.add_ons = terms.slug, wanted
        self.record(self._changed(previous_plan=previous))
        self.note(AuditNote(action="subscription.changed", before=before, after=self._terms()))
        return True

    def _terms(self) -> dict[str, object]:
        return {"plan": self.plan.value, "add_ons": dict(self.add_ons), "status": self.status.value}

    def _changed(self, *, previous_plan: PlanSlug | None) -> SubscriptionChanged:
        return SubscriptionChanged(
            organization_id=self.organization_id,
            subscription_id=self.id,
            plan=self.plan.value,
            previous_plan=previous_plan.value if previous_plan else None,
            add_ons=dict(self.add_ons),
            status=self.status.value,
        )
