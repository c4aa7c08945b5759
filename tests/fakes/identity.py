"""Identity's store in memory: transactions one after the other, directory, standing and reading over the same rows."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from contracts.billing.metrics import Metric
from contracts.billing.queries import Entitlement
from contracts.identity.permissions import Role
from domains.identity.model.api_key import ApiKey
from domains.identity.model.email import Email
from domains.identity.model.membership import Membership
from domains.identity.model.organization import Organization, OrganizationStatus, OrganizationSuspended
from domains.identity.model.session import Session
from domains.identity.model.sign_up import EmailAlreadyRegistered, SignUp
from domains.identity.model.user import User
from domains.identity.ports.directory import Account, Place
from domains.identity.ports.reading import ApiKeyRow, MemberRow, OrganizationRow, PersonRow, SessionRow
from domains.identity.ports.standing import ApiKeyStanding, SessionStanding
from domains.identity.ports.tokens import ApiKeyClaims
from shared_kernel.aggregate import Aggregate, AuditNote
from shared_kernel.errors import AlreadyDelivered, Conflict, NotFound, PermissionDenied, Unauthenticated
from shared_kernel.events import Delivery, Event
from shared_kernel.pagination import ForeignCursor, Page, PageRequest
from shared_kernel.principal import Principal, PrincipalKind
from shared_kernel.unit_of_work import UnitOfWork

A = TypeVar("A", bound=Aggregate)
R = TypeVar("R", MemberRow, ApiKeyRow, SessionRow)


def _copied(aggregate: A) -> A:
    values: dict[str, Any] = {f.name: getattr(aggregate, f.name) for f in fields(aggregate)}  # type: ignore[arg-type]
    return type(aggregate)(**values)


@dataclass
class InMemoryIdentityStore:
    """What is committed, and what was published and noted on the way."""

    rows: dict[type[Aggregate], dict[UUID, Aggregate]] = field(default_factory=dict)
    events: list[tuple[UUID | None, Event]] = field(default_factory=list)
    notes: list[tuple[UUID | None, AuditNote]] = field(default_factory=list)
    delivered: set[UUID] = field(default_factory=set)
    last_used: dict[UUID, datetime] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def all(self, kind: type[A]) -> list[A]:
        """Return the committed aggregates of a kind, by id."""
        found = self.rows.get(kind, {})
        return [found[key] for key in sorted(found)]  # type: ignore[misc]


@dataclass
class InMemoryUnitOfWork:
    """An open transaction of one tenant."""

    principal: Principal
    store: InMemoryIdentityStore
    seen: dict[UUID, Aggregate] = field(default_factory=dict)
    removed: set[UUID] = field(default_factory=set)

    def add(self, aggregate: Aggregate) -> None:
        self.seen[aggregate.id] = aggregate

    def load(self, kind: type[A], key: UUID, *, visible: Callable[[A], bool] = lambda _: True) -> A:
        if key in self.seen:
            return self.seen[key]  # type: ignore[return-value]
        found: Any = self.store.rows.get(kind, {}).get(key)
        if found is None or not visible(found):
            raise NotFound
        self.seen[key] = copied = _copied(found)
        return copied  # type: ignore[no-any-return]

    def own(self, aggregate: Membership | ApiKey) -> bool:
        return aggregate.organization_id == self.principal.organization_id

    def commit(self) -> None:
        self._check_uniqueness()
        for key, aggregate in self.seen.items():
            committed = self.store.rows.setdefault(type(aggregate), {})
            tenant = self.principal.organization_id
            self.store.events += [(tenant, event) for event in aggregate.take_events()]
            self.store.notes += [(tenant, note) for note in aggregate.take_notes()]
            if key in self.removed:
                del committed[key]
                continue
            if key in committed:
                aggregate.version += 1
            committed[key] = _copied(aggregate)

    def _check_uniqueness(self) -> None:
        new = [a for a in self.seen.values() if a.id not in self.store.rows.get(type(a), {})]
        emails = {user.email for user in self.store.all(User)}
        slugs = {organization.slug for organization in self.store.all(Organization)}
        pairs = {(m.organization_id, m.user_id) for m in self.store.all(Membership)}
        for aggregate in new:
            if isinstance(aggregate, User) and aggregate.email in emails:
                raise EmailAlreadyRegistered
            if isinstance(aggregate, Organization) and aggregate.slug in slugs:
                raise Conflict
            if isinstance(aggregate, Membership) and (aggregate.organization_id, aggregate.user_id) in pairs:
                raise Conflict


@dataclass
class InMemoryRepositories:
    """All six repositories of an open transaction."""

    unit: InMemoryUnitOfWork

    def __post_init__(self) -> None:
        self.sign_ups = InMemorySignUps(self.unit)
        self.users = InMemoryUsers(self.unit)
        self.organizations = InMemoryOrganizations(self.unit)
        self.memberships = InMemoryMemberships(self.unit)
        self.sessions = InMemorySessions(self.unit)
        self.api_keys = InMemoryApiKeys(self.unit)


@dataclass
class InMemorySignUps:
    """`SignUps`."""

    unit: InMemoryUnitOfWork

    def add(self, sign_up: SignUp) -> None:
        self.unit.add(sign_up)

    async def get(self, sign_up_id: UUID) -> SignUp:
        return self.unit.load(SignUp, sign_up_id)

    async def newest_open(self, email: Email, *, at: datetime) -> SignUp | None:
        found = [s for s in self.unit.store.all(SignUp) if s.email == email.value and s.is_open(at)]
        return self.unit.load(SignUp, found[-1].id) if found else None

    async def forget_spent(self, *, before: datetime) -> int:
        gone = [s.id for s in self.unit.store.all(SignUp) if s.expires_at < before]
        for key in gone:
            del self.unit.store.rows[SignUp][key]
        return len(gone)


@dataclass
class InMemoryUsers:
    """`Users`."""

    unit: InMemoryUnitOfWork

    async def add(self, user: User) -> None:
        self.unit.add(user)

    async def get(self, user_id: UUID) -> User:
        return self.unit.load(User, user_id)

    async def has_account(self, email: Email) -> bool:
        return any(user.email == email.value for user in self.unit.store.all(User))


@dataclass
class InMemoryOrganizations:
    """`Organizations`."""

    unit: InMemoryUnitOfWork

    async def add(self, organization: Organization) -> None:
        self.unit.add(organization)

    async def get(self, organization_id: UUID) -> Organization:
        return self.unit.load(Organization, organization_id, visible=lambda o: o.id == self.unit.principal.organization_id)


@dataclass
class InMemoryMemberships:
    """`Memberships`."""

    unit: InMemoryUnitOfWork

    def add(self, membership: Membership) -> None:
        self.unit.add(membership)

    async def lock_owners(self) -> int:
        return sum(1 for m in self.unit.store.all(Membership) if self.unit.own(m) and m.role is Role.OWNER)

    async def get(self, membership_id: UUID) -> Membership:
        return self.unit.load(Membership, membership_id, visible=self.unit.own)

    async def remove(self, membership: Membership) -> None:
        self.unit.removed.add(membership.id)


@dataclass
class InMemorySessions:
    """`Sessions`."""

    unit: InMemoryUnitOfWork

    def add(self, session: Session) -> None:
        self.unit.add(session)

    async def get(self, session_id: UUID) -> Session:
        return self.unit.load(Session, session_id)

    async def forget_spent(self, *, before: datetime) -> int:
        gone = [s.id for s in self.unit.store.all(Session) if s.expires_at < before]
        for key in gone:
            del self.unit.store.rows[Session][key]
        return len(gone)


@dataclass
class InMemoryApiKeys:
    """`ApiKeys`."""

    unit: InMemoryUnitOfWork

    def add(self, api_key: ApiKey) -> None:
        self.unit.add(api_key)

    async def get(self, api_key_id: UUID) -> ApiKey:
        return self.unit.load(ApiKey, api_key_id, visible=self.unit.own)


@dataclass
class InMemoryIdentityTransactions:
    """`IdentityTransactions`: each waits for the one before, so what is loaded is locked."""

    store: InMemoryIdentityStore

    def __call__(self, principal: Principal, *, completes: Delivery | None = None) -> AbstractAsyncContextManager[InMemoryRepositories]:
        return self._open(principal, completes)

    @asynccontextmanager
    async def _open(self, principal: Principal, completes: Delivery | None) -> AsyncIterator[InMemoryRepositories]:
        async with self.store.lock:
            unit = InMemoryUnitOfWork(principal, self.store)
            yield InMemoryRepositories(unit)
            if completes is not None and completes.id in self.store.delivered:
                raise AlreadyDelivered
            unit.commit()
            if completes is not None:
                self.store.delivered.add(completes.id)


@dataclass
class InMemoryDirectory:
    """`Directory`."""

    store: InMemoryIdentityStore

    async def account(self, email: Email) -> Account | None:
        return next((_account(user) for user in self.store.all(User) if user.email == email.value), None)

    async def account_of(self, user_id: UUID) -> Account | None:
        return next((_account(user) for user in self.store.all(User) if user.id == user_id), None)

    async def places(self, user_id: UUID) -> tuple[Place, ...]:
        organizations = {o.id: o for o in self.store.all(Organization)}
        mine = sorted((m for m in self.store.all(Membership) if m.user_id == user_id), key=lambda m: (m.joined_at, m.id))
        return tuple(_place(organizations[m.organization_id], m.role) for m in mine)

    async def organization_with_slug(self, slug: str) -> UUID | None:
        return next((o.id for o in self.store.all(Organization) if o.slug == slug), None)


@dataclass
class InMemoryStanding:
    """`Standing`; `metered` counts the API calls of each organisation."""

    store: InMemoryIdentityStore
    metered: dict[UUID, int] = field(default_factory=dict)

    async def of_session(self, session_id: UUID, organization_id: UUID | None) -> SessionStanding | None:
        session = next((s for s in self.store.all(Session) if s.id == session_id and s.revoked_at is None), None)
        if session is None:
            return None
        organization = next((o for o in self.store.all(Organization) if o.id == organization_id), None)
        return SessionStanding(
            user_id=session.user_id,
            kind=session.kind,
            role=self._role(organization_id, session.user_id),
            status=None if organization is None else organization.status,
        )

    async def confirm(self, unit: UnitOfWork, *, permission: str, roles: Sequence[Role]) -> None:
        caller = unit.principal
        assert caller.session_id is not None
        found = await self.of_session(caller.session_id, caller.organization_id)
        if found is None or found.user_id != caller.id or found.role is None:
            raise Unauthenticated
        if found.status is not OrganizationStatus.ACTIVE:
            raise OrganizationSuspended
        if found.role not in roles:
            raise PermissionDenied(f"This needs the permission {permission}")

    async def of_api_key(self, claims: ApiKeyClaims, *, at: datetime) -> ApiKeyStanding:
        key = next((k for k in self.store.all(ApiKey) if k.digest == claims.digest and k.organization_id == claims.organization_id), None)
        if key is None or key.sandbox != claims.sandbox or key.revoked_at is not None:
            raise Unauthenticated
        if key.expires_at is not None and key.expires_at <= at:
            raise Unauthenticated
        role = self._role(key.organization_id, key.created_by)
        if role is None:
            raise Unauthenticated
        organization = next(o for o in self.store.all(Organization) if o.id == key.organization_id)
        if organization.status is not OrganizationStatus.ACTIVE:
            raise OrganizationSuspended
        self.metered[key.organization_id] = self.metered.get(key.organization_id, 0) + 1
        self.store.last_used[key.id] = at
        return ApiKeyStanding(api_key_id=key.id, scopes=frozenset(key.scopes), role=role)

    def _role(self, organization_id: UUID | None, user_id: UUID) -> Role | None:
        return next((m.role for m in self.store.all(Membership) if (m.organization_id, m.user_id) == (organization_id, user_id)), None)


@dataclass
class InMemoryIdentityReading:
    """`IdentityReading`."""

    store: InMemoryIdentityStore

    async def person(self, principal: Principal) -> PersonRow:
        user = next((u for u in self.store.all(User) if u.id == principal.id and principal.kind is PrincipalKind.USER), None)
        if user is None:
            raise NotFound
        return PersonRow(
            id=user.id,
            email=user.email,
            full_name=user.full_name,
            locale=user.locale,
            platform_admin=user.platform_admin,
            created_at=user.created_at,
        )

    async def organization(self, principal: Principal) -> OrganizationRow:
        found = next((o for o in self.store.all(Organization) if o.id == principal.tenant), None)
        if found is None:
            raise NotFound
        return OrganizationRow(
            id=found.id,
            name=found.name,
            slug=found.slug,
            locale=found.locale,
            status=found.status,
            created_at=found.created_at,
            version=found.version,
        )

    async def members(self, principal: Principal, page: PageRequest) -> Page[MemberRow]:
        return _page([self._member(m) for m in self.store.all(Membership) if m.organization_id == principal.tenant], page, newest=False)

    async def member(self, principal: Principal, member_id: UUID) -> MemberRow:
        found = next((m for m in self.store.all(Membership) if (m.organization_id, m.id) == (principal.tenant, member_id)), None)
        if found is None:
            raise NotFound
        return self._member(found)

    async def api_keys(self, principal: Principal, page: PageRequest) -> Page[ApiKeyRow]:
        return _page(self._api_keys(principal), page, newest=True)

    async def api_key(self, principal: Principal, api_key_id: UUID) -> ApiKeyRow:
        found = next((row for row in self._api_keys(principal) if row.id == api_key_id), None)
        if found is None:
            raise NotFound
        return found

    def _api_keys(self, principal: Principal) -> list[ApiKeyRow]:
        return [
            ApiKeyRow(
                id=k.id,
                name=k.name,
                prefix_shown=k.prefix_shown,
                scopes=tuple(k.scopes),
                sandbox=k.sandbox,
                created_by=k.created_by,
                created_at=k.created_at,
                expires_at=k.expires_at,
                last_used_at=self.store.last_used.get(k.id),
                revoked_at=k.revoked_at,
            )
            for k in reversed(self.store.all(ApiKey))
            if k.organization_id == principal.tenant
        ]

    async def sessions(self, principal: Principal, page: PageRequest, *, at: datetime) -> Page[SessionRow]:
        mine = [s for s in self.store.all(Session) if s.user_id == principal.id and s.revoked_at is None and s.expires_at > at]
        rows = [
            SessionRow(
                id=s.id,
                kind=s.kind,
                remembered=s.remembered,
                user_agent=s.user_agent,
                started_at=s.started_at,
                last_seen_at=s.rotated_at,
                expires_at=s.expires_at,
            )
            for s in sorted(mine, key=lambda s: s.id, reverse=True)
        ]
        return _page(rows, page, newest=True)

    def _member(self, member: Membership) -> MemberRow:
        user = next(u for u in self.store.all(User) if u.id == member.user_id)
        return MemberRow(
            id=member.id,
            user_id=user.id,
            email=user.email,
            full_name=user.full_name,
            role=member.role,
            joined_at=member.joined_at,
            version=member.version,
        )


@dataclass
class InMemoryBilling:
    """What identity asks of billing: `BillingAccounts`, `Quotas` as far as seats go, and `Entitlements`."""

    plans: dict[UUID, str] = field(default_factory=dict)
    seats: dict[UUID, set[UUID]] = field(default_factory=dict)

    async def open(self, unit: Any, *, organization_id: UUID, plan: str, at: datetime) -> None:  # noqa: ARG002
        self.plans[organization_id] = plan

    async def take(
        self,
        unit: Any,
        *,
        metric: Metric,
        quantity: int,  # noqa: ARG002
        cause: str,  # noqa: ARG002
        cause_id: UUID,
        at: datetime,  # noqa: ARG002
    ) -> None:
        assert metric is Metric.TEAM_MEMBERS
        self.seats.setdefault(unit.principal.tenant, set()).add(cause_id)

    async def give_back(self, unit: Any, *, metric: Metric, quantity: int, cause_id: UUID, at: datetime) -> None:  # noqa: ARG002
        self.seats[unit.principal.tenant].discard(cause_id)

    async def of(self, organization_id: UUID) -> Entitlement:
        plan = self.plans[organization_id]
        features = frozenset({"api_access"}) if plan != "free" else frozenset[str]()
        return Entitlement(plan=plan, features=features, limits={}, agent_rate_per_minute=60)


def _account(user: User) -> Account:
    return Account(
        user_id=user.id,
        email=user.email,
        full_name=user.full_name,
        locale=user.locale,
        password_hash=user.password_hash,
        platform_admin=user.platform_admin,
    )


def _place(organization: Organization, role: Role) -> Place:
    return Place(
        organization_id=organization.id,
        name=organization.name,
        slug=organization.slug,
        locale=organization.locale,
        status=organization.status,
        role=role,
        created_at=organization.created_at,
    )


def _page(rows: list[R], page: PageRequest, *, newest: bool) -> Page[R]:
    try:
        after = None if page.cursor is None else UUID(page.cursor)
    except ValueError:
        raise ForeignCursor from None
    left = [row for row in rows if after is None or (row.id < after if newest else row.id > after)]
    return Page(tuple(left[: page.limit]), str(left[page.limit - 1].id) if len(left) > page.limit else None)
