"""Saving what a link leads to."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from domains.conversational_ai.model.knowledge_source import KeptContent
from domains.conversational_ai.ports.download_links import DownloadLinks
from domains.conversational_ai.ports.knowledge_reading import KnowledgeReading
from domains.conversational_ai.ports.object_store import ObjectStore, SourceObjects, pieces
from shared_kernel.clock import Clock
from shared_kernel.errors import NotFound
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True)
class OpenedDownload:
    """What it is saved as, its size in bytes, and its content piece by piece."""

    name: str
    size_bytes: int
    content: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class GetDownloadHandler:
    """Opens links."""

    links: DownloadLinks
    reading: KnowledgeReading
    objects: ObjectStore
    clock: Clock

    async def __call__(self, token: str) -> OpenedDownload:
        """Return what the link leads to: a file as it was when the link was made, a text as it is now.

        Raises `LinkExpired`, and `NotFound` for a token that is not ours, or a source or file that is not there any more.
        """
        download = self.links.read(token, at=self.clock.now())
        system = Principal.system(download.organization_id)
        content = await self.reading.content(system, download.knowledge_base_id, download.source_id)
        if download.upload_id is None:
            if isinstance(content, KeptContent):
                raise NotFound
            text = content.text.encode()
            return OpenedDownload(download.name, len(text), pieces(text))
        key = SourceObjects(download.organization_id, download.knowledge_base_id, download.source_id).original(download.upload_id)
        size = await self.objects.size(key)
        if size is None:
            raise NotFound
        return OpenedDownload(download.name, size, await self.objects.get(key))
