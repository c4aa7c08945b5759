"""What only a real database can show: races, plans, privileges, and books that agree."""

import asyncio
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from adapters.postgres.billing import quota_ledger, readers, transactions, usage_events
from adapters.postgres.schema import metadata
from contracts.billing.commands import ReservationLine, UsageLine
from contracts.billing.errors import QuotaExceeded, ReservationNotOpen
from contracts.billing.metrics import Metric
from contracts.governance.commands import AuditedChange
from domains.billing.use_cases.apply_plan import ApplyPlan
from domains.billing.use_cases.expire_reservations import ExpireReservations
from domains.billing.use_cases.ingest_usage import IngestUsage
from shared_kernel.errors import Conflict
from shared_kernel.identifiers import new_id
from tests.integration.billing.books import disagreements
from tests.integration.billing.conftest import Postgres
from tests.port_contracts.quotas import (
    BEGIN,
    HOLD_FOR,
    give_back,
    opened,
    quota,
    release,
    reserve,
    settle,
    take,
    used,
)

TURN = (ReservationLine(metric=Metric.MESSAGES_AI), ReservationLine(metric=Metric.CONVERSATIONS))


async def test_of_fifty_that_want_the_last_one_exactly_one_gets_it(postgres: Postgres, superuser_url: str) -> None:
    world = postgres.world(pipelined=True)
    someone = await opened(world)
    await settle(world, someone, await reserve(world, someone, [ReservationLine(metric=Metric.CONVERSATIONS, quantity=99)]))
    outcomes = await asyncio.gather(*(reserve(world, someone, TURN) for _ in range(50)), return_exceptions=True)
    winners = [outcome for outcome in outcomes if isinstance(outcome, UUID)]
    refusals = [outcome for outcome in outcomes if isinstance(outcome, QuotaExceeded)]
    assert (len(winners), len(refusals)) == (1, 49)
    assert {tuple(sorted(refusal.extra.items())) for refusal in refusals} == {
        (("limit", 100), ("metric", "conversations"), ("resets_at", "2026-02-28T00:00:00Z"))
    }
    assert (await quota(world, someone, Metric.MESSAGES_AI)).reserved == 1
    assert disagreements(superuser_url, someone.tenant) == []


async def test_everything_at_once_leaves_books_that_agree(postgres: Postgres, superuser_url: str) -> None:
    world = postgres.world(pipelined=True)
    someone = await opened(world, "pro")
    conversations = [new_id() for _ in range(3)]

    async def live(number: int) -> None:
        lines = [*TURN[:1], ReservationLine(metric=Metric.CONVERSATIONS, once_for=conversations[number % 3])]
        turn = await reserve(world, someone, lines if number % 2 else lines[::-1])
        if number % 4 == 0:
            await asyncio.gather(release(world, someone, turn), release(world, someone, turn))
        elif number % 4 == 1:
            outcomes = await asyncio.gather(*(settle(world, someone, turn) for _ in range(3)), return_exceptions=True)
            assert [type(outcome) for outcome in outcomes if outcome] == [ReservationNotOpen] * 2
        elif number % 4 == 2:
            await asyncio.gather(settle(world, someone, turn), release(world, someone, turn), return_exceptions=True)
        agent = new_id()
        await asyncio.gather(*(take(world, someone, Metric.STORAGE_GB, agent, 5) for _ in range(2)))
        await asyncio.gather(*(give_back(world, someone, Metric.STORAGE_GB, agent, 2) for _ in range(2)))

    plans = [world.apply_plan(ApplyPlan(plan=plan, requested_by=someone)) for plan in ("business", "pro", "enterprise")]
    late = [used(Metric.MESSAGES_AI, BEGIN) for _ in range(20)]
    ingested = [world.ingest(IngestUsage(organization_id=someone.tenant, events=late)) for _ in range(3)]
    outcomes = await asyncio.gather(*(live(n) for n in range(32)), *plans, *ingested, return_exceptions=True)
    assert [outcome for outcome in outcomes if isinstance(outcome, BaseException) and not isinstance(outcome, Conflict)] == []
    world.clock.at += HOLD_FOR
    sweeps = await asyncio.gather(*(world.expire(ExpireReservations()) for _ in range(3)))
    assert max(sweeps) >= 8
    assert (await quota(world, someone, Metric.CONVERSATIONS)).used <= 3
    assert (await quota(world, someone, Metric.STORAGE_GB)).used == 32 * 3
    assert (await quota(world, someone, Metric.MESSAGES_AI)).reserved == 0
    assert disagreements(superuser_url, someone.tenant) == []


