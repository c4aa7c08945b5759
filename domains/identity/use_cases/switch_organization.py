"""Acting for another of one's organisations."""

from dataclasses import dataclass, replace
from uuid import UUID

from domains.identity.model.organization import OrganizationStatus, OrganizationSuspended
from domains.identity.model.session import EndReason, Session
from domains.identity.ports.directory import Directory
from domains.identity.ports.transactions import IdentityTransactions
from domains.identity.use_cases.signed_in import SignedIn, TokenIssuer, organization_of, person_of
from shared_kernel.clock import Clock
from shared_kernel.errors import NotFound, Unauthenticated
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchOrganization:
    """Go on as a member of another organisation."""

    organization_id: UUID
    requested_by: Principal


@dataclass(frozen=True, slots=True)
class SwitchOrganizationHandler:
    """Replaces the caller's session."""

    transactions: IdentityTransactions
    directory: Directory
    issuer: TokenIssuer
    clock: Clock

    async def __call__(self, command: SwitchOrganization) -> SignedIn:
        """End the caller's session and start one, of the same kind, for the other organisation.

        Raises `NotFound` for an organisation that the caller is no member of, `OrganizationSuspended`.
        """
        caller = command.requested_by
        if caller.id is None or caller.session_id is None:
            raise Unauthenticated
        account = await self.directory.account_of(caller.id)
        places = await self.directory.places(caller.id)
        place = next((p for p in places if p.organization_id == command.organization_id), None)
        if account is None or place is None:
            raise NotFound
        if place.status is OrganizationStatus.SUSPENDED:
            raise OrganizationSuspended
        now = self.clock.now()
        async with self.transactions(replace(caller, organization_id=place.organization_id)) as tx:
            old = await tx.sessions.get(caller.session_id)
            old.revoke(EndReason.SWITCH, at=now)
            session = Session.start(
                user_id=caller.id,
                organization_id=place.organization_id,
                kind=old.kind,
                remembered=old.remembered,
                user_agent=caller.origin.user_agent,
                lifetimes=self.issuer.lifetimes,
                at=now,
            )
            tx.sessions.add(session)
        return self.issuer.issue(session, person_of(account), organization_of(place))
