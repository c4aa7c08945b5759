"""What `luneo up` shows."""

from dataclasses import dataclass, field
from uuid import UUID

from contracts.identity.permissions import Permission
from domains.identity.model.api_key import ApiKey
from domains.identity.model.email import Email
from domains.identity.model.names import Locale
from domains.identity.model.user import User
from domains.identity.ports.password_hashing import PasswordHashing
from domains.identity.ports.tokens import NewApiKey
from domains.identity.ports.transactions import IdentityTransactions
from domains.identity.use_cases.founding import Founding
from shared_kernel.clock import Clock
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Principal

DEMO_SLUG = "demo"
DEMO_EMAIL = "demo@luneo.example"
DEMO_PLAN = "business"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateDemoOrganization:
    """Make the demo organisation; `Directory.organization_with_slug(DEMO_SLUG)` tells whether it exists.

    The caller chooses the id, the password and the key (of that organisation, from `ApiKeyMaterial.new_api_key`) and keeps them before:
    a crash in between loses neither.
    """

    organization_id: UUID
    password: str = field(repr=False)
    key: NewApiKey = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOrganization:
    """What was made."""

    organization_id: UUID
    user_id: UUID
    email: str


@dataclass(frozen=True, slots=True)
class CreateDemoOrganizationHandler:
    """Makes the demo organisation."""

    transactions: IdentityTransactions
    passwords: PasswordHashing
    founding: Founding
    clock: Clock

    async def __call__(self, command: CreateDemoOrganization) -> DemoOrganization:
        """Make a verified person who owns the organisation `demo` on the business plan, and an API key that may do what its owner may.

        Raises `Conflict` (`slug_taken` or `email_already_registered`) when it exists.
        """
        now = self.clock.now()
        organization_id, new = command.organization_id, command.key
        password_hash = await self.passwords.hash(command.password)
        async with self.transactions(Principal.system(organization_id, name="luneo up")) as tx:
            user = User.register(
                email=Email.of(DEMO_EMAIL),
                full_name="Demo",
                password_hash=password_hash,
                locale=Locale.ENGLISH,
                organization_id=organization_id,
                at=now,
            )
            await tx.users.add(user)
            await self.founding.found(
                tx,
                organization_id=organization_id,
                name="Luneo demo",
                locale=Locale.ENGLISH,
                founder_id=user.id,
                at=now,
                plan=DEMO_PLAN,
                slug=DEMO_SLUG,
            )
            tx.api_keys.add(
                ApiKey.create(
                    key_id=new_id(),
                    organization_id=organization_id,
                    name="Demo",
                    prefix_shown=new.prefix_shown,
                    digest=new.digest,
                    scopes=[permission.value for permission in Permission],
                    sandbox=False,
                    created_by=user.id,
                    expires_at=None,
                    at=now,
                )
            )
        return DemoOrganization(organization_id=organization_id, user_id=user.id, email=user.email)
