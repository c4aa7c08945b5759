"""What other contexts and the HTTP edge may ask of identity."""

from typing import Protocol
from uuid import UUID

from contracts.identity.permissions import Permission
from shared_kernel.principal import Origin, Principal


class Authentication(Protocol):
    """Turns a credential into a principal, in one database round trip, checking every revocation on the way."""

    async def bearer(self, token: str, *, organization_id: UUID | None, origin: Origin, when_suspended: bool = False) -> Principal:
        """Return the caller behind an access token or an API key (`lun_live_…`, `lun_sbx_…`).

        `organization_id` is what a person's call chose with the header `Luneo-Organization`; an API key carries its own.
        `when_suspended` lets a person through whose organisation is suspended, with no permission in it: for what concerns them alone.
        One API call is metered for a key. Raises `Unauthenticated`; `OrganizationSuspended`; `PermissionDenied` when the person
        is no member of the chosen organisation;
        `QuotaExceeded` when the plan has no API calls left.
        """
        ...

    async def session_cookie(self, value: str, *, origin: Origin, when_suspended: bool = False) -> Principal:
        """Return the person behind a browser's session cookie. Raises as `bearer` does."""
        ...

    def by_claims(
        self, token: str, *, cookie: bool, organization_id: UUID | None, permission: Permission, origin: Origin
    ) -> Principal | None:
        """Return the person that a genuine access token names, without asking the database, or `None` when that must be asked.

        The principal holds `permission` alone and is `unconfirmed`: the first transaction of the request confirms it
        (`contracts.identity.commands.Confirmations`). `cookie` says that the token came as a session cookie.
        """
        ...

    def csrf_token(self, principal: Principal) -> str:
        """Return the token that a browser must send in `X-CSRF-Token` with this session's unsafe requests."""
        ...
