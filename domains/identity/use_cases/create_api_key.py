"""A new API key."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from contracts.billing.errors import FeatureNotInPlan
from contracts.billing.queries import Entitlements
from domains.identity.model.api_key import ApiKey
from domains.identity.ports.tokens import ApiKeyMaterial
from domains.identity.ports.transactions import IdentityTransactions
from shared_kernel.clock import Clock
from shared_kernel.errors import PermissionDenied
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Principal, PrincipalKind

API_ACCESS = "api_access"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateApiKey:
    """Make a key that programs call with. Without `scopes` it gets those that a client of agents needs."""

    name: str
    requested_by: Principal
    scopes: Sequence[str] | None = None
    expires_at: datetime | None = None
    sandbox: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedApiKey:
    """The key, with its `plaintext` for this one time."""

    id: UUID
    plaintext: str = field(repr=False)
    name: str
    prefix_shown: str
    scopes: tuple[str, ...]
    sandbox: bool
    created_by: UUID
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class CreateApiKeyHandler:
    """Makes a key."""

    transactions: IdentityTransactions
    material: ApiKeyMaterial
    entitlements: Entitlements
    clock: Clock

    async def __call__(self, command: CreateApiKey) -> CreatedApiKey:
        """Make a key of the caller's organisation.

        Its calls may do what its scopes and its maker's role at that moment both allow. Raises `FeatureNotInPlan` when the plan has no
        API access, `InvalidInput`,
        `PermissionDenied` for anybody but a person.
        """
        caller = command.requested_by
        if caller.kind is not PrincipalKind.USER or caller.id is None:
            raise PermissionDenied("Only a person may make an API key")
        entitlement = await self.entitlements.of(caller.tenant)
        if API_ACCESS not in entitlement.features:
            raise FeatureNotInPlan(f"The plan {entitlement.plan} has no API access", feature=API_ACCESS)
        new = self.material.new_api_key(caller.tenant, sandbox=command.sandbox)
        key = ApiKey.create(
            key_id=new_id(),
            organization_id=caller.tenant,
            name=command.name,
            prefix_shown=new.prefix_shown,
            digest=new.digest,
            scopes=command.scopes,
            sandbox=command.sandbox,
            created_by=caller.id,
            expires_at=command.expires_at,
            at=self.clock.now(),
        )
        async with self.transactions(caller) as tx:
            tx.api_keys.add(key)
        return CreatedApiKey(
            id=key.id,
            plaintext=new.plaintext,
            name=key.name,
            prefix_shown=key.prefix_shown,
            scopes=tuple(key.scopes),
            sandbox=key.sandbox,
            created_by=key.created_by,
            created_at=key.created_at,
            expires_at=key.expires_at,
        )
