"""Agents and knowledge."""

from datetime import timedelta

from dishka import AnyOf, Provider, Scope, provide

from adapters.clamav.clamd_file_scanning import ClamdFileScanning
from adapters.crypto.hmac_download_links import HmacDownloadLinks
from adapters.documents.limits import ParsingLimits
from adapters.documents.subprocess_parsing import SubprocessDocumentParsing
from adapters.postgres.conversational_ai.readers import (
    PostgresAgentReading,
    PostgresKnowledgeReading,
    PostgresNamedUploads,
    PostgresOutdatedSources,
)
from adapters.postgres.conversational_ai.transactions import PostgresAgentsAndKnowledgeTransactions
from adapters.postgres.database import Database
from adapters.postgres.unit_of_work import UnitsOfWork
from adapters.web_pages.address_guard import AddressGuard, SystemNames
from adapters.web_pages.aiohttp_web_pages import PRODUCT, AiohttpWebPages, WebPageLimits
from adapters.web_pages.public_addresses import is_public, is_public_or_private
from domains.conversational_ai.ports.agent_reading import AgentReading
from domains.conversational_ai.ports.agents_and_knowledge import AgentsAndKnowledgeTransactions
from domains.conversational_ai.ports.document_parsing import DocumentParsing
from domains.conversational_ai.ports.download_links import DownloadLinks
from domains.conversational_ai.ports.file_scanning import FileScanners
from domains.conversational_ai.ports.knowledge_reading import KnowledgeReading, PassageReading
from domains.conversational_ai.ports.named_uploads import NamedUploads
from domains.conversational_ai.ports.outdated_sources import OutdatedSources
from domains.conversational_ai.ports.retrieval import Retrieval
from domains.conversational_ai.ports.web_pages import WebPages
from domains.conversational_ai.use_cases.add_file_source import AddFileSourceHandler
from domains.conversational_ai.use_cases.add_knowledge_source import AddKnowledgeSourceHandler
from domains.conversational_ai.use_cases.archive_agent import ArchiveAgentHandler
from domains.conversational_ai.use_cases.attach_knowledge import AttachKnowledgeHandler
from domains.conversational_ai.use_cases.create_agent import CreateAgentHandler
from domains.conversational_ai.use_cases.create_demo_agent import CreateDemoAgentHandler
from domains.conversational_ai.use_cases.create_knowledge_base import CreateKnowledgeBaseHandler
from domains.conversational_ai.use_cases.delete_knowledge_base import DeleteKnowledgeBaseHandler
from domains.conversational_ai.use_cases.delete_knowledge_source import DeleteKnowledgeSourceHandler
from domains.conversational_ai.use_cases.edit_agent import EditAgentHandler
from domains.conversational_ai.use_cases.edit_knowledge_base import EditKnowledgeBaseHandler
from domains.conversational_ai.use_cases.get_download import GetDownloadHandler
from domains.conversational_ai.use_cases.get_source_content import GetSourceContentHandler
from domains.conversational_ai.use_cases.make_content_link import LinkLifetime, MakeContentLinkHandler
from domains.conversational_ai.use_cases.on_knowledge_deleted import ForgetKnowledgeBase, ForgetOldContent, ForgetSource
from domains.conversational_ai.use_cases.on_knowledge_source_added import IndexSource
from domains.conversational_ai.use_cases.passage_vectors import PassageVectors
from domains.conversational_ai.use_cases.publish_agent import PublishAgentHandler
from domains.conversational_ai.use_cases.rename_knowledge_source import RenameKnowledgeSourceHandler
from domains.conversational_ai.use_cases.renew_outdated_sources import RenewOutdatedSourcesHandler
from domains.conversational_ai.use_cases.replace_source_content import ReplaceSourceContentHandler
from domains.conversational_ai.use_cases.retrieve_passages import RetrievePassages
from domains.conversational_ai.use_cases.roll_back_agent import RollBackAgentHandler
from domains.conversational_ai.use_cases.search_knowledge import SearchKnowledgeHandler
from domains.conversational_ai.use_cases.source_documents import SourceDocuments
from domains.conversational_ai.use_cases.store_upload import UploadStorage
from domains.conversational_ai.use_cases.sweep_orphan_objects import SweepOrphanObjectsHandler
from entrypoints.composition.foundation import PlatformDatabase
from entrypoints.http.app import API_BASE
from entrypoints.http.conversational_ai.knowledge import DOWNLOADS
from entrypoints.settings import Settings


