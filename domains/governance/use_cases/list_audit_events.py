"""Show who did what."""

from dataclasses import dataclass, field
from uuid import UUID

from domains.governance.model.audit_entry import AuditEntry
from domains.governance.ports.recorded_trail import EntryFilter, RecordedTrail
from domains.governance.use_cases.export_audit_trail import shown_to
from shared_kernel.errors import FieldError, InvalidInput
from shared_kernel.pagination import Page, PageRequest
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class ListAuditEvents:
    """List the entries of the caller's organisation, newest first; each condition given must hold."""

    requested_by: Principal
    page: PageRequest = field(default_factory=PageRequest)
    action: str | None = None
    target: str | None = None
    target_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class ListAuditEventsHandler:
    """Reads one page."""

    trail: RecordedTrail

    async def __call__(self, query: ListAuditEvents) -> Page[AuditEntry]:
        """Return one page.

        Personal values are in it only for callers who may manage settings. Raises `InvalidInput` for a foreign cursor, and for a condition
        that no text can meet.
        """
        for name, text in (("action", query.action), ("target", query.target)):
            if text is not None and "\x00" in text:
                raise InvalidInput(FieldError(name, "invalid", "must not hold the character NUL"))
        which = EntryFilter(action=query.action, target=query.target, target_id=query.target_id)
        page = await self.trail.newest(query.requested_by, which, query.page)
        return Page(tuple(shown_to(query.requested_by, entry) for entry in page.items), page.next_cursor)
