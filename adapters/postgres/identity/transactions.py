"""The aggregates of identity through SQLAlchemy's unit of work."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from adapters.postgres.identity.tables import api_keys, memberships, organizations, sessions, sign_ups, users
from adapters.postgres.refusals import register
from adapters.postgres.unit_of_work import PostgresTransaction, UnitOfWorkScope
from domains.identity.model.api_key import ApiKey
from domains.identity.model.email import Email
from domains.identity.model.membership import Membership
from domains.identity.model.organization import Organization
from domains.identity.model.session import Session
from domains.identity.model.sign_up import EmailAlreadyRegistered, SignUp
from domains.identity.model.user import User
from domains.identity.ports.transactions import IdentityTransaction
from shared_kernel.errors import Conflict

register("uq_users_email", lambda _: EmailAlreadyRegistered())
register("uq_organizations_slug", lambda _: Conflict("There is an organisation with this slug already"))
register("uq_memberships_organization_id_user_id", lambda _: Conflict("This person is a member already"))


@dataclass(frozen=True, slots=True)
class PostgresSignUps:
    """`SignUps` of one transaction."""

    scope: UnitOfWorkScope

    def add(self, sign_up: SignUp) -> None:
        """Insert it when the transaction ends."""
        self.scope.add(sign_up)

    async def get(self, sign_up_id: UUID) -> SignUp:
        """Select it for update."""
        statement = select(SignUp).where(sign_ups.c.id == sign_up_id).with_for_update()
        return await self.scope.get(statement)

    async def newest_open(self, email: Email, *, at: datetime) -> SignUp | None:
        """Select it for update."""
        statement = (
            select(SignUp)
            .where(sign_ups.c.email == email.value, sign_ups.c.verified_at.is_(None), sign_ups.c.expires_at > at)
            .order_by(sign_ups.c.id.desc())
            .limit(1)
            .with_for_update()
        )
        return await self.scope.find(statement)

    async def forget_spent(self, *, before: datetime) -> int:
        """Delete in one statement."""
        rows = await self.scope.execute(
            "with gone as (delete from identity.sign_ups where expires_at < %s returning 1) select count(*) as count from gone", (before,)
        )
        return int(rows[0]["count"])


@dataclass(frozen=True, slots=True)
class PostgresUsers:
    """`Users` of one transaction."""

    scope: UnitOfWorkScope

    async def add(self, user: User) -> None:
        """Insert it now: memberships and sessions refer to it."""
        self.scope.add(user)
        await self.scope.session.flush()

    async def get(self, user_id: UUID) -> User:
        """Select it."""
        return await self.scope.get(select(User).where(users.c.id == user_id))

    async def has_account(self, email: Email) -> bool:
        """Look the e-mail up."""
        return bool(await self.scope.execute("select 1 from identity.users where email = %s", (email.value,)))


@dataclass(frozen=True, slots=True)
class PostgresOrganizations:
    """`Organizations` of one transaction."""

    scope: UnitOfWorkScope

    async def add(self, organization: Organization) -> None:
        """Insert it now: memberships and API keys refer to it."""
        self.scope.add(organization)
        await self.scope.session.flush()

    async def get(self, organization_id: UUID) -> Organization:
        """Select it."""
        statement = select(Organization).where(organizations.c.id == organization_id)
        return await self.scope.get(statement)


@dataclass(frozen=True, slots=True)
class PostgresMemberships:
    """`Memberships` of one transaction."""

    scope: UnitOfWorkScope

    def add(self, membership: Membership) -> None:
        """Insert it when the transaction ends."""
        self.scope.add(membership)

    async def lock_owners(self) -> int:
        """Lock the organisation's row, which orders all changes of members, and count."""
        await self.scope.execute("select 1 from identity.organizations where id = %s for update", (self.scope.principal.tenant,))
        rows = await self.scope.execute(
            "select count(*) as count from identity.memberships where organization_id = %s and role = 'owner'",
            (self.scope.principal.tenant,),
        )
        return int(rows[0]["count"])

    async def get(self, membership_id: UUID) -> Membership:
        """Select it."""
        statement = select(Membership).where(
            memberships.c.organization_id == self.scope.principal.tenant, memberships.c.id == membership_id
        )
        return await self.scope.get(statement)

    async def remove(self, membership: Membership) -> None:
        """Delete it when the transaction ends."""
        await self.scope.remove(membership)


@dataclass(frozen=True, slots=True)
class PostgresSessions:
    """`Sessions` of one transaction."""

    scope: UnitOfWorkScope

    def add(self, session: Session) -> None:
        """Insert it when the transaction ends."""
        self.scope.add(session)

    async def get(self, session_id: UUID) -> Session:
        """Select it for update."""
        statement = select(Session).where(sessions.c.id == session_id).with_for_update()
        return await self.scope.get(statement)

    async def forget_spent(self, *, before: datetime) -> int:
        """Delete in one statement."""
        rows = await self.scope.execute(
            "with gone as (delete from identity.sessions where expires_at < %s returning 1) select count(*) as count from gone", (before,)
        )
        return int(rows[0]["count"])


@dataclass(frozen=True, slots=True)
class PostgresApiKeys:
    """`ApiKeys` of one transaction."""

    scope: UnitOfWorkScope

    def add(self, api_key: ApiKey) -> None:
        """Insert it when the transaction ends."""
        self.scope.add(api_key)

    async def get(self, api_key_id: UUID) -> ApiKey:
        """Select it."""
        statement = select(ApiKey).where(api_keys.c.organization_id == self.scope.principal.tenant, api_keys.c.id == api_key_id)
        return await self.scope.get(statement)


@dataclass(frozen=True, slots=True)
class PostgresIdentityTransaction:
    """What a use case of identity sees of an open transaction."""

    unit: UnitOfWorkScope
    sign_ups: PostgresSignUps
    users: PostgresUsers
    organizations: PostgresOrganizations
    memberships: PostgresMemberships
    sessions: PostgresSessions
    api_keys: PostgresApiKeys


class PostgresIdentityTransactions(PostgresTransaction[IdentityTransaction]):
    """`IdentityTransactions`."""

    def view(self, scope: UnitOfWorkScope) -> PostgresIdentityTransaction:
        """Return the repositories on `scope`."""
        return PostgresIdentityTransaction(
            unit=scope,
            sign_ups=PostgresSignUps(scope),
            users=PostgresUsers(scope),
            organizations=PostgresOrganizations(scope),
            memberships=PostgresMemberships(scope),
            sessions=PostgresSessions(scope),
            api_keys=PostgresApiKeys(scope),
        )
