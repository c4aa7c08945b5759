"""The second half of signing up."""

from dataclasses import dataclass, field
from dataclasses import replace as changed
from uuid import UUID

from contracts.identity.permissions import Role
from domains.identity.model.email import Email
from domains.identity.model.session import Session, SessionKind
from domains.identity.model.sign_up import SignUp, VerificationInvalid
from domains.identity.model.user import User
from domains.identity.ports.mailbox_proofs import MailboxProofs
from domains.identity.ports.transactions import IdentityTransactions
from domains.identity.use_cases.founding import Founding
from domains.identity.use_cases.signed_in import SignedIn, SignedInOrganization, SignedInPerson, TokenIssuer
from shared_kernel.clock import Clock
from shared_kernel.errors import NotFound
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyEmail:
    """Prove a mailbox by the link's token, or by the address and the six digits."""

    session: SessionKind
    requested_by: Principal
    token: str | None = field(default=None, repr=False)
    email: str | None = None
    code: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class VerifyEmailHandler:
    """Makes the account."""

    transactions: IdentityTransactions
    proofs: MailboxProofs
    founding: Founding
    issuer: TokenIssuer
    clock: Clock

    async def __call__(self, command: VerifyEmail) -> SignedIn:
        """Make the person, their organisation with its billing account, and a session, all or nothing.

        A proof works once; of two at once one wins. The code opens the newest wish of its address and dies after five attempts, the link
        lives on.
        Raises `VerificationInvalid`, `VerificationExpired`, `VerificationAlreadyUsed`, `EmailAlreadyRegistered`.
        """
        sign_up_id = self._proven_by_token(command.token) if command.token is not None else await self._proven_by_code(command)
        now = self.clock.now()
        organization_id = new_id()
        async with self.transactions(changed(command.requested_by, organization_id=organization_id)) as tx:
            try:
                sign_up = await tx.sign_ups.get(sign_up_id)
            except NotFound:
                raise VerificationInvalid("token") from None
            password_hash = sign_up.password_hash
            sign_up.verify(now)
            user = User.register(
                email=Email(sign_up.email),
                full_name=sign_up.full_name,
                password_hash=password_hash,
                locale=sign_up.locale,
                organization_id=organization_id,
                at=now,
            )
            await tx.users.add(user)
            organization = await self.founding.found(
                tx,
                organization_id=organization_id,
                name=sign_up.organization_name or sign_up.full_name,
                locale=sign_up.locale,
                founder_id=user.id,
                at=now,
            )
            session = Session.start(
                user_id=user.id,
                organization_id=organization_id,
                kind=command.session,
                remembered=False,
                user_agent=command.requested_by.origin.user_agent,
                lifetimes=self.issuer.lifetimes,
                at=now,
            )
            tx.sessions.add(session)
        person = SignedInPerson(id=user.id, email=user.email, full_name=user.full_name, locale=user.locale)
        place = SignedInOrganization(
            id=organization_id, name=organization.name, slug=organization.slug, role=Role.OWNER, status=organization.status
        )
        return self.issuer.issue(session, person, place)

    def _proven_by_token(self, token: str) -> UUID:
        sign_up_id = self.proofs.read_token(token)
        if sign_up_id is None:
            raise VerificationInvalid("token")
        return sign_up_id

    async def _proven_by_code(self, command: VerifyEmail) -> UUID:
        """Count the attempt in a transaction of its own: it counts above all when the code is wrong."""
        email = Email.of(command.email or "")
        sign_up: SignUp | None = None
        proven = False
        async with self.transactions(command.requested_by) as tx:
            sign_up = await tx.sign_ups.newest_open(email, at=self.clock.now())
            if sign_up is not None:
                proven = sign_up.try_code(right=self.proofs.is_code_of(sign_up.id, command.code or ""), at=self.clock.now())
        if sign_up is None or not proven:
            raise VerificationInvalid("code")
        return sign_up.id
