"""Settings of the organisation itself."""

from dataclasses import dataclass

from domains.identity.model.names import Locale
from domains.identity.ports.transactions import IdentityTransactions
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateOrganization:
    """Change what is given of the organisation acted for. With `expected_version` only if nobody saved since that version was read."""

    requested_by: Principal
    name: str | None = None
    locale: Locale | None = None
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class UpdateOrganizationHandler:
    """Changes an organisation."""

    transactions: IdentityTransactions

    async def __call__(self, command: UpdateOrganization) -> None:
        """Change name or language. Raises `InvalidInput`, `Conflict` for another version."""
        async with self.transactions(command.requested_by) as tx:
            organization = await tx.organizations.get(command.requested_by.tenant)
            organization.must_be_at(command.expected_version)
            organization.update(name=command.name, locale=command.locale)
