"""Agents and knowledge."""

from dishka import AnyOf, Provider, Scope, provide

from adapters.documents.limits import ParsingLimits
from adapters.documents.subprocess_parsing import SubprocessDocumentParsing
from adapters.postgres.conversational_ai.readers import PostgresAgentReading, PostgresKnowledgeReading, PostgresOutdatedSources
from adapters.postgres.conversational_ai.transactions import PostgresAgentsAndKnowledgeTransactions
from adapters.postgres.database import Database
from adapters.postgres.unit_of_work import UnitsOfWork
from domains.conversational_ai.ports.agent_reading import AgentReading
from domains.conversational_ai.ports.agents_and_knowledge import AgentsAndKnowledgeTransactions
from domains.conversational_ai.ports.document_parsing import DocumentParsing
from domains.conversational_ai.ports.knowledge_reading import KnowledgeReading, PassageReading
from domains.conversational_ai.ports.outdated_sources import OutdatedSources
from domains.conversational_ai.ports.retrieval import Retrieval
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
from domains.conversational_ai.use_cases.get_source_content import GetSourceContentHandler
from domains.conversational_ai.use_cases.get_source_file import GetSourceFileHandler
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
from domains.conversational_ai.use_cases.store_upload import UploadStorage
from entrypoints.composition.foundation import PlatformDatabase


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
    forget_source = provide(ForgetSource)
    forget_base = provide(ForgetKnowledgeBase)
    passage_vectors = provide(PassageVectors)
    renew_outdated = provide(RenewOutdatedSourcesHandler)
    forget_old_content = provide(ForgetOldContent)
    add_file = provide(AddFileSourceHandler)
    upload_storage = provide(UploadStorage)
    rename_source = provide(RenameKnowledgeSourceHandler)
    replace_content = provide(ReplaceSourceContentHandler)
    read_content = provide(GetSourceContentHandler)
    read_file = provide(GetSourceFileHandler)
    retrieval = provide(RetrievePassages, provides=Retrieval)

    @provide
    def parsing(self) -> DocumentParsing:
        """What reads files."""
        return SubprocessDocumentParsing(ParsingLimits())

    @provide
    def transactions(self, units: UnitsOfWork) -> AgentsAndKnowledgeTransactions:
        """Units of work that see agents and knowledge."""
        return PostgresAgentsAndKnowledgeTransactions(units)

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
