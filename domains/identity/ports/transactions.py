"""The transaction of a command and the aggregates in it."""

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol
from uuid import UUID

from domains.identity.model.api_key import ApiKey
from domains.identity.model.email import Email
from domains.identity.model.membership import Membership
from domains.identity.model.organization import Organization
from domains.identity.model.session import Session
from domains.identity.model.sign_up import SignUp
from domains.identity.model.user import User
from shared_kernel.events import Delivery
from shared_kernel.principal import Principal
from shared_kernel.unit_of_work import UnitOfWork


class SignUps(Protocol):
    """Wishes for an account."""

    def add(self, sign_up: SignUp) -> None:
        """Keep a new one."""
        ...

    async def get(self, sign_up_id: UUID) -> SignUp:
        """Return one, locked until the transaction ends. Raises `NotFound`."""
        ...

    async def newest_open(self, email: Email, *, at: datetime) -> SignUp | None:
        """Return the newest one for `email` that can still be proven, locked until the transaction ends."""
        ...

    async def forget_spent(self, *, before: datetime) -> int:
        """Delete those that ended before `before`, proven or not; return how many."""
        ...


class Users(Protocol):
    """People."""

    async def add(self, user: User) -> None:
        """Keep a new one. Raises `EmailAlreadyRegistered` here or when the transaction ends."""
        ...

    async def get(self, user_id: UUID) -> User:
        """Return one. Raises `NotFound`."""
        ...

    async def has_account(self, email: Email) -> bool:
        """Tell whether somebody has an account with `email`."""
        ...


class Organizations(Protocol):
    """The transaction's own organisation."""

    async def add(self, organization: Organization) -> None:
        """Keep the new organisation that the transaction acts for."""
        ...

    async def get(self, organization_id: UUID) -> Organization:
        """Return it. Raises `NotFound` for any other."""
        ...


class Memberships(Protocol):
    """The members of the transaction's organisation."""

    def add(self, membership: Membership) -> None:
        """Keep a new one."""
        ...

    async def lock_owners(self) -> int:
        """Return how many owners there are, and let nobody else add, change or remove one until the transaction ends.

        To be called before `get`, so that what is loaded is what was locked.
        """
        ...

    async def get(self, membership_id: UUID) -> Membership:
        """Return one. Raises `NotFound`."""
        ...

    async def remove(self, membership: Membership) -> None:
        """Delete one."""
        ...


class Sessions(Protocol):
    """Signed-in devices."""

    def add(self, session: Session) -> None:
        """Keep a new one."""
        ...

    async def get(self, session_id: UUID) -> Session:
        """Return one, locked until the transaction ends. Raises `NotFound`."""
        ...

    async def forget_spent(self, *, before: datetime) -> int:
        """Delete those that ended before `before`; return how many."""
        ...


class ApiKeys(Protocol):
    """The API keys of the transaction's organisation."""

    def add(self, api_key: ApiKey) -> None:
        """Keep a new one."""
        ...

    async def get(self, api_key_id: UUID) -> ApiKey:
        """Return one. Raises `NotFound`."""
        ...


class IdentityTransaction(Protocol):
    """One open transaction; `unit` is for other contexts' commands."""

    @property
    def unit(self) -> UnitOfWork: ...  # noqa: D102
    @property
    def sign_ups(self) -> SignUps: ...  # noqa: D102
    @property
    def users(self) -> Users: ...  # noqa: D102
    @property
    def organizations(self) -> Organizations: ...  # noqa: D102
    @property
    def memberships(self) -> Memberships: ...  # noqa: D102
    @property
    def sessions(self) -> Sessions: ...  # noqa: D102
    @property
    def api_keys(self) -> ApiKeys: ...  # noqa: D102


class IdentityTransactions(Protocol):
    """Opens transactions."""

    def __call__(self, principal: Principal, *, completes: Delivery | None = None) -> AbstractAsyncContextManager[IdentityTransaction]:
        """Return a transaction of the principal's organisation.

        Leaving it saves, audits and publishes; an error inside leaves nothing behind.
        """
        ...
