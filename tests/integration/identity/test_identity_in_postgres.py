"""Identity over Postgres does what it does over the fakes, and keeps tenants apart below the use cases."""

import asyncio
from contextlib import AbstractAsyncContextManager
from uuid import UUID

import psycopg
import pytest

from adapters.postgres.database import Database, tenant
from contracts.billing.errors import QuotaExceeded
from domains.identity.model.session import SessionKind
from domains.identity.use_cases.create_api_key import CreateApiKey
from domains.identity.use_cases.refresh_session import RefreshSession
from domains.identity.use_cases.signed_in import SignedIn
from domains.identity.use_cases.verify_email import VerifyEmail
from shared_kernel.errors import Unauthenticated
from shared_kernel.principal import Origin
from tests.integration.identity.conftest import Superuser, postgres_house
from tests.port_contracts.identity_contract import VISITOR, IdentityContract, IdentityHouse, outcomes


class TestIdentityInPostgres(IdentityContract):
    """The adapters."""

    @pytest.fixture(autouse=True)
    def _database(self, database_url: str, superuser_url: str) -> None:
        self.database_url = database_url
        self.superuser = Superuser(superuser_url)

    def open(self) -> AbstractAsyncContextManager[IdentityHouse]:
        return postgres_house(self.database_url, self.superuser)

    async def test_ten_verifications_at_once_make_one_account(self) -> None:
        async with self.open() as house:
            await house.ask_for_account("ada@example.com")
            command = VerifyEmail(token=await house.newest_token(), session=SessionKind.TOKEN, requested_by=VISITOR)
            results = await outcomes(*(house.verify_email(command) for _ in range(10)))
            assert sum(isinstance(r, SignedIn) for r in results) == 1
            counts = await self.superuser.run(
                """
                select (select count(*) from identity.users) as users, (select count(*) from identity.organizations) as organizations,
                       (select count(*) from identity.memberships) as members, (select count(*) from identity.sessions) as sessions
                """
            )
            assert counts == [{"users": 1, "organizations": 1, "members": 1, "sessions": 1}]

    async def test_ten_refreshes_at_once_make_one_successor(self) -> None:
        async with self.open() as house:
            signed_in = await house.member()
            command = RefreshSession(refresh_token=signed_in.refresh_token, kind=SessionKind.TOKEN, requested_by=VISITOR)
            results = await asyncio.gather(*(house.refresh(command) for _ in range(10)))
            assert len({r.refresh_token for r in results}) == 1
            [row] = await self.superuser.run("select generation, revoked_at from identity.sessions where id = %s", (signed_in.session_id,))
            assert row == {"generation": 1, "revoked_at": None}

    async def test_no_secret_is_stored(self) -> None:
        async with self.open() as house:
            await house.ask_for_account("ada@example.com")
            token = await house.newest_token()
            signed_in = await house.verify_email(VerifyEmail(token=token, session=SessionKind.TOKEN, requested_by=VISITOR))
            _, api_key = await house.business()
            secrets = (token, signed_in.access_token, signed_in.refresh_token, signed_in.csrf_token, api_key)
            tables = await self.superuser.run(
                "select schemaname, tablename from pg_tables where schemaname in ('identity', 'messaging', 'governance', 'billing')"
            )
            for table in tables:
                rows = await self.superuser.run(f"select t::text as text from {table['schemaname']}.{table['tablename']} t")  # noqa: S608
                for row in rows:
                    assert not any(secret in row["text"] for secret in secrets)
            [sign_up] = await self.superuser.run("select password_hash from identity.sign_ups")
            assert sign_up["password_hash"] == "", "a spent wish keeps no hash"

    async def test_a_tenant_sees_and_writes_its_own_rows_alone(self) -> None:
        async with self.open() as house:
            ada, bob = await house.principal(await house.member()), await house.principal(await house.member())
            database = Database(self.database_url, size=1)
            await database.open()
            try:
                for table, key in (("organizations", "id"), ("memberships", "organization_id"), ("api_keys", "organization_id")):
                    for who, expected in ((tenant(ada.tenant), {ada.tenant}), (tenant(None), set[UUID]())):
                        rows = await database.rows(who, f"select distinct {key} as key from identity.{table}")  # noqa: S608
                        assert {row["key"] for row in rows} <= expected
                    changed = await database.rows(
                        tenant(ada.tenant),
                        f"update identity.{table} set version = version where {key} = %s returning 1",  # noqa: S608
                        (bob.tenant,),
                    )
                    assert changed == []
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    await database.rows(
                        tenant(ada.tenant),
                        """
                        insert into identity.memberships (organization_id, id, user_id, role, joined_at, version)
                        values (%s, gen_random_uuid(), %s, 'owner', now(), 1)
                        """,
                        (bob.tenant, ada.id),
                    )
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    await database.rows(tenant(ada.tenant), "delete from identity.organizations")
            finally:
                await database.close()

    async def test_each_call_of_a_key_is_metered_and_a_refused_one_is_not(self) -> None:
        async with self.open() as house:
            owner, api_key = await house.business()

            async def metered() -> int:
                rows = await self.superuser.run(
                    """
                    select coalesce(sum(quantity), 0)::int as calls
                      from billing.usage_events where organization_id = %s and metric = 'api_calls'
                    """,
                    (owner.tenant,),
                )
                return int(rows[0]["calls"])

            for _ in range(3):
                await house.authentication.bearer(api_key, organization_id=None, origin=Origin())
            assert await metered() == 3
            forged = api_key[:-4] + ("0000" if not api_key.endswith("0000") else "1111")
            with pytest.raises(Unauthenticated):
                await house.authentication.bearer(forged, organization_id=None, origin=Origin())
            assert await metered() == 3

    async def test_the_first_call_of_a_period_opens_it(self) -> None:
        async with self.open() as house:
            owner, api_key = await house.business()
            await self.superuser.run(
                "delete from billing.quota_counters where organization_id = %s and metric = 'api_calls'", (owner.tenant,)
            )
            caller = await house.authentication.bearer(api_key, organization_id=None, origin=Origin())
            assert caller.tenant == owner.tenant

    async def test_a_plan_without_calls_left_says_so(self) -> None:
        async with self.open() as house:
            owner, _ = await house.business()
            made = await house.create_api_key(CreateApiKey(name="Site", requested_by=owner))
            await self.superuser.run(
                "update billing.quota_counters set limit_value = 1, ceiling = 1 where organization_id = %s and metric = 'api_calls'",
                (owner.tenant,),
            )
            await house.authentication.bearer(made.plaintext, organization_id=None, origin=Origin())
            with pytest.raises(QuotaExceeded) as refused:
                await house.authentication.bearer(made.plaintext, organization_id=None, origin=Origin())
            assert refused.value.extra["metric"] == "api_calls"
