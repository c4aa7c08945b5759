"""Signing in with a password."""

from dataclasses import dataclass, field

from contracts.rate_limits import RateLimits
from domains.identity.model.email import Email
from domains.identity.model.organization import OrganizationStatus
from domains.identity.model.password import Password
from domains.identity.model.session import Session, SessionKind
from domains.identity.ports.directory import Account, Directory, Place
from domains.identity.ports.password_hashing import PasswordHashing
from domains.identity.ports.transactions import IdentityTransactions
from domains.identity.use_cases.attempts import AttemptLimits, TooManyAttempts
from domains.identity.use_cases.signed_in import SignedIn, TokenIssuer, organization_of, person_of
from shared_kernel.clock import Clock
from shared_kernel.errors import InvalidInput, Unauthenticated
from shared_kernel.principal import Principal, PrincipalKind


@dataclass(frozen=True, slots=True, kw_only=True)
class LogIn:
    """Sign in. `remember` makes the session outlive a week without use."""

    email: str
    password: str = field(repr=False)
    remember: bool
    session: SessionKind
    requested_by: Principal


@dataclass(frozen=True, slots=True)
class LogInHandler:
    """Starts a session."""

    transactions: IdentityTransactions
    directory: Directory
    passwords: PasswordHashing
    rate_limits: RateLimits
    limits: AttemptLimits
    issuer: TokenIssuer
    clock: Clock

    async def __call__(self, command: LogIn) -> SignedIn:
        """Start a new session for the person's first active organisation.

        An unknown address costs and answers the same as a wrong password. Each attempt counts against the lockout of this account from
        this address.
        A password hashed by older parameters is hashed anew. Raises `Unauthenticated`, `TooManyAttempts`, `TooManyPasswordChecks`.
        """
        email = _email(command.email)
        rules = self.limits.logins(email, command.requested_by)
        decision = await self.rate_limits.check(rules)
        if not decision.allowed:
            raise TooManyAttempts(retry_after=decision.retry_after)
        account = None if email is None else await self.directory.account(email)
        password = Password.given(command.password)
        if account is None:
            await self.passwords.verify_nothing(password.text)
            raise Unauthenticated("The e-mail or the password is wrong")
        if not await self.passwords.verify(account.password_hash, password.text):
            raise Unauthenticated("The e-mail or the password is wrong")
        await self.rate_limits.give_back(rules)
        new_hash = await self.passwords.hash(password.text) if self.passwords.needs_rehash(account.password_hash) else None
        place = _first_choice(await self.directory.places(account.user_id))
        session = await self._start(command, account, place, new_hash)
        return self.issuer.issue(session, person_of(account), organization_of(place))

    async def _start(self, command: LogIn, account: Account, place: Place | None, new_hash: str | None) -> Session:
        organization_id = None if place is None else place.organization_id
        session = Session.start(
            user_id=account.user_id,
            organization_id=organization_id,
            kind=command.session,
            remembered=command.remember,
            user_agent=command.requested_by.origin.user_agent,
            lifetimes=self.issuer.lifetimes,
            at=self.clock.now(),
        )
        person = Principal(PrincipalKind.USER, account.user_id, organization_id, origin=command.requested_by.origin)
        async with self.transactions(person) as tx:
            if new_hash is not None:
                (await tx.users.get(account.user_id)).strengthen(new_hash)
            tx.sessions.add(session)
        return session


def _email(text: str) -> Email | None:
    """Return the address, `None` for what can't be anybody's: a login is then refused as any other."""
    try:
        return Email.of(text)
    except InvalidInput:
        return None


def _first_choice(places: tuple[Place, ...]) -> Place | None:
    active = [place for place in places if place.status is OrganizationStatus.ACTIVE]
    return next(iter(active or places), None)