class KnowledgeProvider(Provider):
    """Agents, templates, knowledge, retrieval."""

    scope = Scope.APP
    create_agent = provide(CreateAgentHandler)
    edit_agent = provide(EditAgentHandler)
    publish_agent = provide(PublishAgentHandler)
    roll_back_agent = provide(RollBackAgentHandler)
    attach_knowledge = provide(AttachKnowledgeHandler)
    archive_agent = provide(ArchiveAgentHandler)
    create_knowledge_base = provide(CreateKnowledgeBaseHandler)
    edit_knowledge_base = provide(EditKnowledgeBaseHandler)
    delete_knowledge_base = provide(DeleteKnowledgeBaseHandler)
    add_source = provide(AddKnowledgeSourceHandler)
    delete_source = provide(DeleteKnowledgeSourceHandler)
    search_knowledge = provide(SearchKnowledgeHandler)
    create_demo_agent = provide(CreateDemoAgentHandler)
    index_source = provide(IndexSource)
    documents = provide(SourceDocuments)
    forget_source = provide(ForgetSource)
    forget_base = provide(ForgetKnowledgeBase)
    passage_vectors = provide(PassageVectors)
    renew_outdated = provide(RenewOutdatedSourcesHandler)
    forget_old_content = provide(ForgetOldContent)
    add_file = provide(AddFileSourceHandler)
    upload_storage = provide(UploadStorage)
    sweep_orphans = provide(SweepOrphanObjectsHandler)
    rename_source = provide(RenameKnowledgeSourceHandler)
    replace_content = provide(ReplaceSourceContentHandler)
    read_content = provide(GetSourceContentHandler)
    make_link = provide(MakeContentLinkHandler)
    download = provide(GetDownloadHandler)
    retrieval = provide(RetrievePassages, provides=Retrieval)

    @provide
    def parsing(self) -> DocumentParsing:
        """What reads files."""
        return SubprocessDocumentParsing(ParsingLimits())

    @provide
    def links(self, settings: Settings) -> DownloadLinks:
        """Links to ourselves."""
        return HmacDownloadLinks([key.encode() for key in settings.secret_key], settings.public_url + API_BASE + DOWNLOADS)

    @provide
    def link_lifetime(self, settings: Settings) -> LinkLifetime:
        """How long they work."""
        return LinkLifetime(timedelta(seconds=settings.download_link_seconds))

    @provide
    def web_pages(self, settings: Settings) -> WebPages:
        """What fetches pages of the web."""
        permits = is_public_or_private if settings.web_pages_allow_private else is_public
        guard = AddressGuard(SystemNames(), frozenset(settings.web_pages_ports), permits)
        return AiohttpWebPages(guard, agent=f"{PRODUCT} (+{settings.public_url})", limits=WebPageLimits())

    @provide
    def scanners(self, settings: Settings) -> FileScanners:
        """What looks for malicious software, where a scanner is configured."""
        return FileScanners(() if settings.clamd_url is None else (ClamdFileScanning(settings.clamd_url),))

    @provide
    def transactions(self, units: UnitsOfWork) -> AgentsAndKnowledgeTransactions:
        """Units of work that see agents and knowledge."""
        return PostgresAgentsAndKnowledgeTransactions(units)

    @provide
    def named_uploads(self, database: Database) -> NamedUploads:
        """Which files sources name."""
        return PostgresNamedUploads(database)

    @provide
    def outdated(self, platform: PlatformDatabase) -> OutdatedSources:
        """Sources to be indexed anew."""
        return PostgresOutdatedSources(platform)

    @provide
    def agent_reading(self, database: Database) -> AgentReading:
        """Readers of agents."""
        return PostgresAgentReading(database)

    @provide(provides=AnyOf[KnowledgeReading, PassageReading])
    def knowledge_reading(self, database: Database) -> PostgresKnowledgeReading:
        """Readers of knowledge."""
        return PostgresKnowledgeReading(database)
