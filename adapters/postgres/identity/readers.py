"""What is shown, and what is looked up across tenants: one statement each."""

from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString, TypeVar
from uuid import UUID

from adapters.postgres.database import Database, Row, tenant
from contracts.identity.permissions import Role
from domains.identity.model.email import Email
from domains.identity.model.names import Locale
from domains.identity.model.organization import OrganizationStatus
from domains.identity.model.session import SessionKind
from domains.identity.ports.directory import Account, Place
from domains.identity.ports.reading import ApiKeyRow, MemberRow, OrganizationRow, PersonRow, SessionRow
from shared_kernel.errors import NotFound
from shared_kernel.pagination import ForeignCursor, Page, PageRequest
from shared_kernel.principal import Principal, PrincipalKind

T = TypeVar("T", MemberRow, ApiKeyRow, SessionRow)

_ACCOUNT: LiteralString = "select id, email, full_name, locale, password_hash, platform_admin from identity.users "
_MEMBER: LiteralString = """
select m.id, m.user_id, u.email, u.full_name, m.role, m.joined_at, m.version
  from identity.memberships m join identity.users u on u.id = m.user_id
 where m.organization_id = %(organization)s
"""
_API_KEY: LiteralString = """
select id, name, prefix_shown, scopes, sandbox, created_by, created_at, expires_at, last_used_at, revoked_at
  from identity.api_keys
 where organization_id = %(organization)s
"""


@dataclass(frozen=True, slots=True)
class PostgresDirectory:
    """`Directory`: personal tables, and the look-up functions of the role `luneo_platform`."""

    database: Database

    async def account(self, email: Email) -> Account | None:
        """Look the account up by e-mail."""
        return _account(await self.database.row(tenant(None), _ACCOUNT + "where email = %s", (email.value,)))

    async def account_of(self, user_id: UUID) -> Account | None:
        """Look the account up by id."""
        return _account(await self.database.row(tenant(None), _ACCOUNT + "where id = %s", (user_id,)))

    async def places(self, user_id: UUID) -> tuple[Place, ...]:
        """Ask `identity.places_of`."""
        rows = await self.database.rows(tenant(None), "select * from identity.places_of(%s)", (user_id,))
        return tuple(
            Place(
                organization_id=row["organization_id"],
                name=row["name"],
                slug=row["slug"],
                locale=Locale(row["locale"]),
                status=OrganizationStatus(row["status"]),
                role=Role(row["role"]),
                created_at=row["created_at"],
            )
            for row in rows
        )

    async def organization_with_slug(self, slug: str) -> UUID | None:
        """Ask `identity.organization_with_slug`."""
        row = await self.database.row(tenant(None), "select identity.organization_with_slug(%s) as id", (slug,))
        found: UUID | None = None if row is None else row["id"]
        return found


@dataclass(frozen=True, slots=True)
class PostgresIdentityReading:
    """`IdentityReading`."""

    database: Database

    async def person(self, principal: Principal) -> PersonRow:
        """Read the caller."""
        if principal.kind is not PrincipalKind.USER:
            raise NotFound
        row = await self.database.row(
            principal, "select id, email, full_name, locale, platform_admin, created_at from identity.users where id = %s", (principal.id,)
        )
        if row is None:
            raise NotFound
        return PersonRow(**{**row, "locale": Locale(row["locale"])})

    async def organization(self, principal: Principal) -> OrganizationRow:
        """Read the organisation acted for."""
        row = await self.database.row(
            principal,
            "select id, name, slug, locale, status, created_at, version from identity.organizations where id = %s",
            (principal.tenant,),
        )
        if row is None:
            raise NotFound
        return OrganizationRow(**{**row, "locale": Locale(row["locale"]), "status": OrganizationStatus(row["status"])})

    async def members(self, principal: Principal, page: PageRequest) -> Page[MemberRow]:
        """Read members by id, which is the order in which they joined."""
        rows = await self.database.rows(
            principal,
            _MEMBER + " and (%(after)s::uuid is null or m.id > %(after)s) order by m.id limit %(limit)s",
            {"organization": principal.tenant, "after": _after(page), "limit": page.limit + 1},
        )
        return _page([_member(row) for row in rows], page)

    async def member(self, principal: Principal, member_id: UUID) -> MemberRow:
        """Read one member."""
        row = await self.database.row(principal, _MEMBER + " and m.id = %(id)s", {"organization": principal.tenant, "id": member_id})
        if row is None:
            raise NotFound
        return _member(row)

    async def api_keys(self, principal: Principal, page: PageRequest) -> Page[ApiKeyRow]:
        """Read API keys by id, the newest first."""
        rows = await self.database.rows(
            principal,
            _API_KEY + " and (%(after)s::uuid is null or id < %(after)s) order by id desc limit %(limit)s",
            {"organization": principal.tenant, "after": _after(page), "limit": page.limit + 1},
        )
        return _page([_api_key(row) for row in rows], page)

    async def api_key(self, principal: Principal, api_key_id: UUID) -> ApiKeyRow:
        """Read one API key."""
        row = await self.database.row(principal, _API_KEY + " and id = %(id)s", {"organization": principal.tenant, "id": api_key_id})
        if row is None:
            raise NotFound
        return _api_key(row)

    async def sessions(self, principal: Principal, page: PageRequest, *, at: datetime) -> Page[SessionRow]:
        """Read the caller's sessions that go on, by id, the newest first."""
        rows = await self.database.rows(
            principal,
            """
            select id, kind, remembered, user_agent, started_at, rotated_at as last_seen_at, expires_at
              from identity.sessions
             where user_id = %(person)s and revoked_at is null and expires_at > %(at)s and (%(after)s::uuid is null or id < %(after)s)
             order by id desc limit %(limit)s
            """,
            {"person": principal.id, "at": at, "after": _after(page), "limit": page.limit + 1},
        )
        return _page([SessionRow(**{**row, "kind": SessionKind(row["kind"])}) for row in rows], page)


def _account(row: Row | None) -> Account | None:
    if row is None:
        return None
    return Account(
        user_id=row["id"],
        email=row["email"],
        full_name=row["full_name"],
        locale=Locale(row["locale"]),
        password_hash=row["password_hash"],
        platform_admin=row["platform_admin"],
    )


def _member(row: Row) -> MemberRow:
    return MemberRow(**{**row, "role": Role(row["role"])})


def _api_key(row: Row) -> ApiKeyRow:
    return ApiKeyRow(**{**row, "scopes": tuple(row["scopes"])})


def _after(page: PageRequest) -> UUID | None:
    if page.cursor is None:
        return None
    try:
        return UUID(page.cursor)
    except ValueError:
        raise ForeignCursor from None


def _page(rows: list[T], page: PageRequest) -> Page[T]:
    more = len(rows) > page.limit
    return Page(tuple(rows[: page.limit]), str(rows[page.limit - 1].id) if more else None)
