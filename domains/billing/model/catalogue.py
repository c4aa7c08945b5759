"""The whole catalogue, in one place: plans, limits, features, overage, add-ons, credit packs.

Everything that shows a price or enforces a limit reads it here. Prices are in EUR, before tax. `None` is unlimited.
`storage_gb` is counted in bytes (see `Metric`), `upload_mb` in megabytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from contracts.billing.errors import AddOnNotAvailable, UnknownPlan
from contracts.billing.metrics import BYTES_PER_GIGABYTE, CAPACITIES, PERIODIC, Metric
from contracts.billing.plans import PlanSlug
from shared_kernel.errors import FieldError
from shared_kernel.money import Money

COUNTED = tuple(sorted(PERIODIC | CAPACITIES))
"""Every metric that has a counter, in the order in which counters are locked."""


class Feature(StrEnum):
    """Something a plan has or has not."""

    API_ACCESS = "api_access"
    ADVANCED_ANALYTICS = "advanced_analytics"
    PRIORITY_SUPPORT = "priority_support"
    WHITE_LABEL = "white_label"
    VISUAL_BUILDER = "visual_builder"
    EMAIL_CHANNEL = "email_channel"
    CUSTOM_ACTIONS = "custom_actions"
    CUSTOM_INTEGRATIONS = "custom_integrations"
    MULTI_MODEL = "multi_model"
    SENTIMENT = "sentiment"
    AUTO_IMPROVEMENT = "auto_improvement"
    SSO_SAML = "sso_saml"
    AB_TESTING = "ab_testing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overage:
    """What may be used beyond a limit: at most `cap` more, each `unit` of it (a gigabyte, one message) at `price`."""

    price: Money
    cap: int
    unit: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """How much of one metric an organisation gets; without `overage` the limit is a hard stop.

    Raises `ValueError` for a negative limit and for an overage beyond unlimited.
    """

    limit: int | None
    overage: Overage | None = None

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 0:
            raise ValueError("a limit cannot be negative")
        if self.limit is None and self.overage is not None:
            raise ValueError("there is nothing beyond unlimited")

    @property
    def ceiling(self) -> int | None:
        """Where the hard stop is: the limit and its overage cap."""
        if self.limit is None:
            return None
        return self.limit + (self.overage.cap if self.overage else 0)

    def raised(self, bonus: int) -> "Allowance":
        """Return this allowance with `bonus` more; unlimited stays unlimited."""
        return self if self.limit is None else Allowance(limit=self.limit + bonus, overage=self.overage)


Allowances = Mapping[Metric, Allowance]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One plan. `self_service` plans are bought without talking to us; `trial_days` of 0 means no trial."""

    slug: PlanSlug
    name: str
    monthly: Money
    yearly: Money
    self_service: bool
    trial_days: int
    add_ons: bool
    allowances: Allowances
    features: frozenset[Feature]
    channels: tuple[str, ...]
    agent_rate_per_minute: int
    monthly_credits: int
    analytics_retention_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AddOn:
    """Raises the limit of `metric` by `bonus` for each one bought, at `monthly` each."""

    slug: str
    metric: Metric
    bonus: int
    monthly: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditPack:
    """Credits bought at once. One credit pays one conversation beyond the quota."""

    credits: int
    price: Money


MAXIMUM_ADD_ON_QUANTITY = 100


def _eur(cents: int) -> Money:
    return Money(cents, "EUR")


def _hard(limit: int | None) -> Allowance:
    return Allowance(limit=limit)


def _then(limit: int, cents: int, *, cap: int | None = None, unit: int = 1) -> Allowance:
    """Overage at `cents` per unit; where no other cap is published, at most as much again as the plan includes."""
    return Allowance(limit=limit, overage=Overage(price=_eur(cents), cap=limit if cap is None else cap, unit=unit))


