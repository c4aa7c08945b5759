"""What `luneo create-admin` does."""

from dataclasses import dataclass, field
from uuid import UUID

from domains.identity.model.email import Email
from domains.identity.model.names import Locale
from domains.identity.model.password import Password
from domains.identity.model.user import User
from domains.identity.ports.password_hashing import PasswordHashing
from domains.identity.ports.transactions import IdentityTransactions
from domains.identity.use_cases.founding import Founding
from shared_kernel.clock import Clock
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateAdmin:
    """Make a platform administrator: for operators at the command line alone, no route leads here."""

    email: str
    full_name: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedAdmin:
    """Who was made, and the organisation of their own."""

    user_id: UUID
    organization_id: UUID
    email: str


@dataclass(frozen=True, slots=True)
class CreateAdminHandler:
    """Makes a platform administrator."""

    transactions: IdentityTransactions
    passwords: PasswordHashing
    founding: Founding
    clock: Clock

    async def __call__(self, command: CreateAdmin) -> CreatedAdmin:
        """Make a verified person, marked as platform administrator, with an organisation of their own.

        Raises `EmailAlreadyRegistered`, `InvalidInput`.
        """
        now = self.clock.now()
        email = Email.of(command.email)
        password = Password.chosen(command.password, personal=(email.value, command.full_name))
        password_hash = await self.passwords.hash(password.text)
        organization_id = new_id()
        async with self.transactions(Principal.system(organization_id, name="luneo create-admin")) as tx:
            user = User.register(
                email=email,
                full_name=command.full_name,
                password_hash=password_hash,
                locale=Locale.ENGLISH,
                organization_id=organization_id,
                at=now,
                platform_admin=True,
            )
            await tx.users.add(user)
            await self.founding.found(
                tx, organization_id=organization_id, name=command.full_name, locale=Locale.ENGLISH, founder_id=user.id, at=now
            )
        return CreatedAdmin(user_id=user.id, organization_id=organization_id, email=user.email)
