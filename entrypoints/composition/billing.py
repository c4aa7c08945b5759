"""Plans, quotas and usage."""

from dishka import Provider, Scope, provide

from adapters.postgres.billing.quota_ledger import PostgresQuotaLedger
from adapters.postgres.billing.readers import PostgresBillingReader, PostgresExpiredReservations
from adapters.postgres.billing.transactions import PostgresBillingTransactions
from adapters.postgres.billing.usage_events import PostgresUsageEvents
from adapters.postgres.database import Database
from adapters.postgres.unit_of_work import UnitsOfWork
from contracts.billing.commands import BillingAccounts, Quotas
from contracts.billing.queries import Entitlements
from domains.billing.ports.billing_reader import BillingReader
from domains.billing.ports.expired_reservations import ExpiredReservations
from domains.billing.ports.quota_ledger import QuotaLedger
from domains.billing.ports.transactions import BillingTransactions
from domains.billing.ports.usage_events import UsageEvents
from domains.billing.use_cases.apply_plan import ApplyPlanHandler
from domains.billing.use_cases.expire_reservations import ExpireReservationsHandler
from domains.billing.use_cases.facade import BillingAccountsFacade, EntitlementsFacade, QuotasFacade
from domains.billing.use_cases.get_subscription import GetSubscriptionHandler
from domains.billing.use_cases.get_usage import GetUsageHandler
from domains.billing.use_cases.ingest_usage import IngestUsageHandler
from domains.billing.use_cases.list_quotas import ListQuotasHandler
from domains.billing.use_cases.list_usage_events import ListUsageEventsHandler
from domains.billing.use_cases.open_periods import OpenPeriodsHandler
from entrypoints.composition.foundation import PlatformDatabase
from shared_kernel.clock import Clock


class BillingProvider(Provider):
    """Everything of billing, and what the other contexts may ask of it."""

    scope = Scope.APP
    quotas = provide(QuotasFacade, provides=Quotas)
    accounts = provide(BillingAccountsFacade, provides=BillingAccounts)
    entitlements = provide(EntitlementsFacade, provides=Entitlements)
    apply_plan = provide(ApplyPlanHandler)
    open_periods = provide(OpenPeriodsHandler)
    expire_reservations = provide(ExpireReservationsHandler)
    ingest_usage = provide(IngestUsageHandler)
    get_subscription = provide(GetSubscriptionHandler)
    list_quotas = provide(ListQuotasHandler)
    get_usage = provide(GetUsageHandler)
    list_usage_events = provide(ListUsageEventsHandler)
    ledger = provide(PostgresQuotaLedger, provides=QuotaLedger)

    @provide
    def transactions(self, units: UnitsOfWork) -> BillingTransactions:
        """Units of work that see subscriptions and counters."""
        return PostgresBillingTransactions(units)

    @provide
    def reader(self, database: Database) -> BillingReader:
        """Readers."""
        return PostgresBillingReader(database)

    @provide
    def usage_events(self, database: Database, clock: Clock) -> UsageEvents:
        """The book of usage."""
        return PostgresUsageEvents(database, clock)

    @provide
    def expired(self, platform: PlatformDatabase) -> ExpiredReservations:
        """Reservations whose time is up, of all organisations."""
        return PostgresExpiredReservations(platform)
