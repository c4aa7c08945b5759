"""Whether a session or an API key still stands: one round trip at each request."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import LiteralString, cast
from uuid import UUID

from adapters.postgres.database import Database, Pipeline, tenant
from adapters.postgres.refusals import register
from contracts.billing.commands import Quotas
from contracts.billing.errors import QuotaPeriodMissing
from contracts.billing.metrics import Metric
from contracts.identity.permissions import Role
from domains.identity.model.organization import OrganizationStatus, OrganizationSuspended
from domains.identity.model.session import SessionKind
from domains.identity.ports.standing import ApiKeyStanding, SessionStanding
from domains.identity.ports.tokens import ApiKeyClaims
from shared_kernel.errors import PermissionDenied, Unauthenticated
from shared_kernel.identifiers import new_id
from shared_kernel.unit_of_work import UnitOfWork

register("api_key_refused", lambda _: Unauthenticated())
register("session_refused", lambda _: Unauthenticated())
register("organization_suspended", lambda _: OrganizationSuspended())
register("permission_missing", lambda detail: PermissionDenied(f"This needs the permission {detail['permission']}"))

# members and organisations are under row-level security: another tenant's rows are simply not there to be joined
_SESSION: LiteralString = """
select s.user_id, s.kind, m.role, o.status
  from identity.sessions s
  left join identity.organizations o on o.id = %(organization)s
  left join identity.memberships m on m.organization_id = o.id and m.user_id = s.user_id
 where s.id = %(session)s and s.revoked_at is null
"""

# the select list is evaluated from left to right, so a missing key is told before its organisation's state
_API_KEY: LiteralString = """
select luneo.require(k.id is not null and m.role is not null, 'api_key_refused'),
       luneo.require(o.status = 'active', 'organization_suspended'),
       k.id, k.scopes, k.last_used_at as marked_at, m.role
  from (select 1) one
  left join identity.api_keys k on k.digest = %(digest)s and k.organization_id = %(organization)s and k.sandbox = %(sandbox)s
        and k.revoked_at is null and (k.expires_at is null or k.expires_at > %(at)s)
  left join identity.organizations o on o.id = k.organization_id
  left join identity.memberships m on m.organization_id = k.organization_id and m.user_id = k.created_by
"""

# told in this order: a session that is over, a suspended organisation, a role that is not enough
_CONFIRM: LiteralString = """
select luneo.require(m.role is not null, 'session_refused'),
       luneo.require(o.status = 'active', 'organization_suspended'),
       luneo.require(m.role = any(%(roles)s::text[]), 'permission_missing', %(missing)s)
  from (select 1) one
  left join identity.sessions s on s.id = %(session)s and s.user_id = %(user)s and s.revoked_at is null
  left join identity.organizations o on o.id = %(organization)s
  left join identity.memberships m on m.organization_id = o.id and m.user_id = s.user_id
"""

_MARK_USED: LiteralString = """
update identity.api_keys set last_used_at = %(at)s
 where organization_id = %(organization)s and digest = %(digest)s and (last_used_at is null or last_used_at < %(at)s)
"""
_MARKED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class PostgresStanding:
    """`Standing` by pipelines."""

    database: Database
    quotas: Quotas

    async def of_session(self, session_id: UUID, organization_id: UUID | None) -> SessionStanding | None:
        """Read session, membership and organisation at once."""
        row = await self.database.row(tenant(organization_id), _SESSION, {"organization": organization_id, "session": session_id})
        if row is None:
            return None
        return SessionStanding(
            user_id=row["user_id"],
            kind=SessionKind(row["kind"]),
            role=None if row["role"] is None else Role(row["role"]),
            status=None if row["status"] is None else OrganizationStatus(row["status"]),
        )

    async def confirm(self, unit: UnitOfWork, *, permission: str, roles: Sequence[Role]) -> None:
        """Queue the check on the unit's transaction."""
        caller = unit.principal
        await cast("Pipeline", unit).queue(
            _CONFIRM,
            {
                "session": caller.session_id,
                "user": caller.id,
                "organization": caller.tenant,
                "roles": f"{{{','.join(roles)}}}",
                "missing": f'{{"permission":"{permission}"}}',
            },
        )

    async def of_api_key(self, claims: ApiKeyClaims, *, at: datetime) -> ApiKeyStanding:
        """Read the key and meter the call, in one round trip of which a refusal leaves nothing; mark the key used, once a minute.

        The first call of a billing period opens its counters and is tried once more.
        """
        try:
            return await self._admit(claims, at)
        except QuotaPeriodMissing:
            await self.quotas.open_periods(claims.organization_id)
            return await self._admit(claims, at)

    async def _admit(self, claims: ApiKeyClaims, at: datetime) -> ApiKeyStanding:
        parameters = {"digest": claims.digest, "organization": claims.organization_id, "sandbox": claims.sandbox, "at": at}
        # losing the last milliseconds of this metering in a crash of the server is allowed, waiting for the disk at each call is not
        async with self.database.pipeline(tenant(claims.organization_id), durable=False) as pipeline:
            key = await pipeline.queue(_API_KEY, parameters)
            await self.quotas.take(pipeline, metric=Metric.API_CALLS, quantity=1, cause="api_call", cause_id=new_id(), at=at)
        row = await key.one()
        if row["marked_at"] is None or at - row["marked_at"] > _MARKED_EVERY:
            await self.database.row(tenant(claims.organization_id), _MARK_USED, parameters)
        return ApiKeyStanding(api_key_id=row["id"], scopes=frozenset(row["scopes"]), role=Role(row["role"]))
