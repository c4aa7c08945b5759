"""The audit trail's routes on a real Litestar app, with our fakes behind the use cases."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import pytest
from dishka import Provider, Scope, make_async_container
from dishka.integrations.litestar import setup_dishka
from litestar import Litestar, Request
from litestar.di import Provide

from contracts.governance.commands import AuditedChange
from contracts.identity.permissions import Permission
from domains.governance.model.trail_file import verify_file
from domains.governance.ports.recorded_trail import RecordedTrail
from domains.governance.use_cases.export_audit_trail import ExportAuditTrailHandler
from domains.governance.use_cases.list_audit_events import ListAuditEventsHandler
from domains.governance.use_cases.seal_audit_trail import SealAuditTrail, SealAuditTrailHandler
from domains.governance.use_cases.verify_audit_trail import VerifyAuditTrailHandler
from entrypoints.http import problems
from entrypoints.http.governance.controllers import route_handlers
from entrypoints.http.routing import ACCESS
from shared_kernel.aggregate import AuditNote
from shared_kernel.clock import Clock, SystemClock
from shared_kernel.errors import LuneoError
from shared_kernel.principal import Origin, Principal, PrincipalKind
from tests.fakes.governance import InMemoryAuditDatabase, InMemoryAuditTrail, InMemoryRecordedTrail, InMemorySealing

ORGANIZATION = uuid4()


def principal(*permissions: Permission, organization: UUID = ORGANIZATION) -> Principal:
    return Principal(PrincipalKind.USER, uuid4(), organization, frozenset(permissions), origin=Origin("203.0.113.7", "Firefox", "req"))


class Site:
    def __init__(self) -> None:
        self.database = InMemoryAuditDatabase()
        self.caller = principal(Permission.SETTINGS_VIEW, Permission.SETTINGS_MANAGE)

    async def record(self, action: str, caller: Principal | None = None) -> None:
        note = AuditNote(action=action, after={"name": "Ada"}, personal={"email": "ada@example.org"})
        with self.database.transaction(caller or self.caller) as unit:
            await InMemoryAuditTrail(self.database).append(
                unit, [AuditedChange(note=note, target="agent", target_id=uuid4(), at=datetime.now(UTC))]
            )

    async def seal(self) -> None:
        await SealAuditTrailHandler(InMemorySealing(self.database), SystemClock())(SealAuditTrail())

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        provider = Provider(scope=Scope.APP)
        provider.provide(lambda: InMemoryRecordedTrail(self.database), provides=RecordedTrail)
        provider.provide(SystemClock, provides=Clock)
        for handler in (ExportAuditTrailHandler, ListAuditEventsHandler, VerifyAuditTrailHandler):
            provider.provide(handler)
        container = make_async_container(provider)

        def caller(request: Request[Any, Any, Any]) -> Principal:
            request.state["request_id"] = "req"
            return self.caller

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


@pytest.fixture
def site() -> Site:
    return Site()


async def test_entries_are_listed_newest_first_with_a_cursor(site: Site) -> None:
    for action in ("agent.created", "agent.published"):
        await site.record(action)
    async with site.client() as client:
        first = (await client.get("/audit-events", params={"limit": 1})).json()
        assert [item["action"] for item in first["items"]] == ["agent.published"]
        assert first["items"][0]["personal"]["email"] == "ada@example.org"
        second = (await client.get("/audit-events", params={"limit": 1, "cursor": first["next_cursor"]})).json()
        assert [item["action"] for item in second["items"]] == ["agent.created"]
        assert second["next_cursor"] is None
        filtered = (await client.get("/audit-events", params={"action": "agent.created", "target": "agent"})).json()
        assert len(filtered["items"]) == 1


async def test_a_wrong_page_is_refused(site: Site) -> None:
    async with site.client() as client:
        assert (await client.get("/audit-events", params={"limit": 0})).status_code == 422
        assert (await client.get("/audit-events", params={"cursor": "nonsense"})).status_code == 422


async def test_viewers_see_no_personal_values(site: Site) -> None:
    await site.record("agent.created")
    site.caller = principal(Permission.SETTINGS_VIEW)
    async with site.client() as client:
        (item,) = (await client.get("/audit-events")).json()["items"]
        assert item["personal"] == {}
        assert "email" in item["commitments"]
        assert "ada@example.org" not in (await client.get("/audit-events/export")).text


async def test_verification_says_up_to_where_the_trail_is_sealed(site: Site) -> None:
    await site.record("agent.created")
    await site.seal()
    await site.record("agent.published")
    async with site.client() as client:
        answer = (await client.get("/audit-events/verification")).json()
        assert answer["ok"] is True
        assert (answer["sealed_up_to"]["sequence"], answer["sealed_up_to"]["count"], answer["unsealed_count"]) == (1, 1, 1)
        assert answer["head"] == site.database.seals[0].seal_hash.hex()
        broken = (await client.get("/audit-events/verification", params={"head": "00" * 32})).json()
        assert broken["ok"] is False
        assert broken["fault"]["kind"] == "head_missing"


@pytest.mark.parametrize("head", ["", "00", "g" * 64])
async def test_what_cannot_be_a_head_is_refused(site: Site, head: str) -> None:
    async with site.client() as client:
        answer = await client.get("/audit-events/verification", params={"head": head})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["head"]


async def test_the_export_verifies_without_us(site: Site) -> None:
    await site.record("agent.created")
    await site.seal()
    await site.record("other.created", principal(organization=uuid4()))
    async with site.client() as client:
        answer = await client.get("/audit-events/export")
    assert answer.headers["content-type"].startswith("application/jsonl")
    lines = answer.text.splitlines()
    assert [json.loads(line)["type"] for line in lines] == ["trail", "entry", "seal", "end"]
    assert verify_file(lines, expected_head=site.database.seals[0].seal_hash.hex()).ok


def test_each_route_needs_the_permission_to_see_settings() -> None:
    assert {str(getattr(handler, "opt")[ACCESS].permission) for handler in route_handlers} == {"settings:view"}  # noqa: B009 - not in the type
