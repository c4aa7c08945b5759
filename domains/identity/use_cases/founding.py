"""How an organisation comes to be: the same four steps for everybody."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from contracts.billing.commands import BillingAccounts, Quotas
from contracts.billing.metrics import Metric
from contracts.identity.permissions import Role
from domains.identity.model.membership import Membership
from domains.identity.model.names import Locale
from domains.identity.model.organization import Organization
from domains.identity.ports.transactions import IdentityTransaction

BEGINNERS_PLAN = "free"


@dataclass(frozen=True, slots=True)
class Founding:
    """The organisation, its billing account, its owner and the seat that the owner takes, in the caller's transaction."""

    accounts: BillingAccounts
    quotas: Quotas

    async def found(
        self,
        tx: IdentityTransaction,
        *,
        organization_id: UUID,
        name: str,
        locale: Locale,
        founder_id: UUID,
        at: datetime,
        plan: str = BEGINNERS_PLAN,
        slug: str | None = None,
    ) -> Organization:
        """Found an organisation; `tx` must act for `organization_id`. Raises `InvalidInput` for a bad name."""
        organization = Organization.found(
            organization_id=organization_id, name=name, locale=locale, founder_id=founder_id, plan=plan, at=at, slug=slug
        )
        await tx.organizations.add(organization)
        await self.accounts.open(tx.unit, organization_id=organization_id, plan=plan, at=at)
        owner = Membership.join(organization_id=organization_id, user_id=founder_id, role=Role.OWNER, at=at)
        tx.memberships.add(owner)
        await self.quotas.take(tx.unit, metric=Metric.TEAM_MEMBERS, quantity=1, cause="member", cause_id=owner.id, at=at)
        return organization
