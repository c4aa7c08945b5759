"""Billing's routes on a real Litestar app, with our fakes behind the use cases."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import httpx
import pytest
from dishka import Provider, Scope, make_async_container
from dishka.integrations.litestar import setup_dishka
from litestar import Litestar, Request
from litestar.di import Provide
from litestar.routes import HTTPRoute

from contracts.billing.commands import ReservationLine, UsageLine
from contracts.billing.metrics import METERED_ONLY, Metric
from contracts.identity.permissions import PERMISSIONS_OF, Permission, Role
from domains.billing.model.catalogue import PLANS
from domains.billing.ports.billing_reader import BillingReader
from domains.billing.use_cases.apply_plan import ApplyPlan
from domains.billing.use_cases.get_subscription import GetSubscriptionHandler
from domains.billing.use_cases.get_usage import GetUsageHandler
from domains.billing.use_cases.list_quotas import ListQuotasHandler
from domains.billing.use_cases.list_usage_events import ListUsageEventsHandler
from entrypoints.http import problems
from entrypoints.http.billing.controllers import route_handlers
from entrypoints.http.routing import ACCESS
from shared_kernel.clock import Clock
from shared_kernel.errors import LuneoError
from shared_kernel.identifiers import new_id
from shared_kernel.money import Money
from shared_kernel.principal import Principal
from tests.fakes.billing import BillingStore
from tests.port_contracts.quotas import BillingWorld, opened, reserve, settle, take
from tests.unit.billing.test_ledger_in_memory import in_memory_world

TURN = [ReservationLine(metric=Metric.MESSAGES_AI), ReservationLine(metric=Metric.CONVERSATIONS)]


@pytest.fixture
def world() -> BillingWorld:
    return in_memory_world(BillingStore())


@asynccontextmanager
async def site(world: BillingWorld, principal: Principal) -> AsyncIterator[httpx.AsyncClient]:
    provider = Provider(scope=Scope.APP)
    provider.provide(lambda: world.reader, provides=BillingReader)
    provider.provide(lambda: world.clock, provides=Clock)
    for handler in (GetSubscriptionHandler, GetUsageHandler, ListQuotasHandler, ListUsageEventsHandler):
        provider.provide(handler)
    container = make_async_container(provider)

    def caller(request: Request[Any, Any, Any]) -> Principal:
        request.state["request_id"] = "req"
        return principal

    app = Litestar(
        route_handlers=route_handlers,
        dependencies={"principal": Provide(caller, sync_to_thread=False)},
        exception_handlers={LuneoError: problems.handle},
        logging_config=None,
        openapi_config=None,
    )
    setup_dishka(container, app)
    async with app.lifespan(), httpx.AsyncClient(transport=httpx.ASGITransport(cast("Any", app)), base_url="http://test") as client:
        yield client
    await container.close()


async def test_the_plans_are_those_of_the_catalogue(world: BillingWorld) -> None:
    async with site(world, await opened(world)) as client:
        body = (await client.get("/billing/plans")).json()
    assert [plan["slug"] for plan in body["items"]] == [plan.slug for plan in PLANS]
    pro, enterprise = body["items"][1], body["items"][3]
    assert pro["monthly_price"] == {"amount": 4_900, "currency": "EUR"}
    assert {"metric": "conversations", "limit": 2_000, "overage": {"price": {"amount": 8, "currency": "EUR"}, "cap": 1_000}} in pro[
        "limits"
    ]
    assert {"metric": "storage_gb", "limit": 10, "overage": {"price": {"amount": 40, "currency": "EUR"}, "cap": 10}} in pro["limits"]
    assert {"metric": "messages_ai", "limit": None, "overage": None} in enterprise["limits"]
    assert [add_on["slug"] for add_on in body["add_ons"]] == ["extra_agents", "extra_conversations", "extra_storage", "extra_team_members"]
    assert [pack["credits"] for pack in body["credit_packs"]] == [100, 500, 1_000]


async def test_the_subscription_says_what_plan_and_add_ons_give(world: BillingWorld) -> None:
    someone = await opened(world, "pro")
    await world.apply_plan(ApplyPlan(plan="business", add_ons={"extra_storage": 1}, requested_by=someone))
    async with site(world, someone) as client:
        body = (await client.get("/billing/subscription")).json()
    assert (body["plan"], body["plan_name"], body["status"], body["add_ons"]) == ("business", "BUSINESS", "active", {"extra_storage": 1})
    assert (body["anchor_day"], body["period_start"], body["period_end"]) == (31, "2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z")
    assert next(limit["limit"] for limit in body["limits"] if limit["metric"] == "storage_gb") == 110
    assert "white_label" in body["features"]


async def test_quotas_are_a_plain_array_of_every_limited_metric(world: BillingWorld) -> None:
    someone = await opened(world)
    await settle(world, someone, await reserve(world, someone, TURN))
    await reserve(world, someone, TURN)
    await take(world, someone, Metric.STORAGE_GB, new_id(), 250_000_000)
    async with site(world, someone) as client:
        body = (await client.get("/billing/quotas")).json()
    quotas = {quota.pop("metric"): quota for quota in body}
    assert set(quotas) == {metric.value for metric in set(Metric) - METERED_ONLY}
    period = {"period_start": "2026-01-31T00:00:00Z", "period_end": "2026-02-28T00:00:00Z"}
    assert quotas["conversations"] == {"limit": 100, "used": 1, "reserved": 1, "overage": 0, **period}
    nothing = {"reserved": 0, "overage": 0, "period_start": None, "period_end": None}
    assert quotas["storage_gb"] == {"limit": 0.5, "used": 0.25, **nothing}
    assert quotas["upload_mb"] == {"limit": 5, "used": 0, **nothing}


async def test_usage_adds_up_what_the_events_say(world: BillingWorld) -> None:
    someone = await opened(world)
    for _ in range(3):
        turn = await reserve(world, someone, TURN[:1])
        await settle(world, someone, turn, [UsageLine(metric=Metric.TOKENS_IN, quantity=7, cost=Money(0, "EUR"), cost_micro=400_000)])
    async with site(world, someone) as client:
        usage = (await client.get("/billing/usage")).json()
        first = (await client.get("/billing/usage-events", params={"limit": 4})).json()
        second = (await client.get("/billing/usage-events", params={"limit": 4, "cursor": first["next_cursor"]})).json()
        before = (await client.get("/billing/usage", params={"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"})).json()
    assert usage["totals"] == [
        {"metric": "messages_ai", "quantity": 3, "estimated": False, "cost": None},
        {"metric": "tokens_in", "quantity": 21, "estimated": False, "cost": {"amount": 1, "currency": "EUR"}},
    ]
    assert before["totals"] == []
    assert (len(first["items"]), len(second["items"]), second["next_cursor"]) == (4, 2, None)
    tokens = next(event for event in first["items"] if event["metric"] == "tokens_in")
    assert (tokens["cost"], tokens["cost_micro"]) == ({"amount": 0, "currency": "EUR"}, 400_000)
    assert (tokens["cause"], tokens["occurred_at"]) == ("turn", "2026-01-31T09:00:00Z")


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("usage", {"from": "2026-02-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}),
        ("usage", {"from": "2026-02-01T00:00:00"}),
        ("usage-events", {"limit": "0"}),
        ("usage-events", {"limit": "101"}),
        ("usage-events", {"cursor": "nonsense"}),
    ],
)
async def test_wrong_parameters_are_refused(world: BillingWorld, path: str, parameters: dict[str, str]) -> None:
    async with site(world, await opened(world)) as client:
        answer = await client.get(f"/billing/{path}", params=parameters)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


async def test_another_organisation_sees_nothing_of_it(world: BillingWorld) -> None:
    someone, stranger = await opened(world), await opened(world)
    await settle(world, someone, await reserve(world, someone, TURN))
    async with site(world, replace(stranger)) as client:
        assert (await client.get("/billing/usage-events")).json()["items"] == []
        assert (await client.get("/billing/usage")).json()["totals"] == []
    async with site(world, Principal.system(new_id())) as client:
        assert (await client.get("/billing/subscription")).status_code == 404


def test_members_and_viewers_have_no_billing_and_prices_are_public() -> None:
    nobody = Provide(lambda: None, sync_to_thread=False)
    routes = Litestar(route_handlers, dependencies={"principal": nobody}, openapi_config=None).routes
    access = {route.path: route.route_handlers[0].opt[ACCESS] for route in routes if isinstance(route, HTTPRoute)}
    assert access.pop("/billing/plans").who == "public"
    assert {rule.permission for rule in access.values()} == {Permission.BILLING_VIEW}
    allowed = {role for role in Role if Permission.BILLING_VIEW in PERMISSIONS_OF[role]}
    assert allowed == {Role.OWNER, Role.ADMIN}
