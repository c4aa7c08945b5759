"""The audit trail: list, export, verify."""

from uuid import UUID

from dishka import FromDishka
from dishka.integrations.litestar import inject
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery
from litestar.response import Stream
from litestar.types import ControllerRouterHandler

from contracts.http.governance import (
    AuditActorBody,
    AuditEventBody,
    AuditEventList,
    AuditFaultBody,
    AuditSealedBody,
    AuditVerificationBody,
)
from contracts.identity.permissions import Permission
from domains.governance.model.audit_entry import AuditEntry
from domains.governance.model.verification import TrailReport
from domains.governance.use_cases.export_audit_trail import ExportAuditTrail, ExportAuditTrailHandler
from domains.governance.use_cases.list_audit_events import ListAuditEvents, ListAuditEventsHandler
from domains.governance.use_cases.verify_audit_trail import VerifyAuditTrail, VerifyAuditTrailHandler
from entrypoints.http.paging import page_request
from entrypoints.http.routing import requires
from shared_kernel.principal import Principal

_TAGS = ["Audit trail"]
EXPORT_MEDIA_TYPE = "application/jsonl"


@get("/audit-events", opt=requires(Permission.SETTINGS_VIEW), tags=_TAGS)
@inject
async def list_audit_events(  # noqa: PLR0917 - Litestar passes every argument by name
    principal: NamedDependency[Principal],
    handler: FromDishka[ListAuditEventsHandler],
    cursor: FromQuery[str | None] = None,
    limit: FromQuery[int] = 20,
    action: FromQuery[str | None] = None,
    target: FromQuery[str | None] = None,
    target_id: FromQuery[UUID | None] = None,
) -> AuditEventList:
    """List who did what, newest first. Personal values are shown to those who may manage settings."""
    page = await handler(
        ListAuditEvents(requested_by=principal, page=page_request(cursor, limit), action=action, target=target, target_id=target_id)
    )
    return AuditEventList(items=[_event(entry) for entry in page.items], next_cursor=page.next_cursor)


@get("/audit-events/export", opt=requires(Permission.SETTINGS_VIEW), tags=_TAGS, media_type=EXPORT_MEDIA_TYPE)
@inject
async def export_audit_events(principal: NamedDependency[Principal], handler: FromDishka[ExportAuditTrailHandler]) -> Stream:
    """Stream the whole trail, entries and seals, as JSON lines that `luneo audit verify --file` verifies without a database."""
    return Stream(
        handler(ExportAuditTrail(requested_by=principal)),
        media_type=EXPORT_MEDIA_TYPE,
        headers={"content-disposition": 'attachment; filename="audit-trail.jsonl"', "cache-control": "no-store"},
    )


@get("/audit-events/verification", opt=requires(Permission.SETTINGS_VIEW), tags=_TAGS)
@inject
async def verify_audit_trail(
    principal: NamedDependency[Principal], handler: FromDishka[VerifyAuditTrailHandler], head: FromQuery[str | None] = None
) -> AuditVerificationBody:
    """Verify the whole trail again from its rows. `head` is a head that this gave earlier: the chain must still hold it.

    `fault.kind` is `entry_changed`, `entry_missing`, `entry_added`, `entry_unsealed`, `personal_value_changed`, `seal_changed`,
    `seal_missing`, `chain_broken` or `head_missing`; an exported file that is verified offline can also be `file_damaged`.
    """
    return _verification(await handler(VerifyAuditTrail(requested_by=principal, expected_head=head)))


def _event(entry: AuditEntry) -> AuditEventBody:
    return AuditEventBody(
        id=entry.id,
        recorded_at=entry.recorded_at,
        actor=AuditActorBody(kind=entry.actor_kind, id=entry.actor_id, role=entry.actor_role),
        action=entry.action,
        target=entry.target,
        target_id=entry.target_id,
        before=dict(entry.before),
        after=dict(entry.after),
        personal={name: kept.value for name, kept in entry.personal.items()},
        commitments=dict(entry.commitments),
        request_id=entry.request_id,
    )


def _verification(report: TrailReport) -> AuditVerificationBody:
    fault = report.fault
    return AuditVerificationBody(
        ok=report.ok,
        sealed_up_to=AuditSealedBody(sequence=report.sealed_sequence, count=report.sealed_count, sealed_at=report.sealed_at),
        unsealed_count=report.unsealed_count,
        head=report.head,
        fault=None
        if fault is None
        else AuditFaultBody(kind=fault.kind.value, sequence=fault.sequence, entry_id=fault.entry_id, detail=fault.detail),
    )


route_handlers: list[ControllerRouterHandler] = [list_audit_events, export_audit_events, verify_audit_trail]
