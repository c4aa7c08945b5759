"""Plans, subscription, quotas and usage."""

from collections.abc import Iterable, Mapping

from dishka import FromDishka
from dishka.integrations.litestar import inject
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery
from litestar.types import ControllerRouterHandler

from contracts.billing.metrics import Metric, shown
from contracts.http import base
from contracts.http.billing import (
    AddOnBody,
    CatalogueBody,
    CreditPackBody,
    LimitBody,
    OverageBody,
    PlanBody,
    QuotaBody,
    SubscriptionBody,
    UsageBody,
    UsageEventBody,
    UsageEventList,
    UsageTotalBody,
)
from contracts.identity.permissions import Permission
from domains.billing.model.catalogue import ADD_ONS, CREDIT_PACKS, MAXIMUM_ADD_ON_QUANTITY, PLANS, Allowance, Feature, Plan
from domains.billing.model.usage import MICRO, UsageEvent
from domains.billing.use_cases.get_subscription import GetSubscriptionHandler
from domains.billing.use_cases.get_usage import GetUsage, GetUsageHandler
from domains.billing.use_cases.list_quotas import ListQuotasHandler
from domains.billing.use_cases.list_usage_events import ListUsageEvents, ListUsageEventsHandler
from entrypoints.http.paging import page_request
from entrypoints.http.routing import public, requires
from entrypoints.http.times import FromTime, ToTime, time_of
from shared_kernel.money import Money
from shared_kernel.pagination import DEFAULT_LIMIT
from shared_kernel.principal import Principal

_TAGS = ["Billing"]


@get("/billing/plans", opt=public("prices are for everybody"), tags=_TAGS, sync_to_thread=False)
def list_plans() -> CatalogueBody:
    """List every plan with its prices, limits, features and overage, the add-ons and the credit packs."""
    return CatalogueBody(
        items=[_plan(plan) for plan in PLANS],
        next_cursor=None,
        add_ons=[
            AddOnBody(
                slug=add_on.slug,
                metric=add_on.metric,
                bonus=shown(add_on.metric, add_on.bonus),
                monthly_price=_money(add_on.monthly),
                maximum_quantity=MAXIMUM_ADD_ON_QUANTITY,
            )
            for add_on in ADD_ONS
        ],
        credit_packs=[CreditPackBody(credits=pack.credits, price=_money(pack.price)) for pack in CREDIT_PACKS],
    )


@get("/billing/subscription", opt=requires(Permission.BILLING_VIEW), tags=_TAGS)
@inject
async def get_subscription(principal: NamedDependency[Principal], handler: FromDishka[GetSubscriptionHandler]) -> SubscriptionBody:
    """Show the organisation's plan and add-ons, and what they give."""
    view = await handler(principal)
    return SubscriptionBody(
        plan=view.plan.slug,
        plan_name=view.plan.name,
        status=view.status,
        add_ons=dict(view.add_ons),
        anchor_day=view.anchor_day,
        started_at=view.started_at,
        period_start=view.period.start,
        period_end=view.period.end,
        limits=_limits(view.allowances),
        features=_features(view.plan.features),
        channels=list(view.plan.channels),
        agent_rate_per_minute=view.plan.agent_rate_per_minute,
    )


@get("/billing/quotas", opt=requires(Permission.BILLING_VIEW), tags=_TAGS)
@inject
async def list_quotas(principal: NamedDependency[Principal], handler: FromDishka[ListQuotasHandler]) -> list[QuotaBody]:
    """List every limited metric: what is used, what is held by running turns, and what is left of it."""
    return [
        QuotaBody(
            metric=view.metric,
            limit=None if view.limit is None else shown(view.metric, view.limit),
            used=shown(view.metric, view.used),
            reserved=shown(view.metric, view.reserved),
            period_start=view.period_start,
            period_end=view.period_end,
            overage=shown(view.metric, view.overage),
        )
        for view in await handler(principal)
    ]


@get("/billing/usage", opt=requires(Permission.BILLING_VIEW), tags=_TAGS)
@inject
async def get_usage(
    principal: NamedDependency[Principal],
    handler: FromDishka[GetUsageHandler],
    start: FromTime = None,
    end: ToTime = None,
) -> UsageBody:
    """Show what was used by metric, in the current billing period or between `from` (included) and `to` (excluded).

    What turns cost, prompt and answer together, stands with `tokens_out`; the cost of `tokens_in` is `null`: nothing is counted twice.
    """
    view = await handler(GetUsage(start=time_of("from", start), end=time_of("to", end), requested_by=principal))
    return UsageBody(
        period_start=view.start,
        period_end=view.end,
        totals=[
            UsageTotalBody(
                metric=total.metric,
                quantity=shown(total.metric, total.quantity),
                estimated=total.estimated,
                cost=_cost(total.cost_micro, total.currency),
            )
            for total in view.totals
        ],
    )


@get("/billing/usage-events", opt=requires(Permission.BILLING_VIEW), tags=_TAGS)
@inject
async def list_usage_events(
    principal: NamedDependency[Principal],
    handler: FromDishka[ListUsageEventsHandler],
    cursor: FromQuery[str | None] = None,
    limit: FromQuery[int] = DEFAULT_LIMIT,
) -> UsageEventList:
    """List each thing that was counted, the newest first, with what caused it.

    A turn's whole cost stands in its event of `tokens_out`: `cost` in minor units, rounded half up, and `cost_micro` exactly, in millionths
    of a minor unit. Add `cost_micro` and round once: most single turns cost less than a cent.
    """
    page = await handler(ListUsageEvents(page=page_request(cursor, limit), requested_by=principal))
    return UsageEventList(items=[_event(event) for event in page.items], next_cursor=page.next_cursor)


def _plan(plan: Plan) -> PlanBody:
    return PlanBody(
        slug=plan.slug,
        name=plan.name,
        monthly_price=_money(plan.monthly),
        yearly_price=_money(plan.yearly),
        self_service=plan.self_service,
        trial_days=plan.trial_days,
        limits=_limits(plan.allowances),
        features=_features(plan.features),
        channels=list(plan.channels),
        agent_rate_per_minute=plan.agent_rate_per_minute,
        monthly_credits=plan.monthly_credits,
        analytics_retention_days=plan.analytics_retention_days,
        takes_add_ons=plan.add_ons,
    )


def _limits(allowances: Mapping[Metric, Allowance]) -> list[LimitBody]:
    return [
        LimitBody(
            metric=metric,
            limit=None if allowance.limit is None else shown(metric, allowance.limit),
            overage=OverageBody(price=_money(allowance.overage.price), cap=shown(metric, allowance.overage.cap))
            if allowance.overage
            else None,
        )
        for metric, allowance in allowances.items()
    ]


def _features(features: Iterable[Feature]) -> list[str]:
    return sorted(feature.value for feature in features)


def _event(event: UsageEvent) -> UsageEventBody:
    return UsageEventBody(
        id=event.id,
        metric=event.metric,
        quantity=shown(event.metric, event.quantity),
        estimated=event.estimated,
        cost=_cost(event.cost_micro, event.currency),
        cost_micro=event.cost_micro,
        cause=event.cause,
        cause_id=event.cause_id,
        occurred_at=event.occurred_at,
    )


def _money(money: Money) -> base.Money:
    return base.Money(amount=money.amount, currency=money.currency)


def _cost(micro: int | None, currency: str | None) -> base.Money | None:
    if micro is None or currency is None:
        return None
    return base.Money(amount=(micro + MICRO // 2) // MICRO, currency=currency)


route_handlers: list[ControllerRouterHandler] = [list_plans, get_subscription, list_quotas, get_usage, list_usage_events]
