"""New tokens for an old session."""

from dataclasses import dataclass, field

from domains.identity.model.session import Refresh, Session, SessionKind
from domains.identity.ports.directory import Directory
from domains.identity.ports.tokens import TokenKind
from domains.identity.ports.transactions import IdentityTransactions
from domains.identity.use_cases.signed_in import SignedIn, TokenIssuer, organization_of, person_of
from shared_kernel.clock import Clock
from shared_kernel.errors import NotFound, Unauthenticated
from shared_kernel.principal import Principal, PrincipalKind


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshSession:
    """Exchange a refresh token for its successors. `kind` says how it came: from a cookie or in a body."""

    refresh_token: str = field(repr=False)
    kind: SessionKind
    requested_by: Principal


@dataclass(frozen=True, slots=True)
class RefreshSessionHandler:
    """Rotates a session."""

    transactions: IdentityTransactions
    directory: Directory
    issuer: TokenIssuer
    clock: Clock

    async def __call__(self, command: RefreshSession) -> SignedIn:
        """Return the session's next tokens.

        The row is locked while it is decided, so of two tabs one rotates and the other gets the very same successors. A token that was
        rotated gives the session's current tokens for 30 s, whatever was rotated since. Used again later it was copied: the session ends.
        Raises `Unauthenticated`.
        """
        now = self.clock.now()
        claims = self.issuer.tokens.read(TokenKind.REFRESH, command.refresh_token)
        if claims is None or claims.is_expired(now):
            raise Unauthenticated
        origin = command.requested_by.origin
        caller = Principal(PrincipalKind.ANONYMOUS, None, claims.organization_id, session_id=claims.session_id, origin=origin)
        session: Session
        async with self.transactions(caller) as tx:
            try:
                session = await tx.sessions.get(claims.session_id)
            except NotFound:
                raise Unauthenticated from None
            if session.kind is not command.kind:
                raise Unauthenticated
            outcome = session.refresh(claims.generation, lifetimes=self.issuer.lifetimes, at=now)
        if outcome in {Refresh.REFUSED, Refresh.REVOKED}:
            raise Unauthenticated
        account = await self.directory.account_of(session.user_id)
        places = await self.directory.places(session.user_id)
        place = next((p for p in places if p.organization_id == session.active_organization_id), None)
        if account is None or (place is None and session.active_organization_id is not None):
            raise Unauthenticated("You are no longer a member of this organisation; log in again")
        return self.issuer.issue(session, person_of(account), organization_of(place))
