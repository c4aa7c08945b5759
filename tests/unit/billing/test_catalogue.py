"""The catalogue hangs together."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.billing.errors import AddOnNotAvailable, UnknownPlan
from contracts.billing.metrics import CAPACITIES, METERED_ONLY, PERIODIC, Metric, shown
from domains.billing.model.catalogue import (
    ADD_ONS,
    COUNTED,
    CREDIT_PACKS,
    FREE,
    MAXIMUM_ADD_ON_QUANTITY,
    PLANS,
    PRO,
    Allowance,
    Overage,
    Plan,
    allowances_of,
    checked_add_ons,
    plan_named,
)
from shared_kernel.money import Money

GIGABYTE = 10**9
PAIRS = list(pairwise(PLANS))
INFINITE = float("inf")


def names(plan: Plan) -> str:
    return plan.slug


def amount(limit: int | None) -> float:
    return INFINITE if limit is None else limit


@pytest.mark.parametrize("plan", PLANS, ids=names)
def test_every_plan_names_every_limited_metric(plan: Plan) -> None:
    assert set(plan.allowances) == set(Metric) - METERED_ONLY
    assert set(COUNTED) == PERIODIC | CAPACITIES == set(plan.allowances) - {Metric.UPLOAD_MB}


@pytest.mark.parametrize(("smaller", "larger"), PAIRS)
def test_a_larger_plan_gives_at_least_as_much_of_everything(smaller: Plan, larger: Plan) -> None:
    for metric, allowance in smaller.allowances.items():
        assert amount(allowance.limit) <= amount(larger.allowances[metric].limit)
        assert amount(allowance.ceiling) <= amount(larger.allowances[metric].ceiling)
    assert smaller.features <= larger.features
    assert set(smaller.channels) <= set(larger.channels)
    assert smaller.agent_rate_per_minute < larger.agent_rate_per_minute
    assert smaller.monthly_credits < larger.monthly_credits
    assert smaller.analytics_retention_days <= larger.analytics_retention_days
    assert smaller.monthly.amount < larger.monthly.amount
    assert smaller.yearly.amount < larger.yearly.amount


@pytest.mark.parametrize(("smaller", "larger"), PAIRS)
def test_overage_is_never_dearer_on_a_larger_plan(smaller: Plan, larger: Plan) -> None:
    for metric, allowance in smaller.allowances.items():
        overage = larger.allowances[metric].overage
        if allowance.overage is not None and overage is not None:
            assert overage.price.amount <= allowance.overage.price.amount
            assert overage.unit == allowance.overage.unit


@pytest.mark.parametrize("plan", PLANS, ids=names)
def test_a_year_costs_no_more_than_twelve_months(plan: Plan) -> None:
    assert plan.yearly.amount <= 12 * plan.monthly.amount
    assert {plan.monthly.currency, plan.yearly.currency} == {"EUR"}


def test_the_free_plan_is_a_hard_stop_everywhere() -> None:
    assert all(allowance.overage is None and allowance.ceiling == allowance.limit for allowance in FREE.allowances.values())


def test_the_published_numbers() -> None:
    limits = {
        plan.name: {metric.value: shown(metric, a.limit) if a.limit is not None else None for metric, a in plan.allowances.items()}
        for plan in PLANS
    }
    assert limits == {
        "FREE": _limits(1, 1, 10, 5, 0.5, 1, 100, 1_000, 0),
        "PRO": _limits(5, 5, 200, 25, 10, 5, 2_000, 20_000, 50_000),
        "BUSINESS": _limits(25, 25, 1_000, 100, 100, 25, 15_000, 150_000, 200_000),
        "ENTERPRISE": _limits(None, None, None, 500, None, None, None, None, None),
    }
    assert [(p.monthly.amount, p.yearly.amount, p.trial_days, p.self_service) for p in PLANS] == [
        (0, 0, 0, True),
        (4_900, 46_800, 14, True),
        (14_900, 142_800, 14, True),
        (49_900, 499_000, 30, False),
    ]
    assert [(pack.credits, pack.price.amount) for pack in CREDIT_PACKS] == [(100, 1_900), (500, 7_900), (1_000, 13_900)]


def _limits(*values: float | None) -> dict[str, float | None]:
    metrics = (
        "agents",
        "knowledge_bases",
        "documents",
        "upload_mb",
        "storage_gb",
        "team_members",
        "conversations",
        "messages_ai",
        "api_calls",
    )
    return dict(zip(metrics, values, strict=True))


def test_a_larger_pack_makes_a_credit_cheaper() -> None:
    for smaller, larger in pairwise(CREDIT_PACKS):
        assert larger.price.amount * smaller.credits < smaller.price.amount * larger.credits


def test_a_thousand_more_conversations_cost_less_than_their_overage() -> None:
    pack = next(add_on for add_on in ADD_ONS if add_on.metric is Metric.CONVERSATIONS)
    for plan in PLANS:
        overage = plan.allowances[Metric.CONVERSATIONS].overage
        assert overage is None or pack.monthly.amount < overage.price.amount * pack.bonus


@given(
    plan=st.sampled_from([plan for plan in PLANS if plan.add_ons]),
    add_ons=st.dictionaries(st.sampled_from([a.slug for a in ADD_ONS]), st.integers(1, MAXIMUM_ADD_ON_QUANTITY)),
)
def test_add_ons_raise_their_limit_and_its_ceiling_and_nothing_else(plan: Plan, add_ons: dict[str, int]) -> None:
    given_ = allowances_of(plan, checked_add_ons(plan, add_ons))
    for metric, allowance in plan.allowances.items():
        bonus = sum(a.bonus * add_ons.get(a.slug, 0) for a in ADD_ONS if a.metric is metric)
        if allowance.limit is None or allowance.ceiling is None:
            assert given_[metric] == allowance
        else:
            assert given_[metric].limit == allowance.limit + bonus
            assert given_[metric].ceiling == allowance.ceiling + bonus
            assert given_[metric].overage == allowance.overage


@pytest.mark.parametrize(
    ("plan", "add_ons", "code"),
    [
        (FREE, {"extra_agents": 1}, "not_in_plan"),
        (PRO, {"extra_agents": 0}, "out_of_range"),
        (PRO, {"extra_agents": 101}, "out_of_range"),
        (PRO, {"extra_pencils": 1}, "unknown"),
    ],
)
def test_an_add_on_that_cannot_be_had_is_refused(plan: Plan, add_ons: dict[str, int], code: str) -> None:
    with pytest.raises(AddOnNotAvailable) as refusal:
        checked_add_ons(plan, add_ons)
    assert [error.code for error in refusal.value.errors] == [code]


def test_a_plan_is_found_whatever_its_case() -> None:
    assert plan_named("BUSINESS") is plan_named("business")
    with pytest.raises(UnknownPlan):
        plan_named("platinum")


def test_there_is_nothing_beyond_unlimited() -> None:
    with pytest.raises(ValueError, match="beyond unlimited"):
        Allowance(limit=None, overage=Overage(price=Money(1, "EUR"), cap=1))
    with pytest.raises(ValueError, match="negative"):
        Allowance(limit=-1)


def test_only_storage_is_shown_in_another_unit() -> None:
    assert shown(Metric.STORAGE_GB, 10 * GIGABYTE) == 10
    assert shown(Metric.STORAGE_GB, GIGABYTE // 2) == 0.5
    assert shown(Metric.AGENTS, 7) == 7
