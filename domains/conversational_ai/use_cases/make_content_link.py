"""Giving out a link to what a source is made of."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NewType
from uuid import UUID

from domains.conversational_ai.model.attachment_name import attachment_name
from domains.conversational_ai.model.knowledge_source import FileContent, KeptContent, SourceContent, TextContent, WebPageContent
from domains.conversational_ai.ports.agents_and_knowledge import AgentsAndKnowledgeTransactions
from domains.conversational_ai.ports.download_links import Download, DownloadLinks
from domains.conversational_ai.ports.knowledge_reading import KnowledgeReading
from domains.conversational_ai.ports.object_store import ObjectKey, ObjectStore, SourceObjects
from domains.conversational_ai.use_cases.get_source_content import NotReadYet
from shared_kernel.clock import Clock
from shared_kernel.principal import Principal

LinkLifetime = NewType("LinkLifetime", timedelta)
"""How long a link works."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeContentLink:
    """Make a link to a source's file, page or text."""

    knowledge_base_id: UUID
    source_id: UUID
    requested_by: Principal


@dataclass(frozen=True, slots=True)
class ContentLink:
    """An address that needs no credential, and when it ends (UTC)."""

    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class MakeContentLinkHandler:
    """Makes links."""

    transactions: AgentsAndKnowledgeTransactions
    reading: KnowledgeReading
    objects: ObjectStore
    links: DownloadLinks
    lifetime: LinkLifetime
    clock: Clock

    async def __call__(self, command: MakeContentLink) -> ContentLink:
        """Return a link to what is found now, else to what is to be; the audit trail remembers who asked.

        Whoever has the link may save it until the link ends or the source is deleted, whatever they may do otherwise.
        Raises `NotFound`, and `NotReadYet` for a page that was not fetched or a file that was removed.
        """
        principal = command.requested_by
        content = await self.reading.content(principal, command.knowledge_base_id, command.source_id)
        key = self._kept(command, content)
        if key is not None and await self.objects.size(key) is None:
            raise NotReadYet
        expires_at = (self.clock.now() + self.lifetime).replace(microsecond=0)
        async with self.transactions(principal) as tx:
            source = await tx.sources.get(command.knowledge_base_id, command.source_id)
            source.linked(expires_at=expires_at)
        # the store's own link, where it has one: the file need not pass through us
        url = None if key is None else await self.objects.link(key, self.lifetime)
        download = Download(
            organization_id=principal.tenant,
            knowledge_base_id=command.knowledge_base_id,
            source_id=command.source_id,
            upload_id=content.upload_id if isinstance(content, KeptContent) else None,
            name=_saved_as(content, source.name),
            expires_at=expires_at,
        )
        return ContentLink(url or self.links.link(download), expires_at)

    @staticmethod
    def _kept(command: MakeContentLink, content: SourceContent) -> ObjectKey | None:
        if not isinstance(content, KeptContent):
            return None
        kept = SourceObjects(command.requested_by.tenant, command.knowledge_base_id, command.source_id)
        return kept.original(content.upload_id)


def _saved_as(content: SourceContent, source_name: str) -> str:
    if isinstance(content, FileContent):
        return attachment_name(content.name)
    if isinstance(content, WebPageContent):
        return attachment_name(content.file_name)
    return attachment_name(f"{source_name}.{'md' if isinstance(content, TextContent) else 'txt'}")
