"""Links that let whoever has them save what a source is made of, for a while."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from shared_kernel.errors import LuneoError


class LinkExpired(LuneoError):
    """The link was genuine and its time is over."""

    code = "link_expired"
    title = "This link has expired. Ask for a new one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """What a link leads to: a file of a source (`upload_id`), or a source's text; what it is saved as, and until when."""

    organization_id: UUID
    knowledge_base_id: UUID
    source_id: UUID
    upload_id: UUID | None
    name: str
    expires_at: datetime


class DownloadLinks(Protocol):
    """Makes links to ourselves, and knows its own again. It keeps nothing: a link says all, and nobody else can make one."""

    def link(self, download: Download) -> str:
        """Return an address, of which the last part is the link's token."""
        ...

    def read(self, token: str, *, at: datetime) -> Download:
        """Return what a token leads to. Raises `NotFound` for one that is not ours, or changed, and `LinkExpired`."""
        ...