async def test_a_period_opened_while_the_plan_changes_has_the_new_limits(postgres: Postgres) -> None:
    world = postgres.world(pipelined=True)
    someone = await opened(world)
    for plan in ("pro", "business", "free", "enterprise"):
        world.clock.at += timedelta(days=31)
        await asyncio.gather(
            world.quotas.open_periods(someone.tenant),
            world.apply_plan(ApplyPlan(plan=plan, requested_by=someone)),
            world.quotas.open_periods(someone.tenant),
        )
        entitlement = await world.entitlements.of(someone.tenant)
        within = entitlement.limits[Metric.CONVERSATIONS]
        if within is None:
            await reserve(world, someone, [ReservationLine(metric=Metric.CONVERSATIONS, quantity=10**6)], within_plan=True)
            continue
        await reserve(world, someone, [ReservationLine(metric=Metric.CONVERSATIONS, quantity=within)], within_plan=True)
        with pytest.raises(QuotaExceeded):
            await reserve(world, someone, [ReservationLine(metric=Metric.CONVERSATIONS)], within_plan=True)


async def test_reserving_and_settling_are_one_statement_each_in_one_transaction(postgres: Postgres) -> None:
    world = postgres.world(pipelined=True)
    someone = await opened(world)
    turn = new_id()
    async with world.unit(someone) as unit:
        await world.quotas.reserve(unit, reservation_id=turn, cause="turn", lines=TURN, at=BEGIN, expires_at=BEGIN + HOLD_FOR)
        await world.quotas.settle(unit, reservation_id=turn, usage=[UsageLine(metric=Metric.TOKENS_IN, quantity=3)], at=BEGIN)
    assert (await quota(world, someone, Metric.CONVERSATIONS)).used == 1


async def test_opening_and_changing_a_plan_are_in_the_audit_trail(postgres: Postgres) -> None:
    world = postgres.world(pipelined=False)
    someone = await opened(world)
    await world.apply_plan(ApplyPlan(plan="pro", requested_by=someone))
    await world.apply_plan(ApplyPlan(plan="pro", requested_by=someone))

    def said(change: AuditedChange) -> tuple[str, str, object, object]:
        return change.target, change.note.action, change.note.before.get("plan"), change.note.after["plan"]

    assert [said(change) for change in postgres.audit_trail.changes] == [
        ("subscription", "subscription.opened", None, "free"),
        ("subscription", "subscription.changed", "free", "pro"),
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "update billing.usage_events set quantity = 0",
        "delete from billing.usage_events",
        "delete from billing.reservations",
        "delete from billing.quota_counters",
        "delete from billing.subscriptions",
    ],
)
async def test_the_app_cannot_rewrite_history(postgres: Postgres, statement: str) -> None:
    async with postgres.database.connection() as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute(statement)


async def test_the_platform_sees_open_reservations_and_nothing_else_of_billing(postgres: Postgres) -> None:
    world = postgres.world(pipelined=True)
    someone = await opened(world)
    done, running = await reserve(world, someone), await reserve(world, someone)
    await settle(world, someone, done)
    async with postgres.platform.connection() as connection:
        rows = await (await connection.execute("select id from billing.reservations")).fetchall()
        assert running in {row["id"] for row in rows}
        assert done not in {row["id"] for row in rows}
        for table in ("subscriptions", "quota_counters", "reservation_lines", "usage_events"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await connection.execute(f"select from billing.{table}")


def test_the_migration_makes_what_the_tables_say(superuser_url: str) -> None:
    engine = create_engine(superuser_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "include_name": lambda name, kind, _: kind != "schema" or name == "billing",
                "compare_type": True,
            },
        )
        found = [difference for difference in compare_metadata(context, metadata) if "billing" in repr(difference)]
    engine.dispose()
    assert found == []


