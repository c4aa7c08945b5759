"""What identity answers to the others: `contracts.identity.queries`."""

from collections import OrderedDict
from dataclasses import dataclass, field
from uuid import UUID

from contracts.identity.permissions import PERMISSIONS_OF, Permission, roles_with
from domains.identity.model.organization import OrganizationStatus, OrganizationSuspended
from domains.identity.model.session import SessionKind
from domains.identity.ports.standing import Standing
from domains.identity.ports.tokens import ApiKeyMaterial, SessionTokens, TokenClaims, TokenKind
from domains.identity.use_cases.signed_in import csrf_token
from shared_kernel.clock import Clock
from shared_kernel.errors import PermissionDenied, Unauthenticated
from shared_kernel.principal import Origin, Principal, PrincipalKind
from shared_kernel.unit_of_work import UnitOfWork

MOST_SESSIONS = 20_000


class KnownSessions:
    """Whose a session is, and how it is carried: neither ever changes, so this process need not ask again. Keeps the last used."""

    def __init__(self, *, most: int = MOST_SESSIONS) -> None:
        self._most = most
        self._known: OrderedDict[UUID, tuple[UUID, SessionKind]] = OrderedDict()

    def remember(self, session_id: UUID, user_id: UUID, kind: SessionKind) -> None:
        """Keep it, and forget the one that was longest not seen when there are too many."""
        self._known[session_id] = (user_id, kind)
        self._known.move_to_end(session_id)
        if len(self._known) > self._most:
            self._known.popitem(last=False)

    def user_of(self, session_id: UUID, kind: SessionKind) -> UUID | None:
        """Return whose session of this kind it is, `None` when that is not known."""
        user_id, known_kind = self._known.get(session_id, (None, None))
        return user_id if known_kind is kind else None


@dataclass(frozen=True, slots=True)
class ConfirmationsFacade:
    """Implements `contracts.identity.commands.Confirmations`."""

    standing: Standing

    async def confirm(self, unit: UnitOfWork) -> None:
        """See `Confirmations.confirm`."""
        permission = unit.principal.unconfirmed
        if permission is not None:
            await self.standing.confirm(unit, permission=permission, roles=roles_with(permission))


@dataclass(frozen=True, slots=True)
class StandingAuthentication:
    """`Authentication`: junk is refused without asking the database, everything else by asking it once."""

    tokens: SessionTokens
    api_keys: ApiKeyMaterial
    standing: Standing
    clock: Clock
    known: KnownSessions = field(default_factory=KnownSessions)

    async def bearer(self, token: str, *, organization_id: UUID | None, origin: Origin, when_suspended: bool = False) -> Principal:
        """See `contracts.identity.queries.Authentication.bearer`."""
        if token.startswith("lun_"):
            return await self._api_key(token, origin)
        return await self._session(token, SessionKind.TOKEN, organization_id, origin, when_suspended=when_suspended)

    async def session_cookie(self, value: str, *, origin: Origin, when_suspended: bool = False) -> Principal:
        """See `contracts.identity.queries.Authentication.session_cookie`."""
        return await self._session(value, SessionKind.COOKIE, None, origin, when_suspended=when_suspended)

    def by_claims(
        self, token: str, *, cookie: bool, organization_id: UUID | None, permission: Permission, origin: Origin
    ) -> Principal | None:
        """See `contracts.identity.queries.Authentication.by_claims`."""
        claims = self.tokens.read(TokenKind.ACCESS, token)
        if claims is None or claims.organization_id is None or claims.is_expired(self.clock.now()):
            return None
        if organization_id not in {None, claims.organization_id}:
            return None
        user_id = self.known.user_of(claims.session_id, SessionKind.COOKIE if cookie else SessionKind.TOKEN)
        if user_id is None:
            return None
        return Principal(
            PrincipalKind.USER,
            user_id,
            claims.organization_id,
            permissions=frozenset({permission}),
            session_id=claims.session_id,
            unconfirmed=permission,
            origin=origin,
        )

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
        self.known.remember(claims.session_id, found.user_id, kind)
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
