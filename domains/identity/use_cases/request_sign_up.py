"""The first half of signing up."""

from dataclasses import dataclass, field

from contracts.rate_limits import RateLimits
from domains.identity.model.email import Email
from domains.identity.model.names import Locale
from domains.identity.model.password import Password
from domains.identity.model.sign_up import SignUp
from domains.identity.ports.password_hashing import PasswordHashing
from domains.identity.ports.transactions import IdentityTransactions
from domains.identity.use_cases.attempts import AttemptLimits, TooManyAttempts
from shared_kernel.clock import Clock
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSignUp:
    """Ask for an account."""

    email: str
    password: str = field(repr=False)
    full_name: str
    organization_name: str | None
    locale: Locale
    requested_by: Principal


@dataclass(frozen=True, slots=True)
class RequestSignUpHandler:
    """Stores the wish; the mail goes out afterwards."""

    transactions: IdentityTransactions
    passwords: PasswordHashing
    rate_limits: RateLimits
    limits: AttemptLimits
    clock: Clock

    async def __call__(self, command: RequestSignUp) -> None:
        """Store a wish for an account and have a mail sent.

        Whether the address has an account already is not even looked up here: the answer and the work are the same, and the mail alone
        differs.
        Raises `InvalidInput` for a bad address, name or password, `TooManyPasswordChecks`, `TooManyAttempts` when
        the mailbox was asked for too often, whether it has an account or not.
        """
        email = Email.of(command.email)
        password = Password.chosen(command.password, personal=(email.value, command.full_name, command.organization_name or ""))
        decision = await self.rate_limits.check(self.limits.requests(email))
        if not decision.allowed:
            raise TooManyAttempts(retry_after=decision.retry_after)
        sign_up = SignUp.request(
            email=email,
            password_hash=await self.passwords.hash(password.text),
            full_name=command.full_name,
            organization_name=command.organization_name,
            locale=command.locale,
            at=self.clock.now(),
        )
        async with self.transactions(command.requested_by) as tx:
            tx.sign_ups.add(sign_up)