ARRAYS = {
    "metrics": ["conversations", "messages_ai"],
    "quantities": "{1,1}",
    "event_ids": [new_id(), new_id()],
    "once_for": [new_id(), None],
    "estimated": [False, False],
    "costs": [None, 1],
    "currencies": [None, "EUR"],
}
STATEMENTS = {
    "hold": quota_ledger._HOLD,
    "settle": quota_ledger._SETTLE,
    "give_up": quota_ledger._GIVE_UP,
    "take": quota_ledger._TAKE,
    "give_back": quota_ledger._GIVE_BACK,
    "apply": transactions._APPLY,
    "record": usage_events._RECORD,
    "subscription": readers._SUBSCRIPTION,
    "counters": readers._COUNTERS,
    "totals": readers._TOTALS,
    "events": readers._EVENTS,
    "due": readers._DUE,
}


@pytest.fixture(scope="module")
def crowded(superuser_url: str) -> str:
    """Five thousand organisations, two hundred of them with a year of history."""
    with psycopg.connect(superuser_url) as connection:
        connection.execute("""
            insert into billing.subscriptions
            select gen_random_uuid(), gen_random_uuid(), 'pro', '{}', 'active', 1, '2025-01-01Z', 1 from generate_series(1, 5000)
        """)
        connection.execute("create temporary table busy as select organization_id from billing.subscriptions limit 200")
        connection.execute("""
            insert into billing.quota_counters
            select s.organization_id, m.metric, p, p + interval '1 month', 1000000, 1000000, 10
              from busy s
             cross join generate_series('2025-03-01Z'::timestamptz, '2026-01-01Z', '1 month') p
             cross join (values ('conversations'), ('messages_ai'), ('api_calls')) m (metric) on conflict do nothing
        """)
        connection.execute("""
            insert into billing.reservations
            select s.organization_id, gen_random_uuid(), 'turn', case when n % 50 = 0 then 'open' else 'settled' end, now(), now(), now()
              from busy s cross join generate_series(1, 200) n
        """)
        connection.execute("""
            insert into billing.reservation_lines
            select organization_id, id, 'messages_ai', 1, '2026-01-01Z', gen_random_uuid(), null from billing.reservations on
            conflict do nothing
        """)
        connection.execute("""
            insert into billing.usage_events
            select organization_id, event_id, metric, quantity, false, null, null, 'turn', reservation_id,
                   '2025-03-01Z'::timestamptz + random() * interval '300 days', now()
              from billing.reservation_lines on conflict do nothing
        """)
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        connection.execute("analyze billing.subscriptions, billing.quota_counters, billing.reservations")
        connection.execute("analyze billing.reservation_lines, billing.usage_events")
    return superuser_url


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("name", STATEMENTS)
async def test_no_statement_reads_a_whole_table(postgres: Postgres, crowded: str, name: str, mode: str) -> None:
    with psycopg.connect(crowded) as superuser:
        row = superuser.execute("select organization_id from billing.reservations limit 1").fetchone()
    assert row is not None
    parameters: dict[str, object] = {
        "organization_id": row[0],
        "id": new_id(),
        "event_id": new_id(),
        "given_back_id": new_id(),
        "taken_id": new_id(),
        "cause": "turn",
        "cause_id": new_id(),
        "metric": "conversations",
        "quantity": 1,
        "at": BEGIN,
        "expires_at": BEGIN,
        "expired_by": BEGIN,
        "state": "released",
        "within_plan": False,
        "limits": [1, 1],
        "ceilings": [1, None],
        "ids": [new_id(), new_id()],
        "causes": ["turn", "turn"],
        "cause_ids": [new_id(), new_id()],
        "occurred_at": [BEGIN, BEGIN],
        "distinct": ["conversations", "messages_ai"],
        "first": BEGIN,
        "start": BEGIN - timedelta(days=30),
        "end": BEGIN,
        "before": BEGIN,
        "before_id": new_id(),
        "limit": 20,
        **ARRAYS,
    }
    database = postgres.platform if name == "due" else postgres.database
    async with database.connection() as connection, connection.transaction(force_rollback=True):
        await connection.execute("select set_config('luneo.organization_id', %s, true)", (str(row[0]),))
        await connection.execute("select set_config('plan_cache_mode', %s, true)", (mode,))
        lines = await (await connection.execute("explain " + STATEMENTS[name], parameters, prepare=True)).fetchall()
    plan = "\n".join(line["QUERY PLAN"] for line in lines)
    assert "Seq Scan" not in plan, plan
