"""Identity over its fakes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from contracts.identity.events import SignUpRequested
from domains.identity.model.organization import Organization, OrganizationStatus
from shared_kernel.events import Delivery
from shared_kernel.identifiers import new_id
from tests.fakes.identity import (
    InMemoryBilling,
    InMemoryDirectory,
    InMemoryIdentityReading,
    InMemoryIdentityStore,
    InMemoryIdentityTransactions,
    InMemoryStanding,
)
from tests.port_contracts.identity_contract import IdentityContract, IdentityHouse, MovableClock


class TestIdentityInMemory(IdentityContract):
    """The fakes."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[IdentityHouse]:
        store, billing = InMemoryIdentityStore(), InMemoryBilling()
        delivered: dict[UUID, Delivery] = {}

        async def sign_up_deliveries() -> list[Delivery]:
            for _, event in store.events:
                if isinstance(event, SignUpRequested):
                    delivered.setdefault(
                        event.sign_up_id,
                        Delivery(
                            id=new_id(),
                            event_id=event.sign_up_id,
                            organization_id=None,
                            consumer="identity.send_sign_up_mail",
                            attempt=1,
                        ),
                    )
            return list(delivered.values())

        async def suspend(organization_id: UUID) -> None:
            organization: Any = store.rows[Organization][organization_id]
            organization.status = OrganizationStatus.SUSPENDED

        async def seats_taken(organization_id: UUID) -> int:
            return len(billing.seats[organization_id])

        async def audited(organization_id: UUID) -> list[str]:
            return [note.action for tenant, note in store.notes if tenant == organization_id]

        accounts: Any = billing
        yield IdentityHouse(
            transactions=InMemoryIdentityTransactions(store),
            directory=InMemoryDirectory(store),
            standing=InMemoryStanding(store),
            reading=InMemoryIdentityReading(store),
            quotas=accounts,
            accounts=accounts,
            entitlements=billing,
            clock=MovableClock(),
            sign_up_deliveries=sign_up_deliveries,
            suspend=suspend,
            seats_taken=seats_taken,
            audited=audited,
        )
