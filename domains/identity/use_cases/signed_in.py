"""What somebody gets who has signed in."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from contracts.identity.permissions import Role
from domains.identity.model.names import Locale
from domains.identity.model.organization import OrganizationStatus
from domains.identity.model.session import Session, SessionKind, SessionLifetimes
from domains.identity.ports.directory import Account, Place
from domains.identity.ports.tokens import SessionTokens, TokenKind

#: A CSRF token lasts as long as its session, which is checked with every request: its own end only fills the format.
_CSRF_EXPIRES_AT = datetime(2100, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedInPerson:
    """Who signed in."""

    id: UUID
    email: str
    full_name: str
    locale: Locale


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedInOrganization:
    """Which organisation the session acts for, and as what."""

    id: UUID
    name: str
    slug: str
    role: Role
    status: OrganizationStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """A session's current tokens. The end of a token is aware UTC; `organization` is `None` for a person who is a member of none."""

    session_id: UUID
    kind: SessionKind
    access_token: str = field(repr=False)
    access_expires_at: datetime
    refresh_token: str = field(repr=False)
    refresh_expires_at: datetime
    csrf_token: str = field(repr=False)
    remembered: bool
    person: SignedInPerson
    organization: SignedInOrganization | None


@dataclass(frozen=True, slots=True)
class TokenIssuer:
    """Derives the tokens of a session's current generation: asked twice, it gives the same."""

    tokens: SessionTokens
    lifetimes: SessionLifetimes

    def issue(self, session: Session, person: SignedInPerson, organization: SignedInOrganization | None) -> SignedIn:
        """Return the session's tokens with who it belongs to."""
        access_expires_at = session.access_expires_at(self.lifetimes)
        claims = (session.id, session.active_organization_id, session.generation)
        return SignedIn(
            session_id=session.id,
            kind=session.kind,
            access_token=self.tokens.issue(TokenKind.ACCESS, *claims, access_expires_at),
            access_expires_at=access_expires_at,
            refresh_token=self.tokens.issue(TokenKind.REFRESH, *claims, session.expires_at),
            refresh_expires_at=session.expires_at,
            csrf_token=csrf_token(self.tokens, session.id),
            remembered=session.remembered,
            person=person,
            organization=organization,
        )


def csrf_token(tokens: SessionTokens, session_id: UUID) -> str:
    """Return the CSRF token of a session, the same for its whole life."""
    return tokens.issue(TokenKind.CSRF, session_id, None, 0, _CSRF_EXPIRES_AT)


def person_of(account: Account) -> SignedInPerson:
    """Return what a session's answer shows of an account."""
    return SignedInPerson(id=account.user_id, email=account.email, full_name=account.full_name, locale=account.locale)


def organization_of(place: Place | None) -> SignedInOrganization | None:
    """Return what a session's answer shows of a place."""
    if place is None:
        return None
    return SignedInOrganization(id=place.organization_id, name=place.name, slug=place.slug, role=place.role, status=place.status)
