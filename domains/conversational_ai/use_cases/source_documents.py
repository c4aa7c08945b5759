"""Bringing a file or a web page to the text that stands in it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from contracts.billing.commands import Quotas
from domains.conversational_ai.model.document import DocumentText
from domains.conversational_ai.model.file_format import FileFormat
from domains.conversational_ai.model.knowledge_source import KeptContent, SourceStep, WebPageContent
from domains.conversational_ai.model.unreadable_file import EmptyFile, InfectedFile
from domains.conversational_ai.model.unreadable_page import EmptyPage
from domains.conversational_ai.ports.agents_and_knowledge import AgentsAndKnowledgeTransactions
from domains.conversational_ai.ports.document_parsing import DocumentParsing
from domains.conversational_ai.ports.file_scanning import FileScanners
from domains.conversational_ai.ports.object_store import ObjectKey, ObjectStore, SourceObjects, pieces
from domains.conversational_ai.ports.web_pages import WebPages
from domains.conversational_ai.use_cases.current_content import Content, current
from domains.conversational_ai.use_cases.source_storage import give_back_storage, take_storage
from domains.conversational_ai.use_cases.store_upload import UploadStorage
from shared_kernel.clock import Clock
from shared_kernel.errors import NotFound, Unavailable
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True)
class SourceDocuments:
    """Fetches, scans and reads; says at which step it is."""

    transactions: AgentsAndKnowledgeTransactions
    quotas: Quotas
    storage: UploadStorage
    objects: ObjectStore
    pages: WebPages
    scanners: FileScanners
    parsing: DocumentParsing
    clock: Clock

    async def read(self, event: Content, content: KeptContent, system: Principal) -> DocumentText:
        """Return the document, and keep it beside the file that it was read from.

        - A page is fetched once for each version of the content, however often its reading is tried, and counted as storage then.
        - Nothing looks into a file before every scanner found it clean; one in which they found something is removed.

        Raises an `Unreadable` that says why there is none, `QuotaExceeded` for a page, `NotFound` and `Overtaken` for content that is not
        wanted any more, `Unavailable`.
        """
        kept = SourceObjects(system.tenant, event.knowledge_base_id, event.source_id)
        if isinstance(content, WebPageContent) and content.format is None:
            content = await self._fetch(event, content, kept, system)
        original = kept.original(content.upload_id)
        await self._reach(SourceStep.PARSING, event, system)
        await self._scan(event, original, kept.upload(content.upload_id), system)
        document = await self._parse(original, content)
        await self.objects.put(kept.text(content.upload_id), pieces(document.encoded()))
        if isinstance(content, WebPageContent) and document.title is not None:
            async with self.transactions(system) as tx:
                (await current(tx, event)).titled(document.title, content, at=self.clock.now())
        await self._reach(SourceStep.CUTTING, event, system)
        return document

    async def _fetch(self, event: Content, content: WebPageContent, kept: SourceObjects, system: Principal) -> WebPageContent:
        await self._reach(SourceStep.FETCHING, event, system)
        page = await self.pages.fetch(content.address, most_bytes=await self.storage.most_bytes(system.tenant))
        fetched = replace(content, format=page.format, size_bytes=len(page.content))
        await self.objects.put(kept.original(content.upload_id), pieces(page.content), saved_as=fetched.file_name)
        try:
            async with self.transactions(system) as tx:
                source, at = await current(tx, event), self.clock.now()
                source.fetched(fetched, at=at)
                await tx.sources.fetched(source, fetched)
                await take_storage(self.quotas, tx.unit, source, at=at)
        except BaseException:
            await self.storage.forget(kept, content.upload_id)
            raise
        return fetched

    async def _scan(self, event: Content, original: ObjectKey, everything: ObjectKey, system: Principal) -> None:
        try:
            for scanner in self.scanners:
                await scanner.scan(await self._open(original))
        except InfectedFile:
            async with self.transactions(system) as tx:
                source, at = await current(tx, event), self.clock.now()
                await give_back_storage(self.quotas, tx.unit, source, at=at)
                source.emptied(at=at)
            await self.objects.delete_below(everything)
            raise

    async def _parse(self, original: ObjectKey, content: KeptContent) -> DocumentText:
        try:
            return await self.parsing.parse(await self._open(original), content.format or FileFormat.WEB_PAGE)
        except EmptyFile:
            if isinstance(content, WebPageContent):
                raise EmptyPage from None
            raise

    async def _open(self, original: ObjectKey) -> AsyncIterator[bytes]:
        try:
            return await self.objects.get(original)
        except NotFound:
            raise Unavailable("The file is not in the object store") from None

    async def _reach(self, step: SourceStep, event: Content, system: Principal) -> None:
        async with self.transactions(system) as tx:
            (await current(tx, event)).reaches(step, at=self.clock.now())
