"""Billing over HTTP.

Quantities of `storage_gb` are gigabytes (10^9 bytes), also in usage. A limit of `null` is unlimited.
"""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from contracts.http.base import Example, Money, Response

Quantity = int | float


class OverageBody(Response, frozen=True):
    """What may be used beyond the limit: at most `cap` more, at `price` per unit."""

    EXAMPLE: ClassVar[Example] = {"cap": 5000}

    price: Money
    cap: Quantity


class LimitBody(Response, frozen=True):
    """The limit of one metric; without `overage` it is a hard stop."""

    EXAMPLE: ClassVar[Example] = {"metric": "conversations", "limit": 1000}

    metric: str
    limit: Quantity | None
    overage: OverageBody | None


class PlanBody(Response, frozen=True):
    """A plan of the catalogue. Prices are before tax. Plans that are not `self_service` are sold by people."""

    EXAMPLE: ClassVar[Example] = {
        "slug": "pro",
        "name": "Pro",
        "trial_days": 14,
        "features": ["api_access"],
        "channels": ["widget"],
        "agent_rate_per_minute": 60,
        "monthly_credits": 100,
        "analytics_retention_days": 90,
    }

    slug: str
    name: str
    monthly_price: Money
    yearly_price: Money
    self_service: bool
    trial_days: int
    limits: list[LimitBody]
    features: list[str]
    channels: list[str]
    agent_rate_per_minute: int
    monthly_credits: int
    analytics_retention_days: int
    takes_add_ons: bool


class AddOnBody(Response, frozen=True):
    """Raises the limit of `metric` by `bonus` for each one bought, at `monthly_price` each."""

    EXAMPLE: ClassVar[Example] = {"slug": "extra_agents", "metric": "agents", "bonus": 5, "maximum_quantity": 100}

    slug: str
    metric: str
    bonus: Quantity
    monthly_price: Money
    maximum_quantity: int


class CreditPackBody(Response, frozen=True):
    """Credits bought at once."""

    EXAMPLE: ClassVar[Example] = {"credits": 500}

    credits: int
    price: Money


class CatalogueBody(Response, frozen=True):
    """Everything that is sold; `items` are the plans, the smallest first."""

    items: list[PlanBody]
    next_cursor: str | None
    add_ons: list[AddOnBody]
    credit_packs: list[CreditPackBody]


class SubscriptionBody(Response, frozen=True):
    """What the organisation has bought, and what that gives it (add-ons included) in the current period."""

    EXAMPLE: ClassVar[Example] = {
        "plan": "pro",
        "plan_name": "Pro",
        "status": "active",
        "add_ons": {"extra_agents": 1},
        "anchor_day": 31,
        "features": ["api_access"],
        "channels": ["widget"],
        "agent_rate_per_minute": 60,
    }

    plan: str
    plan_name: str
    status: str
    add_ons: dict[str, int]
    anchor_day: int
    started_at: datetime
    period_start: datetime
    period_end: datetime
    limits: list[LimitBody]
    features: list[str]
    channels: list[str]
    agent_rate_per_minute: int


class QuotaBody(Response, frozen=True):
    """One quota. `used` is spent, `reserved` is held by what runs now, `overage` is how much of both is beyond the limit.

    Without a period it is a capacity, which does not start anew.
    """

    EXAMPLE: ClassVar[Example] = {"metric": "conversations", "limit": 1000, "used": 12, "reserved": 1, "overage": 0}

    metric: str
    limit: Quantity | None
    used: Quantity
    reserved: Quantity
    period_start: datetime | None
    period_end: datetime | None
    overage: Quantity


class UsageTotalBody(Response, frozen=True):
    """What was used of a metric, and what it cost in minor units, rounded half up; `null` when it has no cost of its own.

    A turn's cost, prompt and answer together, stands with `tokens_out`; `tokens_in` has none, so that nothing is counted twice.
    """

    EXAMPLE: ClassVar[Example] = {"metric": "tokens_out", "quantity": 8120, "estimated": False}

    metric: str
    quantity: Quantity
    estimated: bool
    cost: Money | None


class UsageBody(Response, frozen=True):
    """Usage from `period_start` (included) to `period_end` (excluded)."""

    period_start: datetime
    period_end: datetime
    totals: list[UsageTotalBody]


class UsageEventBody(Response, frozen=True):
    """One thing that was counted.

    `cost` is rounded half up to minor units; `cost_micro` is the same exactly, in millionths of a minor unit: one turn often costs less
    than a cent. A turn's whole cost stands in its event of `tokens_out`.
    """

    EXAMPLE: ClassVar[Example] = {"metric": "tokens_out", "quantity": 84, "estimated": False, "cost_micro": 5040, "cause": "turn"}

    id: UUID
    metric: str
    quantity: Quantity
    estimated: bool
    cost: Money | None
    cost_micro: int | None
    cause: str
    cause_id: UUID
    occurred_at: datetime


class UsageEventList(Response, frozen=True):
    """A page of usage events, the newest first."""

    items: list[UsageEventBody]
    next_cursor: str | None
