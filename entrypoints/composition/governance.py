"""The audit trail."""

from dishka import Provider, Scope, provide

from adapters.postgres.database import Database
from adapters.postgres.governance.appending import PostgresAuditTrail
from adapters.postgres.governance.readers import PostgresAuditedOrganizations, PostgresRecordedTrail
from adapters.postgres.governance.transactions import PostgresSealing
from contracts.governance.commands import AuditTrail
from domains.governance.ports.recorded_trail import AuditedOrganizations, RecordedTrail
from domains.governance.ports.sealing import SealingTransactions
from domains.governance.use_cases.export_audit_trail import ExportAuditTrailHandler
from domains.governance.use_cases.list_audit_events import ListAuditEventsHandler
from domains.governance.use_cases.seal_audit_trail import SealAuditTrailHandler
from domains.governance.use_cases.verify_audit_trail import VerifyAuditTrailHandler
from entrypoints.composition.foundation import PlatformDatabase


class GovernanceProvider(Provider):
    """Appending, sealing, reading and verifying."""

    scope = Scope.APP
    export_audit_trail = provide(ExportAuditTrailHandler)
    list_audit_events = provide(ListAuditEventsHandler)
    seal_audit_trail = provide(SealAuditTrailHandler)
    verify_audit_trail = provide(VerifyAuditTrailHandler)

    @provide
    def audit_trail(self) -> AuditTrail:
        """What every unit of work appends to."""
        return PostgresAuditTrail()

    @provide
    def recorded_trail(self, database: Database) -> RecordedTrail:
        """What was recorded, one organisation at a time."""
        return PostgresRecordedTrail(database)

    @provide
    def audited_organizations(self, platform: PlatformDatabase) -> AuditedOrganizations:
        """Who has a trail, for the operator."""
        return PostgresAuditedOrganizations(platform)

    @provide
    def sealing(self, platform: PlatformDatabase) -> SealingTransactions:
        """The sealer's transactions."""
        return PostgresSealing(platform)
