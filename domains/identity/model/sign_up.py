"""A wish for an account that waits for the proof of a mailbox."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar
from uuid import UUID

from contracts.identity.events import SignUpRequested
from domains.identity.model.email import Email
from domains.identity.model.names import Locale, named
from shared_kernel.aggregate import Aggregate
from shared_kernel.errors import Conflict, FieldError, InvalidInput
from shared_kernel.identifiers import new_id

TIME_TO_PROVE = timedelta(hours=24)
MAXIMUM_CODE_ATTEMPTS = 5


class VerificationInvalid(InvalidInput):
    """The link or the code proves nothing. The same for every reason that would tell whether somebody signed up."""

    code = "verification_invalid"
    title = "This link or code is not valid"

    def __init__(self, field: str) -> None:
        super().__init__(FieldError(field, self.code, "It is wrong, or too old; sign up again to get a new one"))


class VerificationExpired(InvalidInput):
    """The link was genuine and came too late."""

    code = "verification_expired"
    title = "This link is too old"

    def __init__(self) -> None:
        super().__init__(FieldError("token", self.code, "Sign up again to get a new one"))


class VerificationAlreadyUsed(Conflict):
    """The link worked once before, and works once."""

    code = "verification_already_used"
    title = "This link was used already; log in with your password"


class EmailAlreadyRegistered(Conflict):
    """The mailbox has an account; said only to somebody who proved that it is theirs."""

    code = "email_already_registered"
    title = "There is an account for this e-mail already; log in with its password"


@dataclass(eq=False, kw_only=True)
class SignUp(Aggregate):
    """One wish for an account.

    Nothing of a user or an organisation exists before its mailbox is proven, so nobody can prepare an account in another's name. Any
    number may wait for one
    address; the first that is proven makes the others useless. Neither the link's token nor the code is stored: both are derived from
    `id` with the server's key.
    """

    AGGREGATE: ClassVar[str] = "sign_up"

    id: UUID
    email: str
    password_hash: str
    full_name: str
    organization_name: str | None
    locale: Locale
    requested_at: datetime
    expires_at: datetime
    code_attempts: int = 0
    mailed_at: datetime | None = None
    verified_at: datetime | None = None
    version: int = 1

    @classmethod
    def request(
        cls, *, email: Email, password_hash: str, full_name: str, organization_name: str | None, locale: Locale, at: datetime
    ) -> "SignUp":
        """Return a new wish, good for 24 hours. Raises `InvalidInput` for a bad name."""
        sign_up = cls(
            id=new_id(),
            email=email.value,
            password_hash=password_hash,
            full_name=named(full_name, field="full_name"),
            organization_name=None if organization_name is None else named(organization_name, field="organization_name"),
            locale=locale,
            requested_at=at,
            expires_at=at + TIME_TO_PROVE,
        )
        sign_up.record(SignUpRequested(sign_up_id=sign_up.id))
        return sign_up

    def is_open(self, at: datetime) -> bool:
        """Tell whether the mailbox can still be proven at `at`."""
        return self.verified_at is None and at < self.expires_at

    def mark_mailed(self, at: datetime) -> None:
        """Remember that the mail went out."""
        self.mailed_at = at

    def try_code(self, *, right: bool, at: datetime) -> bool:
        """Count one attempt to prove the mailbox by its six digits; return whether it did. After five attempts none does."""
        if not self.is_open(at) or self.code_attempts >= MAXIMUM_CODE_ATTEMPTS:
            return False
        self.code_attempts += 1
        return right

    def verify(self, at: datetime) -> None:
        """Take the mailbox as proven, once, and forget the password's hash. Raises `VerificationAlreadyUsed`, `VerificationExpired`."""
        if self.verified_at is not None:
            raise VerificationAlreadyUsed
        if not self.is_open(at):
            raise VerificationExpired
        self.verified_at = at
        self.password_hash = ""
