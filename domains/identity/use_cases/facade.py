"""What identity answers to the others: `contracts.identity.queries`."""

from dataclasses import dataclass
from uuid import UUID

from contracts.identity.permissions import PERMISSIONS_OF
from domains.identity.model.organization import OrganizationStatus, OrganizationSuspended
from domains.identity.model.session import SessionKind
from domains.identity.ports.standing import Standing
from domains.identity.ports.tokens import ApiKeyMaterial, SessionTokens, TokenClaims, TokenKind
from domains.identity.use_cases.signed_in import csrf_token
from shared_kernel.clock import Clock
from shared_kernel.errors import PermissionDenied, Unauthenticated
from shared_kernel.principal import Origin, Principal, PrincipalKind


@dataclass(frozen=True, slots=True)
class StandingAuthentication:
    """`Authentication`: junk is refused without asking the database, everything else by asking it once."""

    tokens: SessionTokens
    api_keys: ApiKeyMaterial
    standing: Standing
    clock: Clock

    async def bearer(self, token: str, *, organization_id: UUID | None, origin: Origin, when_suspended: bool = False) -> Principal:
        """See `contracts.identity.queries.Authentication.bearer`."""
        if token.startswith("lun_"):
            return await self._api_key(token, origin)
        return await self._session(token, SessionKind.TOKEN, organization_id, origin, when_suspended=when_suspended)

    async def session_cookie(self, value: str, *, origin: Origin, when_suspended: bool = False) -> Principal:
        """See `contracts.identity.queries.Authentication.session_cookie`."""
        return await self._session(value, SessionKind.COOKIE, None, origin, when_suspended=when_suspended)

    def csrf_token(self, principal: Principal) -> str:
        """See `contracts.identity.queries.Authentication.csrf_token`."""
        if principal.session_id is None:
            raise Unauthenticated
        return csrf_token(self.tokens, principal.session_id)

    async def _session(self, token: str, kind: SessionKind, chosen: UUID | None, origin: Origin, *, when_suspended: bool) -> Principal:
        claims: TokenClaims | None = self.tokens.read(TokenKind.ACCESS, token)
        if claims is None or claims.is_expired(self.clock.now()):
            raise Unauthenticated
        organization_id = chosen or claims.organization_id
        found = await self.standing.of_session(claims.session_id, organization_id)
        if found is None or found.kind is not kind:
            raise Unauthenticated
        if organization_id is None:
            return Principal(PrincipalKind.USER, found.user_id, None, session_id=claims.session_id, origin=origin)
        if found.role is None:
            if chosen is not None and chosen != claims.organization_id:
                raise PermissionDenied("You are not a member of this organisation")
            raise Unauthenticated
        active = found.status is OrganizationStatus.ACTIVE
        if not (active or when_suspended):
            raise OrganizationSuspended
        return Principal(
            PrincipalKind.USER,
            found.user_id,
            organization_id,
            permissions=PERMISSIONS_OF[found.role] if active else frozenset(),
            role=found.role.value,
            session_id=claims.session_id,
            origin=origin,
        )

    async def _api_key(self, text: str, origin: Origin) -> Principal:
        claims = self.api_keys.read_api_key(text)
        if claims is None:
            raise Unauthenticated
        found = await self.standing.of_api_key(claims, at=self.clock.now())
        return Principal(
            PrincipalKind.API_KEY,
            found.api_key_id,
            claims.organization_id,
            permissions=PERMISSIONS_OF[found.role] & found.scopes,
            role=None,
            sandbox=claims.sandbox,
            origin=origin,
        )
