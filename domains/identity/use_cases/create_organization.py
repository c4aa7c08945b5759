"""A further organisation."""

from dataclasses import dataclass, replace

from contracts.identity.permissions import Role
from domains.identity.model.names import Locale
from domains.identity.ports.directory import Place
from domains.identity.ports.transactions import IdentityTransactions
from domains.identity.use_cases.founding import Founding
from shared_kernel.clock import Clock
from shared_kernel.errors import PermissionDenied
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Principal, PrincipalKind


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateOrganization:
    """Found an organisation of one's own."""

    name: str
    locale: Locale
    requested_by: Principal


@dataclass(frozen=True, slots=True)
class CreateOrganizationHandler:
    """Founds an organisation."""

    transactions: IdentityTransactions
    founding: Founding
    clock: Clock

    async def __call__(self, command: CreateOrganization) -> Place:
        """Found an organisation that the caller owns, on the beginners' plan. The caller goes on acting for the one they act for.

        Raises `InvalidInput` for a bad name, `PermissionDenied` for anybody but a person.
        """
        caller = command.requested_by
        if caller.kind is not PrincipalKind.USER or caller.id is None:
            raise PermissionDenied("Only a person may found an organisation")
        now = self.clock.now()
        organization_id = new_id()
        async with self.transactions(replace(caller, organization_id=organization_id)) as tx:
            organization = await self.founding.found(
                tx, organization_id=organization_id, name=command.name, locale=command.locale, founder_id=caller.id, at=now
            )
        return Place(
            organization_id=organization_id,
            name=organization.name,
            slug=organization.slug,
            locale=organization.locale,
            status=organization.status,
            role=Role.OWNER,
            created_at=now,
        )