def _allowances(
    *,
    agents: Allowance,
    knowledge_bases: Allowance,
    documents: Allowance,
    upload_mb: Allowance,
    storage_gb: Allowance,
    team_members: Allowance,
    conversations: Allowance,
    messages_ai: Allowance,
    api_calls: Allowance,
) -> Allowances:
    """Name every enforced metric: a plan that forgets one does not start."""
    return MappingProxyType(
        {
            Metric.AGENTS: agents,
            Metric.KNOWLEDGE_BASES: knowledge_bases,
            Metric.DOCUMENTS: documents,
            Metric.UPLOAD_MB: upload_mb,
            Metric.STORAGE_GB: storage_gb,
            Metric.TEAM_MEMBERS: team_members,
            Metric.CONVERSATIONS: conversations,
            Metric.MESSAGES_AI: messages_ai,
            Metric.API_CALLS: api_calls,
        }
    )


_PRO_FEATURES = frozenset(
    {
        Feature.API_ACCESS,
        Feature.PRIORITY_SUPPORT,
        Feature.VISUAL_BUILDER,
        Feature.EMAIL_CHANNEL,
        Feature.CUSTOM_ACTIONS,
        Feature.CUSTOM_INTEGRATIONS,
        Feature.MULTI_MODEL,
        Feature.SENTIMENT,
        Feature.AUTO_IMPROVEMENT,
    }
)
_BUSINESS_FEATURES = _PRO_FEATURES | {Feature.ADVANCED_ANALYTICS, Feature.WHITE_LABEL}
_ENTERPRISE_FEATURES = _BUSINESS_FEATURES | {Feature.SSO_SAML, Feature.AB_TESTING}
_ALL_CHANNELS = ("widget", "email", "slack", "whatsapp", "messenger", "instagram", "telegram", "sms", "api")
_GB = BYTES_PER_GIGABYTE

