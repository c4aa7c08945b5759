"""Settings of the organisation itself."""

from dataclasses import dataclass

from domains.identity.model.names import Locale
from domains.identity.ports.transactions import IdentityTransactions
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateOrganization:
    """Change what is given of the organisation acted for."""

    requested_by: Principal
    name: str | None = None
    locale: Locale | None = None


@dataclass(frozen=True, slots=True)
class UpdateOrganizationHandler:
    """Changes an organisation."""

    transactions: IdentityTransactions

    async def __call__(self, command: UpdateOrganization) -> None:
        """Change name or language. Raises `InvalidInput`, `Conflict` when somebody else changed it at the same moment."""
        async with self.transactions(command.requested_by) as tx:
            organization = await tx.organizations.get(command.requested_by.tenant)
            organization.update(name=command.name, locale=command.locale)
