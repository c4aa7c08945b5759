"""What a command of billing changes, in one transaction."""

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol
from uuid import UUID

from domains.billing.model.catalogue import Allowances
from domains.billing.model.period import BillingPeriod
from domains.billing.model.subscription import Subscription
from shared_kernel.events import Delivery
from shared_kernel.principal import Principal
from shared_kernel.unit_of_work import UnitOfWork


class Subscriptions(Protocol):
    """Every organisation's one subscription."""

    def add(self, subscription: Subscription) -> None:
        """Keep a new subscription."""
        ...

    async def of(self, organization_id: UUID) -> Subscription:
        """Return the organisation's subscription, locked until the transaction ends. Raises `NotFound`."""
        ...


class QuotaCounters(Protocol):
    """What was taken, by metric and period."""

    async def open(self, organization_id: UUID, allowances: Allowances, period: BillingPeriod) -> None:
        """Open the counters of `period` and of the capacities that do not exist yet."""
        ...

    async def apply(self, organization_id: UUID, allowances: Allowances, at: datetime) -> None:
        """Give every counter that is not over at `at` its new limit and ceiling. What was taken stays taken."""
        ...


class BillingTransaction(Protocol):
    """An open transaction of billing."""

    @property
    def unit(self) -> UnitOfWork:
        """What other contexts' commands may join."""
        ...

    @property
    def subscriptions(self) -> Subscriptions:
        """The subscription."""
        ...

    @property
    def counters(self) -> QuotaCounters:
        """Its counters."""
        ...


class BillingTransactions(Protocol):
    """Opens transactions of billing."""

    def __call__(self, principal: Principal, *, completes: Delivery | None = None) -> AbstractAsyncContextManager[BillingTransaction]:
        """Return the transaction of `principal`'s organisation, to be entered with `async with`."""
        ...

    def joining(self, unit: UnitOfWork) -> BillingTransaction:
        """Return billing's view of a transaction that another context opened. Raises `TypeError` when aggregates cannot be saved in it."""
        ...