FREE = Plan(
    slug=PlanSlug.FREE,
    name="FREE",
    monthly=_eur(0),
    yearly=_eur(0),
    self_service=True,
    trial_days=0,
    add_ons=False,
    allowances=_allowances(
        agents=_hard(1),
        knowledge_bases=_hard(1),
        documents=_hard(10),
        upload_mb=_hard(5),
        storage_gb=_hard(_GB // 2),
        team_members=_hard(1),
        conversations=_hard(100),
        messages_ai=_hard(1_000),
        api_calls=_hard(0),
    ),
    features=frozenset(),
    channels=("widget",),
    agent_rate_per_minute=10,
    monthly_credits=3,
    analytics_retention_days=7,
)
PRO = Plan(
    slug=PlanSlug.PRO,
    name="PRO",
    monthly=_eur(49_00),
    yearly=_eur(468_00),
    self_service=True,
    trial_days=14,
    add_ons=True,
    allowances=_allowances(
        agents=_hard(5),
        knowledge_bases=_hard(5),
        documents=_then(200, 15),
        upload_mb=_hard(25),
        storage_gb=_then(10 * _GB, 40, unit=_GB),
        team_members=_hard(5),
        conversations=_then(2_000, 8, cap=1_000),
        messages_ai=_then(20_000, 1, cap=10_000),
        api_calls=_then(50_000, 1),
    ),
    features=_PRO_FEATURES,
    channels=_ALL_CHANNELS,
    agent_rate_per_minute=60,
    monthly_credits=100,
    analytics_retention_days=90,
)
BUSINESS = Plan(
    slug=PlanSlug.BUSINESS,
    name="BUSINESS",
    monthly=_eur(149_00),
    yearly=_eur(1_428_00),
    self_service=True,
    trial_days=14,
    add_ons=True,
    allowances=_allowances(
        agents=_hard(25),
        knowledge_bases=_hard(25),
        documents=_then(1_000, 10),
        upload_mb=_hard(100),
        storage_gb=_then(100 * _GB, 30, unit=_GB),
        team_members=_hard(25),
        conversations=_then(15_000, 5, cap=5_000),
        messages_ai=_then(150_000, 1, cap=50_000),
        api_calls=_then(200_000, 1),
    ),
    features=_BUSINESS_FEATURES,
    channels=_ALL_CHANNELS,
    agent_rate_per_minute=90,
    monthly_credits=500,
    analytics_retention_days=90,
)
ENTERPRISE = Plan(
    slug=PlanSlug.ENTERPRISE,
    name="ENTERPRISE",
    monthly=_eur(499_00),
    yearly=_eur(4_990_00),
    self_service=False,
    trial_days=30,
    add_ons=True,
    allowances=_allowances(
        agents=_hard(None),
        knowledge_bases=_hard(None),
        documents=_hard(None),
        upload_mb=_hard(500),
        storage_gb=_hard(None),
        team_members=_hard(None),
        conversations=_hard(None),
        messages_ai=_hard(None),
        api_calls=_hard(None),
    ),
    features=_ENTERPRISE_FEATURES,
    channels=_ALL_CHANNELS,
    agent_rate_per_minute=120,
    monthly_credits=99_999,
    analytics_retention_days=365,
)

PLANS = (FREE, PRO, BUSINESS, ENTERPRISE)
"""From the smallest to the largest."""

ADD_ONS = (
    AddOn(slug="extra_agents", metric=Metric.AGENTS, bonus=5, monthly=_eur(15_00)),
    AddOn(slug="extra_conversations", metric=Metric.CONVERSATIONS, bonus=1_000, monthly=_eur(39_00)),
    AddOn(slug="extra_storage", metric=Metric.STORAGE_GB, bonus=10 * _GB, monthly=_eur(2_50)),
    AddOn(slug="extra_team_members", metric=Metric.TEAM_MEMBERS, bonus=5, monthly=_eur(15_00)),
)

CREDIT_PACKS = (
    CreditPack(credits=100, price=_eur(19_00)),
    CreditPack(credits=500, price=_eur(79_00)),
    CreditPack(credits=1_000, price=_eur(139_00)),
)

_PLAN_OF = {plan.slug: plan for plan in PLANS}
_ADD_ON_OF = {add_on.slug: add_on for add_on in ADD_ONS}


def plan_named(slug: str) -> Plan:
    """Return the plan `slug`, whatever its case. Raises `UnknownPlan`."""
    try:
        return _PLAN_OF[PlanSlug(slug)]
    except ValueError:
        known = ", ".join(plan.slug for plan in PLANS)
        raise UnknownPlan(FieldError("plan", "unknown", f"must be one of {known}")) from None


def checked_add_ons(plan: Plan, add_ons: Mapping[str, int]) -> dict[str, int]:
    """Return `add_ons` when `plan` may have them. Raises `AddOnNotAvailable` otherwise."""
    for slug, quantity in add_ons.items():
        if slug not in _ADD_ON_OF:
            raise AddOnNotAvailable(FieldError(f"add_ons.{slug}", "unknown", f"must be one of {', '.join(_ADD_ON_OF)}"))
        if not 1 <= quantity <= MAXIMUM_ADD_ON_QUANTITY:
            raise AddOnNotAvailable(FieldError(f"add_ons.{slug}", "out_of_range", f"must be between 1 and {MAXIMUM_ADD_ON_QUANTITY}"))
    if add_ons and not plan.add_ons:
        raise AddOnNotAvailable(FieldError("add_ons", "not_in_plan", f"{plan.name} takes no add-ons"))
    return dict(add_ons)


def allowances_of(plan: Plan, add_ons: Mapping[str, int]) -> Allowances:
    """Return what `plan` gives together with `add_ons` (quantity by slug)."""
    allowances = dict(plan.allowances)
    for slug, quantity in add_ons.items():
        add_on = _ADD_ON_OF[slug]
        allowances[add_on.metric] = allowances[add_on.metric].raised(add_on.bonus * quantity)
    return MappingProxyType(allowances)
