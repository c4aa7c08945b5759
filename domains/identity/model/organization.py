"""A tenant."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from contracts.identity.events import OrganizationCreated, OrganizationUpdated
from domains.identity.model.names import Locale, named
from shared_kernel.aggregate import Aggregate, AuditNote
from shared_kernel.errors import PermissionDenied

_SLUG_LENGTH = 40
_SUFFIX_LENGTH = 8


class OrganizationSuspended(PermissionDenied):
    """The organisation may do nothing until it is reinstated."""

    code = "organization_suspended"
    title = "This organisation is suspended"


class OrganizationStatus(StrEnum):
    """Whether an organisation may act."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


@dataclass(eq=False, kw_only=True)
class Organization(Aggregate):
    """Who pays, owns and decides: everything but people and their sessions belongs to one."""

    AGGREGATE: ClassVar[str] = "organization"

    id: UUID
    name: str
    slug: str
    locale: Locale
    status: OrganizationStatus
    created_at: datetime
    version: int = 1

    @classmethod
    def found(
        cls, *, organization_id: UUID, name: str, locale: Locale, founder_id: UUID, plan: str, at: datetime, slug: str | None = None
    ) -> "Organization":
        """Return a new organisation. Raises `InvalidInput`.

        Its slug comes from its name and the end of its id, so that it is nobody else's.
        """
        name = named(name, field="name")
        organization = cls(
            id=organization_id,
            name=name,
            slug=slug or _slug(name, organization_id),
            locale=locale,
            status=OrganizationStatus.ACTIVE,
            created_at=at,
        )
        organization.record(OrganizationCreated(organization_id=organization_id, created_by=founder_id, plan=plan))
        organization.note(AuditNote(action="organization.created", after={"plan": plan}, personal={"name": name}))
        return organization

    def update(self, *, name: str | None, locale: Locale | None) -> None:
        """Change what is given; nothing happens when nothing changes. Raises `InvalidInput`."""
        name_before, locale_before = self.name, self.locale
        if name is not None:
            self.name = named(name, field="name")
        if locale is not None:
            self.locale = locale
        if (self.name, self.locale) == (name_before, locale_before):
            return
        self.record(OrganizationUpdated(organization_id=self.id))
        self.note(
            AuditNote(
                action="organization.updated",
                before={"locale": locale_before.value},
                after={"locale": self.locale.value},
                personal={"name_before": name_before, "name": self.name},  # a one-person organisation bears its person's name
            )
        )


def _slug(name: str, organization_id: UUID) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().casefold()
    words = re.sub(r"[^a-z0-9]+", "-", plain)[:_SLUG_LENGTH].strip("-")
    return f"{words or 'organization'}-{organization_id.hex[-_SUFFIX_LENGTH:]}"
