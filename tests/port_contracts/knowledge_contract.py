"""What agents and knowledge do, whatever they are kept in.

A house is all of it on one kind of storage; the suite's classes are inherited by the tests of each house, which give a fixture `house`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from adapters.crypto.hmac_download_links import HmacDownloadLinks
from adapters.json_schema.answer_schemas import JsonSchemaAnswerSchemas
from contracts.billing.commands import Quotas
from contracts.billing.errors import QuotaExceeded
from contracts.billing.metrics import Metric
from contracts.billing.queries import Entitlements
from contracts.conversational_ai.events import (
    KnowledgeBaseDeleted,
    KnowledgeSourceAdded,
    KnowledgeSourceDeleted,
    KnowledgeSourceOutdated,
    KnowledgeSourceReplaced,
    KnowledgeSourceVersionRetired,
)
from domains.conversational_ai.model.agent import AgentChanges, AgentStatus, OfferedModels, SlugTaken, Tone
from domains.conversational_ai.model.answer_format import AnswerFormat
from domains.conversational_ai.model.citation import Locator
from domains.conversational_ai.model.knowledge_source import (
    Pair,
    QuestionsContent,
    SourceContent,
    SourceStatus,
    SourceStep,
    TextContent,
    WebPageContent,
    passages_of,
)
from domains.conversational_ai.model.languages import KnowledgeLanguage, Language
from domains.conversational_ai.model.passage import Passage, placed
from domains.conversational_ai.model.term_weights import TermWeights
from domains.conversational_ai.model.unreadable_file import ScannedFile, UnreadableFile
from domains.conversational_ai.model.unreadable_page import MissingPage, PageAway, RobotsRefusal
from domains.conversational_ai.model.web_address import WebAddress
from domains.conversational_ai.ports.agent_reading import AgentReading, AgentRow
from domains.conversational_ai.ports.agents_and_knowledge import AgentsAndKnowledgeTransactions
from domains.conversational_ai.ports.download_links import LinkExpired
from domains.conversational_ai.ports.file_scanning import FileScanners
from domains.conversational_ai.ports.knowledge_reading import KnowledgeBaseRow, KnowledgeReading, KnowledgeSourceRow
from domains.conversational_ai.ports.named_uploads import NamedUploads
from domains.conversational_ai.ports.object_store import ObjectKey, SourceObjects, pieces, whole
from domains.conversational_ai.ports.outdated_sources import OutdatedSources
from domains.conversational_ai.ports.passage_index import PassageIndex, PassageMatch, PassageVector
from domains.conversational_ai.use_cases.add_file_source import AddFileSource, AddFileSourceHandler, Described
from domains.conversational_ai.use_cases.add_knowledge_source import AddKnowledgeSource, AddKnowledgeSourceHandler
from domains.conversational_ai.use_cases.archive_agent import ArchiveAgent, ArchiveAgentHandler
from domains.conversational_ai.use_cases.attach_knowledge import AttachKnowledge, AttachKnowledgeHandler
from domains.conversational_ai.use_cases.create_agent import CreateAgent, CreateAgentHandler
from domains.conversational_ai.use_cases.create_demo_agent import CreateDemoAgent, CreateDemoAgentHandler, DemoSource
from domains.conversational_ai.use_cases.create_knowledge_base import CreateKnowledgeBase, CreateKnowledgeBaseHandler
from domains.conversational_ai.use_cases.delete_knowledge_base import DeleteKnowledgeBase, DeleteKnowledgeBaseHandler
from domains.conversational_ai.use_cases.delete_knowledge_source import DeleteKnowledgeSource, DeleteKnowledgeSourceHandler
from domains.conversational_ai.use_cases.edit_agent import EditAgent, EditAgentHandler
from domains.conversational_ai.use_cases.edit_knowledge_base import EditKnowledgeBase, EditKnowledgeBaseHandler
from domains.conversational_ai.use_cases.get_download import GetDownloadHandler
from domains.conversational_ai.use_cases.get_source_content import GetSourceContent, GetSourceContentHandler, NotReadYet
from domains.conversational_ai.use_cases.make_content_link import ContentLink, LinkLifetime, MakeContentLink, MakeContentLinkHandler
from domains.conversational_ai.use_cases.on_knowledge_deleted import ForgetKnowledgeBase, ForgetOldContent, ForgetSource
from domains.conversational_ai.use_cases.on_knowledge_source_added import BATCH, IndexSource
from domains.conversational_ai.use_cases.passage_vectors import PassageVectors
from domains.conversational_ai.use_cases.publish_agent import PublishAgent, PublishAgentHandler
from domains.conversational_ai.use_cases.rename_knowledge_source import RenameKnowledgeSource, RenameKnowledgeSourceHandler
from domains.conversational_ai.use_cases.renew_outdated_sources import RenewOutdatedSourcesHandler
from domains.conversational_ai.use_cases.replace_source_content import ReplaceSourceContent, ReplaceSourceContentHandler
from domains.conversational_ai.use_cases.retrieve_passages import RetrievePassages
from domains.conversational_ai.use_cases.roll_back_agent import RollBackAgent, RollBackAgentHandler
from domains.conversational_ai.use_cases.search_knowledge import SearchKnowledge, SearchKnowledgeHandler
from domains.conversational_ai.use_cases.source_documents import SourceDocuments
from domains.conversational_ai.use_cases.store_upload import Upload, UploadStorage
from domains.conversational_ai.use_cases.sweep_orphan_objects import LEAST_AGE, SweepOrphanObjectsHandler
from shared_kernel.errors import AlreadyDelivered, Conflict, InvalidInput, NotFound, Unavailable
from shared_kernel.events import Delivery, Event
from shared_kernel.identifiers import new_id
from shared_kernel.pagination import PageRequest
from shared_kernel.principal import Principal
from tests.fakes.document_parsing import InMemoryDocumentParsing
from tests.fakes.embeddings import InMemoryEmbeddings
from tests.fakes.file_scanning import MALICIOUS, InMemoryFileScanning
from tests.fakes.object_store import InMemoryObjectStore
from tests.fakes.passage_index import InMemoryPassageIndex
from tests.fakes.text_analysis import InMemoryTextAnalysis
from tests.fakes.web_pages import InMemoryWebPages

CONSUMERS: Mapping[type[Event], str] = {
    KnowledgeSourceAdded: "conversational_ai.index_source",
    KnowledgeSourceOutdated: "conversational_ai.renew_source",
    KnowledgeSourceReplaced: "conversational_ai.index_replaced_source",
    KnowledgeSourceVersionRetired: "conversational_ai.forget_old_content",
    KnowledgeSourceDeleted: "conversational_ai.forget_source",
    KnowledgeBaseDeleted: "conversational_ai.forget_knowledge_base",
}
MODELS = OfferedModels(default="local", names=frozenset({"local", "gpt-4o-mini"}), text_only=frozenset({"local"}))
CLOUDS = TextContent("# Clouds\n\nCumulus clouds are white and puffy.\n\n## Rain\n\nRain falls from nimbostratus clouds.")
LONG = QuestionsContent(tuple(Pair(f"What is item {i}?", f"Item {i} is number {i} of the long list.") for i in range(3 * BATCH + 5)))


class MovableClock:
    """Moves on by a second each time it is read."""

    def __init__(self) -> None:
        self.at = datetime(2026, 3, 1, 9, tzinfo=UTC)

    def now(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at


@dataclass
class ObservedIndex:
    """A passage index that does what a test says after each upsert."""

    inner: PassageIndex
    upserts: list[list[UUID]] = field(default_factory=list)
    after_upsert: Callable[[int], Awaitable[None]] | None = None

    async def prepare(self) -> None:
        await self.inner.prepare()

    async def upsert(self, organization_id: UUID, entries: Sequence[PassageVector]) -> None:
        await self.inner.upsert(organization_id, entries)
        self.upserts.append([e.passage_id for e in entries])
        if self.after_upsert is not None:
            await self.after_upsert(len(self.upserts))

    async def search(
        self,
        organization_id: UUID,
        knowledge_base_ids: Sequence[UUID],
        vector: Sequence[float],
        weights: TermWeights,
        limit: int,
    ) -> list[PassageMatch]:
        return await self.inner.search(organization_id, knowledge_base_ids, vector, weights, limit)

    async def remove_source(self, organization_id: UUID, source_id: UUID, *, except_version: int | None = None) -> None:
        await self.inner.remove_source(organization_id, source_id, except_version=except_version)

    async def remove_knowledge_base(self, organization_id: UUID, knowledge_base_id: UUID) -> None:
        await self.inner.remove_knowledge_base(organization_id, knowledge_base_id)

    async def count(self, organization_id: UUID) -> int:
        return await self.inner.count(organization_id)


class KnowledgeHouse:
    """Agents and knowledge on the given ports.

    `open_account` makes an organisation on a plan; `used` reads a counter; `due` are the deliveries that nobody has completed; `events` and
    `notes` what was published and audited so far, by type and action.
    """

    def __init__(
        self,
        *,
        transactions: AgentsAndKnowledgeTransactions,
        quotas: Quotas,
        entitlements: Entitlements,
        agents: AgentReading,
        knowledge: KnowledgeReading,
        outdated: OutdatedSources,
        uploads: NamedUploads,
        index: PassageIndex,
        open_account: Callable[[str], Awaitable[Principal]],
        used: Callable[[Principal, Metric], Awaitable[int]],
        due: Callable[[Principal], Awaitable[list[tuple[Delivery, Event]]]],
        events: Callable[[Principal], Awaitable[list[str]]],
        notes: Callable[[Principal], Awaitable[list[str]]],
    ) -> None:
        clock = MovableClock()
        self.open_account, self.used, self.due, self.events, self.notes = open_account, used, due, events, notes
        self.agents, self.knowledge = agents, knowledge
        self.index = ObservedIndex(index)
        self.embeddings = InMemoryEmbeddings()
        self.vectors = PassageVectors(self.embeddings, InMemoryTextAnalysis())
        self.objects, self.parsing = InMemoryObjectStore(), InMemoryDocumentParsing()
        self.create_agent = CreateAgentHandler(transactions, quotas, MODELS, JsonSchemaAnswerSchemas(), clock)
        self.edit_agent = EditAgentHandler(transactions, MODELS, JsonSchemaAnswerSchemas(), clock)
        self.publish_agent = PublishAgentHandler(transactions, MODELS, clock)
        self.roll_back_agent = RollBackAgentHandler(transactions, MODELS, clock)
        self.attach = AttachKnowledgeHandler(transactions, clock)
        self.archive_agent = ArchiveAgentHandler(transactions, quotas, clock)
        self.create_base = CreateKnowledgeBaseHandler(transactions, quotas, clock)
        self.edit_base = EditKnowledgeBaseHandler(transactions, clock)
        self.delete_base = DeleteKnowledgeBaseHandler(transactions, quotas, clock)
        self.add_source = AddKnowledgeSourceHandler(transactions, quotas, clock)
        self.delete_source = DeleteKnowledgeSourceHandler(transactions, quotas, clock)
        self.retrieval = RetrievePassages(self.vectors, self.index, knowledge)
        self.search = SearchKnowledgeHandler(knowledge, self.retrieval)
        self.demo = CreateDemoAgentHandler(transactions, quotas, MODELS, clock)
        self.outdated, self.transactions, self.clock = outdated, transactions, clock
        self.forget_source = ForgetSource(transactions, self.index, self.objects)
        self.forget_old = ForgetOldContent(transactions, self.index, self.objects)
        self.forget_base = ForgetKnowledgeBase(transactions, self.index, self.objects)
        storage = UploadStorage(entitlements, self.objects)
        self.pages, self.scanning = InMemoryWebPages(), InMemoryFileScanning()
        scanners = FileScanners((self.scanning,))
        self.documents = SourceDocuments(transactions, quotas, storage, self.objects, self.pages, scanners, self.parsing, clock)
        self.index_source = IndexSource(transactions, self.vectors, self.index, self.objects, self.documents, clock)
        self.add_file = AddFileSourceHandler(storage, knowledge, self.add_source)
        self.rename = RenameKnowledgeSourceHandler(transactions, clock)
        self.replace = ReplaceSourceContentHandler(transactions, quotas, knowledge, storage, clock)
        self.read = GetSourceContentHandler(knowledge, self.objects)
        links, lifetime = HmacDownloadLinks([b"k" * 32], "https://luneo.example/downloads"), LinkLifetime(timedelta(minutes=10))
        self.sweep = SweepOrphanObjectsHandler(self.objects, uploads, clock)
        self.link = MakeContentLinkHandler(transactions, knowledge, self.objects, links, lifetime, clock)
        self.download = GetDownloadHandler(links, knowledge, self.objects, clock)

    def renewal(self, dimension: int) -> RenewOutdatedSourcesHandler:
        """Become a version of the product whose vectors have another dimension, and an empty index; return its renewal."""
        self.index.inner = InMemoryPassageIndex(dimension)
        vectors = PassageVectors(InMemoryEmbeddings(dimension=dimension), InMemoryTextAnalysis())
        self.retrieval = RetrievePassages(vectors, self.index, self.knowledge)
        self.search = SearchKnowledgeHandler(self.knowledge, self.retrieval)
        self.index_source = IndexSource(self.transactions, vectors, self.index, self.objects, self.documents, self.clock)
        return RenewOutdatedSourcesHandler(self.outdated, self.transactions, vectors, self.index, self.clock)

    async def agent(self, principal: Principal, name: str = "Helper", **command: Any) -> AgentRow:
        return await self.create_agent(CreateAgent(name=name, requested_by=principal, **command))

    async def base(self, principal: Principal, name: str = "Weather") -> KnowledgeBaseRow:
        return await self.create_base(CreateKnowledgeBase(name=name, requested_by=principal))

    async def source(self, principal: Principal, base_id: UUID, content: SourceContent = CLOUDS, **command: Any) -> KnowledgeSourceRow:
        return await self.add_source(
            AddKnowledgeSource(knowledge_base_id=base_id, name="A source", content=content, requested_by=principal, **command)
        )

    async def work(self, principal: Principal) -> None:
        """Deliver everything that is due, as a worker would."""
        for delivery, event in await self.due(principal):
            await self.deliver(delivery, event)

    async def deliver(self, delivery: Delivery, event: Event) -> None:
        if isinstance(event, KnowledgeSourceAdded | KnowledgeSourceReplaced | KnowledgeSourceOutdated):
            await self.index_source(event, delivery)
        elif isinstance(event, KnowledgeSourceVersionRetired):
            await self.forget_old(event, delivery)
        elif isinstance(event, KnowledgeSourceDeleted):
            await self.forget_source(event, delivery)
        elif isinstance(event, KnowledgeBaseDeleted):
            await self.forget_base(event, delivery)

    async def file(
        self, principal: Principal, base_id: UUID, content: bytes, name: str = "prices.md", announced: int | None = None
    ) -> KnowledgeSourceRow:
        return await self.add_file(
            AddFileSource(knowledge_base_id=base_id, upload=upload(content, name, announced), described=Described, requested_by=principal)
        )

    async def saved(self, link: ContentLink) -> tuple[str, bytes]:
        """Save what a link leads to; return its name and its bytes."""
        opened = await self.download(link.url.rpartition("/")[2])
        content = await whole(opened.content)
        assert len(content) == opened.size_bytes
        return opened.name, content

    async def give_up(self, principal: Principal, error: Exception | None) -> None:
        """Give up every source that is due to be indexed, as the last worker does."""
        for delivery, event in await self.due(principal):
            if isinstance(event, KnowledgeSourceAdded | KnowledgeSourceReplaced | KnowledgeSourceOutdated):
                await self.index_source.give_up(event, delivery, error)

    async def found(self, principal: Principal, base_id: UUID, query: str, limit: int = 10) -> list[str]:
        search = SearchKnowledge(knowledge_base_id=base_id, query=query, limit=limit, requested_by=principal)
        return [p.text for p in await self.search(search)]


def upload(content: bytes, name: str = "prices.md", announced: int | None = None) -> Upload:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 100_000):
            yield content[start : start + 100_000]

    return Upload(name=name, announced_bytes=announced, content=pieces())


def fields_of(error: pytest.ExceptionInfo[InvalidInput]) -> list[str]:
    return [e.field for e in error.value.errors]


class AgentsContract:
    async def test_an_agent_starts_as_a_draft_of_its_template(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        row = await house.agent(principal, "Éva & co", settings=AgentChanges(languages=(Language.ENGLISH,), max_tokens=500))
        assert (row.slug, row.status, row.published_version, row.version) == ("eva-co", AgentStatus.DRAFT, None, 1)
        assert row.settings.instructions.startswith("You are the customer support assistant")
        assert (row.settings.model, row.settings.max_tokens, row.settings.tone) == ("local", 500, Tone.EMPATHETIC)
        assert await house.agents.agent(principal, row.id) == row
        assert await house.used(principal, Metric.AGENTS) == 1
        assert "conversational_ai.agent_created.v1" in await house.events(principal)
        assert "agent.created" in await house.notes(principal)

    async def test_published_agents_are_found_by_id_and_slug(self, house: KnowledgeHouse) -> None:
        principal, other = await house.open_account("pro"), await house.open_account("pro")
        first, second, draft = [await house.agent(principal, name) for name in ("Helper", "Seller", "Draft")]
        for row in (first, second):
            await house.publish_agent(PublishAgent(agent_id=row.id, expected_version=None, requested_by=principal))
        assert [row.id for row in await house.agents.published(principal)] == [second.id, first.id]
        assert await house.agents.published(other) == []
        for name in (str(first.id), "helper"):
            assert (await house.agents.published_as(principal, name)).id == first.id
        for name in (str(draft.id), "draft", "no-such", "", "helper\x00", "é" * 100_000):
            with pytest.raises(NotFound):
                await house.agents.published_as(principal, name)
        with pytest.raises(NotFound):
            await house.agents.published_as(other, "helper")

    async def test_slugs_are_unique_in_an_organisation(self, house: KnowledgeHouse) -> None:
        principal, other = await house.open_account("pro"), await house.open_account("pro")
        assert [(await house.agent(p, "Helper")).slug for p in (principal, principal, other)] == ["helper", "helper-2", "helper"]
        with pytest.raises(SlugTaken):
            await house.agent(principal, "Another", slug="helper")
        third = await house.agent(principal, "Third")
        with pytest.raises(SlugTaken):
            await house.edit_agent(EditAgent(agent_id=third.id, slug="helper", requested_by=principal))
        assert await house.used(principal, Metric.AGENTS) == 3

    async def test_the_plan_limits_agents(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("free")
        first = await house.agent(principal)
        with pytest.raises(QuotaExceeded):
            await house.agent(principal, "Second")
        assert [a.id for a in (await house.agents.agents(principal, PageRequest())).items] == [first.id]
        await house.archive_agent(ArchiveAgent(agent_id=first.id, requested_by=principal))
        assert await house.used(principal, Metric.AGENTS) == 0
        assert (await house.agent(principal)).slug == first.slug

    async def test_what_is_live_is_what_was_published(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        agent = await house.agent(principal)
        published = await house.publish_agent(PublishAgent(agent_id=agent.id, requested_by=principal))
        assert (published.published_version, published.unpublished_changes, published.status) == (1, False, AgentStatus.PUBLISHED)
        edited = await house.edit_agent(
            EditAgent(agent_id=agent.id, settings=AgentChanges(greeting="Hi", temperature=0.5), requested_by=principal)
        )
        assert (edited.published_version, edited.unpublished_changes) == (1, True)
        again = await house.publish_agent(PublishAgent(agent_id=agent.id, requested_by=principal))
        assert again.published_version == 2
        same = await house.publish_agent(PublishAgent(agent_id=agent.id, requested_by=principal))
        assert same.published_version == 2
        back = await house.roll_back_agent(RollBackAgent(agent_id=agent.id, number=1, requested_by=principal))
        assert (back.published_version, back.unpublished_changes, back.settings.greeting) == (1, True, "Hi")
        versions = (await house.agents.versions(principal, agent.id, PageRequest())).items
        assert [(v.number, v.live, v.settings.greeting == "Hi") for v in versions] == [(2, False, True), (1, True, False)]
        first_page = await house.agents.versions(principal, agent.id, PageRequest(limit=1))
        second_page = await house.agents.versions(principal, agent.id, PageRequest(first_page.next_cursor, 1))
        assert [v.number for v in (*first_page.items, *second_page.items)] == [2, 1]
        with pytest.raises(NotFound):
            await house.roll_back_agent(RollBackAgent(agent_id=agent.id, number=3, requested_by=principal))
        assert await house.agents.agent(principal, agent.id) == back

    async def test_an_agent_that_is_not_ready_is_not_published(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        agent = await house.agent(principal, settings=AgentChanges(instructions="  ", fallback_message=""))
        with pytest.raises(InvalidInput) as refused:
            await house.publish_agent(PublishAgent(agent_id=agent.id, requested_by=principal))
        assert fields_of(refused) == ["instructions", "fallback_message"]

    async def test_the_form_of_answers_is_kept_published_and_taken_back(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        agreed = AnswerFormat({"type": "object", "properties": {"price": {"type": "number"}}}, "price", "What it costs", strict=True)
        agent = await house.agent(principal, settings=AgentChanges(model="gpt-4o-mini", response_format=agreed))
        assert agent.settings.response_format == agreed
        await house.publish_agent(PublishAgent(agent_id=agent.id, requested_by=principal))
        assert (await house.agents.agent(principal, agent.id)).settings.response_format == agreed
        versions = await house.agents.versions(principal, agent.id, PageRequest(None, 1))
        assert versions.items[0].settings.response_format == agreed
        text = await house.edit_agent(EditAgent(agent_id=agent.id, settings=AgentChanges(response_format=None), requested_by=principal))
        assert (text.settings.response_format, text.unpublished_changes) == (None, True)

    async def test_a_form_that_is_no_schema_is_not_kept(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        wrong = AgentChanges(response_format=AnswerFormat({"type": "object", "required": "price"}, "price"))
        agent = await house.agent(principal)
        for trying in (
            house.agent(principal, "Other", settings=wrong),
            house.edit_agent(EditAgent(agent_id=agent.id, settings=wrong, requested_by=principal)),
        ):
            with pytest.raises(InvalidInput) as refused:
                await trying
            assert fields_of(refused) == ["response_format.json_schema.schema"]

    async def test_a_model_that_writes_text_alone_is_not_published_with_a_form(self, house: KnowledgeHouse) -> None:
        principal, agreed = await house.open_account("pro"), AnswerFormat({"type": "object"}, "any")
        for chosen in (AgentChanges(model="local"), AgentChanges(model="gpt-4o-mini", fallback_models=("local",))):
            agent = await house.agent(principal, settings=AgentChanges(**chosen, response_format=agreed))
            with pytest.raises(InvalidInput) as refused:
                await house.publish_agent(PublishAgent(agent_id=agent.id, requested_by=principal))
            assert fields_of(refused) == ["response_format"]

    async def test_a_lost_race_is_a_conflict(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        agent = await house.agent(principal)
        edited = await house.edit_agent(EditAgent(agent_id=agent.id, name="New", expected_version=1, requested_by=principal))
        assert edited.version == 2
        with pytest.raises(Conflict):
            await house.edit_agent(EditAgent(agent_id=agent.id, name="Newer", expected_version=1, requested_by=principal))
        assert (await house.agents.agent(principal, agent.id)).name == "New"

    @pytest.mark.parametrize(
        ("command", "field"),
        [
            ({"settings": {"model": "gpt-9"}}, "model"),
            ({"template_slug": "no-such"}, "template_slug"),
            ({"name": " "}, "name"),
            ({"name": "x" * 101}, "name"),
            ({"name": "nul\0"}, "name"),
            ({"slug": "Not A Slug"}, "slug"),
            ({"description": "x" * 2_001}, "description"),
            ({"settings": {"instructions": "x" * 10_001}}, "instructions"),
            ({"settings": {"fallback_models": ("gpt-4o-mini", "gpt-9")}}, "fallback_models"),
            ({"settings": {"fallback_models": ("gpt-4o-mini", "gpt-4o-mini")}}, "fallback_models"),
            ({"settings": {"model": "gpt-4o-mini", "fallback_models": ("local", "gpt-4o-mini")}}, "fallback_models"),
            ({"settings": {"temperature": 2.1}}, "temperature"),
            ({"settings": {"temperature": float("nan")}}, "temperature"),
            ({"settings": {"top_p": 1.1}}, "top_p"),
            ({"settings": {"frequency_penalty": -2.1}}, "frequency_penalty"),
            ({"settings": {"presence_penalty": float("nan")}}, "presence_penalty"),
            ({"settings": {"max_tokens": 99}}, "max_tokens"),
            ({"settings": {"context_window": 101}}, "context_window"),
            ({"settings": {"retrieval_cut_off": 1.5}}, "retrieval_cut_off"),
            ({"settings": {"languages": (Language.FRENCH, Language.FRENCH)}}, "languages"),
        ],
    )
    async def test_wrong_fields_are_named(self, house: KnowledgeHouse, command: dict[str, Any], field: str) -> None:
        principal = await house.open_account("pro")
        with pytest.raises(InvalidInput) as refused:
            await house.agent(principal, **{"name": "Helper", **command})
        assert fields_of(refused) == [field]
        assert await house.used(principal, Metric.AGENTS) == 0

    async def test_attaching_is_live_and_stays_in_the_organisation(self, house: KnowledgeHouse) -> None:
        principal, other = await house.open_account("pro"), await house.open_account("pro")
        agent = await house.agent(principal)
        first, second = await house.base(principal), await house.base(principal, "Second")
        foreign = await house.base(other)
        attached = await house.attach(AttachKnowledge(agent_id=agent.id, knowledge_base_ids=(second.id, first.id), requested_by=principal))
        assert attached.knowledge_base_ids == (second.id, first.id)
        for wrong in (foreign.id, new_id()):
            with pytest.raises(NotFound):
                await house.attach(AttachKnowledge(agent_id=agent.id, knowledge_base_ids=(first.id, wrong), requested_by=principal))
        assert (await house.agents.agent(principal, agent.id)).knowledge_base_ids == (second.id, first.id)
        one = await house.attach(AttachKnowledge(agent_id=agent.id, knowledge_base_ids=(first.id,), requested_by=principal))
        assert (one.knowledge_base_ids, one.version) == ((first.id,), attached.version + 1)
        late = attached.version
        for call in (
            house.attach(AttachKnowledge(agent_id=agent.id, knowledge_base_ids=(), expected_version=late, requested_by=principal)),
            house.publish_agent(PublishAgent(agent_id=agent.id, expected_version=late, requested_by=principal)),
            house.roll_back_agent(RollBackAgent(agent_id=agent.id, number=1, expected_version=late, requested_by=principal)),
        ):
            with pytest.raises(Conflict):
                await call
        await house.delete_base(DeleteKnowledgeBase(knowledge_base_id=first.id, requested_by=principal))
        assert (await house.agents.agent(principal, agent.id)).knowledge_base_ids == ()
        with pytest.raises(NotFound):
            await house.attach(AttachKnowledge(agent_id=agent.id, knowledge_base_ids=(first.id,), requested_by=principal))

    async def test_another_organisations_agent_does_not_exist(self, house: KnowledgeHouse) -> None:
        principal, other = await house.open_account("pro"), await house.open_account("pro")
        agent = await house.agent(principal)
        attempts: list[Awaitable[object]] = [
            house.agents.agent(other, agent.id),
            house.agents.versions(other, agent.id, PageRequest()),
            house.edit_agent(EditAgent(agent_id=agent.id, name="Mine", requested_by=other)),
            house.publish_agent(PublishAgent(agent_id=agent.id, requested_by=other)),
            house.archive_agent(ArchiveAgent(agent_id=agent.id, requested_by=other)),
        ]
        for attempt in attempts:
            with pytest.raises(NotFound):
                await attempt
        assert (await house.agents.agents(other, PageRequest())).items == ()

    async def test_lists_go_on_where_they_stopped(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        made = [(await house.agent(principal, f"Agent {i}")).id for i in range(3)]
        first = await house.agents.agents(principal, PageRequest(limit=2))
        rest = await house.agents.agents(principal, PageRequest(first.next_cursor, 2))
        assert [a.id for a in (*first.items, *rest.items)] == made[::-1]
        assert rest.next_cursor is None
        for cursor in ("nonsense", "99999999999"):
            with pytest.raises(InvalidInput):
                await house.agents.agents(principal, PageRequest(cursor))


class KnowledgeContract:
    async def test_a_source_is_found_when_it_is_ready(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        source = await house.source(principal, base.id)
        assert (source.status, source.progress, source.language) == (SourceStatus.PENDING, 0, KnowledgeLanguage.FRENCH)
        assert await house.found(principal, base.id, "puffy clouds") == []
        await house.work(principal)
        ready = await house.knowledge.source(principal, base.id, source.id)
        assert (ready.status, ready.progress, ready.passages, ready.error) == (SourceStatus.READY, 100, 2, None)
        assert (await house.found(principal, base.id, "puffy clouds"))[0] == "# Clouds\n\nCumulus clouds are white and puffy."
        shown = await house.knowledge.base(principal, base.id)
        assert (shown.sources, shown.sources_ready) == (1, 1)
        assert await house.due(principal) == []
        assert (await house.events(principal)).count("conversational_ai.knowledge_source_indexed.v1") == 1
        assert {"knowledge_base.created", "knowledge_source.added", "knowledge_source.indexed"} <= set(await house.notes(principal))
        assert await house.used(principal, Metric.DOCUMENTS) == 1
        assert await house.used(principal, Metric.STORAGE_GB) == len(CLOUDS.text.encode())

    async def test_what_continues_a_section_comes_with_how_the_section_begins(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        content = TextContent(
            f"Air.\n\n# Clouds\n\n{'Clouds are made of water. ' * 120}\n\n# Rain\n\nIt falls.\n\n# Clouds\n\n{'More. ' * 300}"
        )
        row = await house.source(principal, base.id, content)
        async with house.transactions(Principal.system(principal.tenant)) as tx:
            source = await tx.sources.get(base.id, row.id)
            written = passages_of(source, content.chunks(), new_id)
            await tx.passages.write(written)
        async with house.transactions(Principal.system(principal.tenant)) as tx:
            source = await tx.sources.get(base.id, row.id)
            every = await tx.passages.next_to_index(source.id, source.content_version, embedding_model="m", limit=100)
            await tx.passages.mark_indexed([each.passage.id for each in every[:2]], embedding_model="m")
            left = await tx.passages.next_to_index(source.id, source.content_version, embedding_model="m", limit=2)
        assert list(every) == placed(written)
        assert list(left) == list(every[2:4])
        assert [each.opening[:8] for each in every] == ["", "", *["# Clouds"] * 3, "", "", *["# Clouds"] * 2]

    async def test_what_is_retrieved_points_at_its_place(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        source = await house.source(principal, base.id)
        await house.work(principal)
        found = await house.retrieval.passages(principal.tenant, [base.id], "nimbostratus rain", limit=1, cut_off=0.1)
        assert [(p.number, p.source_id, p.title, p.locator.heading) for p in found] == [(1, source.id, "A source", "Rain")]
        assert CLOUDS.text[found[0].locator.start : found[0].locator.end] == found[0].text
        assert await house.retrieval.passages(principal.tenant, [base.id], "nimbostratus rain", limit=5, cut_off=1.0) == []
        assert await house.retrieval.passages(principal.tenant, [], "rain", limit=5, cut_off=0.0) == []

    async def test_progress_is_kept_with_each_batch(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        source = await house.source(principal, base.id, LONG)
        seen: list[int] = []

        async def look(_: int) -> None:
            seen.append((await house.knowledge.source(principal, base.id, source.id)).progress)

        house.index.after_upsert = look
        await house.work(principal)
        assert seen == sorted(seen)
        assert seen[0] == 0
        assert seen[-1] > 80
        assert len(house.index.upserts) == 4

    async def test_a_killed_worker_is_continued_at_the_batch_it_was_at(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        source = await house.source(principal, base.id, LONG)

        async def die(upserts: int) -> None:
            if upserts == 2:
                raise asyncio.CancelledError

        house.index.after_upsert = die
        with pytest.raises(asyncio.CancelledError):
            await house.work(principal)
        assert (await house.knowledge.source(principal, base.id, source.id)).status is SourceStatus.PROCESSING
        assert await house.found(principal, base.id, "item 1") == []
        house.index.after_upsert = None
        await house.work(principal)
        ready = await house.knowledge.source(principal, base.id, source.id)
        assert (ready.status, ready.passages) == (SourceStatus.READY, len(LONG.pairs))
        assert house.index.upserts[1] == house.index.upserts[2]  # the batch whose progress was lost, under the same ids
        assert len(house.index.upserts) == 5
        assert await house.index.count(principal.tenant) == len(LONG.pairs)
        assert await house.used(principal, Metric.DOCUMENTS) == 1

    async def test_a_source_deleted_while_it_is_indexed_leaves_nothing(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        source = await house.source(principal, base.id, LONG)

        async def delete(upserts: int) -> None:
            if upserts == 2:
                await house.delete_source(DeleteKnowledgeSource(knowledge_base_id=base.id, source_id=source.id, requested_by=principal))
                # the other consumer is faster than the indexing that still runs
                for delivery, event in await house.due(principal):
                    if isinstance(event, KnowledgeSourceDeleted):
                        await house.deliver(delivery, event)

        house.index.after_upsert = delete
        await house.work(principal)
        assert len(house.index.upserts) == 2
        assert await house.index.count(principal.tenant) == 0
        assert await house.due(principal) == []
        assert await house.used(principal, Metric.DOCUMENTS) == 0

    async def test_two_workers_at_once_index_a_source_once(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        source = await house.source(principal, base.id, LONG)
        ((delivery, event),) = await house.due(principal)
        outcomes = await asyncio.gather(house.deliver(delivery, event), house.deliver(delivery, event), return_exceptions=True)
        assert [type(o) for o in outcomes if o is not None] in ([AlreadyDelivered], [AlreadyDelivered, AlreadyDelivered][:1])
        assert (await house.knowledge.source(principal, base.id, source.id)).passages == len(LONG.pairs)
        assert await house.index.count(principal.tenant) == len(LONG.pairs)
        assert (await house.events(principal)).count("conversational_ai.knowledge_source_indexed.v1") == 1

    async def test_what_goes_wrong_is_shown_and_giving_up_fails_the_source(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        source = await house.source(principal, base.id)

        async def gone(_: int) -> None:
            raise Unavailable("the index does not answer")

        house.index.after_upsert = gone
        with pytest.raises(Unavailable) as error:
            await house.work(principal)
        tried = await house.knowledge.source(principal, base.id, source.id)
        assert (tried.status, tried.error) == (SourceStatus.PROCESSING, "the index does not answer; it will be tried again")
        for _ in range(2):  # its worker may die before it says that it has
            await house.give_up(principal, error.value)
            failed = await house.knowledge.source(principal, base.id, source.id)
            assert (failed.status, failed.error) == (SourceStatus.FAILED, "the index does not answer")
        assert (await house.events(principal)).count("conversational_ai.knowledge_source_failed.v1") == 1
        assert (await house.notes(principal)).count("knowledge_source.failed") == 1
        house.index.after_upsert = None
        await house.work(principal)  # a replayed dead letter
        assert (await house.knowledge.source(principal, base.id, source.id)).status is SourceStatus.READY

    async def test_a_source_that_every_worker_died_over_says_so(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        source, deleted = await house.source(principal, base.id), await house.source(principal, base.id)

        async def die(_: int) -> None:
            raise asyncio.CancelledError

        house.index.after_upsert = die
        with pytest.raises(asyncio.CancelledError):
            await house.work(principal)
        assert (await house.knowledge.source(principal, base.id, source.id)).status is SourceStatus.PROCESSING
        await house.delete_source(DeleteKnowledgeSource(knowledge_base_id=base.id, source_id=deleted.id, requested_by=principal))
        await house.give_up(principal, None)
        failed = await house.knowledge.source(principal, base.id, source.id)
        assert (failed.status, failed.error) == (
            SourceStatus.FAILED,
            "Indexing was interrupted each time it was tried, for a reason on our side",
        )
        assert (await house.events(principal)).count("conversational_ai.knowledge_source_failed.v1") == 1

    async def test_a_worker_that_goes_on_after_its_source_was_given_up_does_not_hide_it(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        source = await house.source(principal, base.id, LONG)

        async def given_up_meanwhile(upserts: int) -> None:
            if upserts == 2:
                await house.give_up(principal, None)
            if upserts == 3:
                raise Unavailable("the index does not answer")

        house.index.after_upsert = given_up_meanwhile
        with pytest.raises(Unavailable):
            await house.work(principal)
        assert (await house.knowledge.source(principal, base.id, source.id)).status is SourceStatus.FAILED

    async def test_a_search_shows_the_score_of_each_stage(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        for text in ("Snow is cold.", "Ice is colder.", "Rain is wet."):
            await house.source(principal, base.id, TextContent(text))
        await house.work(principal)
        query = SearchKnowledge(knowledge_base_id=base.id, query="Why is snow cold?", requested_by=principal)
        best, *others = await house.search(query)
        assert (best.text, best.number) == ("Snow is cold.", 1)
        assert -1 <= best.score <= 1 < best.sparse
        assert [p.sparse for p in others] == [0, 0]
        assert [p.fused for p in (best, *others)] == sorted((p.fused for p in (best, *others)), reverse=True)
        assert best.score > max(p.score for p in others)

    async def test_what_is_too_far_in_meaning_is_left_out_whatever_its_words(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        await house.source(principal, base.id, TextContent("Snow is cold."))
        await house.work(principal)
        (found,) = await house.retrieval.passages(principal.tenant, [base.id], "snow", limit=5, cut_off=-1)
        for cut_off, expected in ((found.score - 0.01, 1), (found.score + 0.01, 0)):
            assert len(await house.retrieval.passages(principal.tenant, [base.id], "snow", limit=5, cut_off=cut_off)) == expected

    async def test_what_another_version_indexed_is_indexed_anew_in_the_background(self, house: KnowledgeHouse) -> None:
        one, two = await house.open_account("pro"), await house.open_account("pro")
        bases = [(principal, await house.base(principal)) for principal in (one, two)]
        sources = [await house.source(principal, base.id) for principal, base in bases]
        for principal, _ in bases:
            await house.work(principal)
        deleted = await house.source(one, bases[0][1].id, TextContent("Snow is cold."))
        await house.work(one)
        await house.delete_source(DeleteKnowledgeSource(knowledge_base_id=bases[0][1].id, source_id=deleted.id, requested_by=one))
        renew = house.renewal(dimension=128)
        assert await house.found(one, bases[0][1].id, "puffy clouds") == []
        assert await renew() >= 2  # a database has other organisations too
        while await renew():
            pass
        for (principal, base), source in zip(bases, sources, strict=True):
            waiting = await house.knowledge.source(principal, base.id, source.id)
            assert (waiting.status, waiting.progress) == (SourceStatus.PENDING, 0)
            await house.work(principal)
            assert (await house.knowledge.source(principal, base.id, source.id)).status == SourceStatus.READY
            assert (await house.found(principal, base.id, "puffy clouds"))[0].startswith("# Clouds")
            assert "knowledge_source.renewed" in await house.notes(principal)
        assert await renew() == 0

    async def test_a_source_that_cannot_be_indexed_anew_is_shown_as_failed(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        source = await house.source(principal, base.id)
        await house.work(principal)
        await house.renewal(dimension=128)()
        await house.give_up(principal, Unavailable("The passage index does not answer"))
        shown = await house.knowledge.source(principal, base.id, source.id)
        assert (shown.status, shown.error) == (SourceStatus.FAILED, "The passage index does not answer")

    async def test_a_deleted_source_is_not_found_from_that_moment(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        source, kept = await house.source(principal, base.id), await house.source(principal, base.id, TextContent("Snow is cold."))
        await house.work(principal)
        await house.delete_source(DeleteKnowledgeSource(knowledge_base_id=base.id, source_id=source.id, requested_by=principal))
        assert await house.found(principal, base.id, "puffy clouds") == ["Snow is cold."]
        assert [s.id for s in (await house.knowledge.sources(principal, base.id, PageRequest())).items] == [kept.id]
        with pytest.raises(NotFound):
            await house.knowledge.source(principal, base.id, source.id)
        with pytest.raises(NotFound):
            await house.delete_source(DeleteKnowledgeSource(knowledge_base_id=base.id, source_id=source.id, requested_by=principal))
        assert await house.used(principal, Metric.DOCUMENTS) == 1
        assert await house.used(principal, Metric.STORAGE_GB) == kept.size_bytes
        assert await house.index.count(principal.tenant) == 3
        await house.work(principal)
        assert await house.index.count(principal.tenant) == 1

    async def test_a_deleted_base_is_not_found_from_that_moment(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base, other = await house.base(principal), await house.base(principal, "Other")
        await house.source(principal, base.id)
        await house.source(principal, base.id, TextContent("Snow is cold."))
        await house.source(principal, other.id, TextContent("Ice is colder."))
        await house.work(principal)
        await house.delete_base(DeleteKnowledgeBase(knowledge_base_id=base.id, requested_by=principal))
        with pytest.raises(NotFound):
            await house.found(principal, base.id, "snow")
        ids = [base.id, other.id]
        found = await house.retrieval.passages(principal.tenant, ids, "snow is cold", limit=5, cut_off=-1)
        assert [p.text for p in found] == ["Ice is colder."]
        with pytest.raises(NotFound):
            await house.source(principal, base.id)
        assert [await house.used(principal, m) for m in (Metric.KNOWLEDGE_BASES, Metric.DOCUMENTS)] == [1, 1]
        await house.work(principal)
        assert await house.index.count(principal.tenant) == 1
        assert await house.due(principal) == []

    async def test_another_organisations_knowledge_does_not_exist(self, house: KnowledgeHouse) -> None:
        principal, other = await house.open_account("pro"), await house.open_account("pro")
        base, mine = await house.base(principal), await house.base(other)
        source = await house.source(principal, base.id)
        await house.work(principal)
        attempts: list[Awaitable[object]] = [
            house.knowledge.base(other, base.id),
            house.knowledge.sources(other, base.id, PageRequest()),
            house.knowledge.source(other, base.id, source.id),
            house.knowledge.source(other, mine.id, source.id),
            house.source(other, base.id),
            house.found(other, base.id, "clouds"),
            house.edit_base(EditKnowledgeBase(knowledge_base_id=base.id, name="Mine", requested_by=other)),
            house.delete_source(DeleteKnowledgeSource(knowledge_base_id=base.id, source_id=source.id, requested_by=other)),
            house.delete_base(DeleteKnowledgeBase(knowledge_base_id=base.id, requested_by=other)),
        ]
        for attempt in attempts:
            with pytest.raises(NotFound):
                await attempt
        assert await house.retrieval.passages(other.tenant, [base.id, mine.id], "clouds", limit=5, cut_off=-1) == []
        assert [b.id for b in (await house.knowledge.bases(other, PageRequest())).items] == [mine.id]

    async def test_the_plan_limits_bases_and_documents(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("free")
        base = await house.base(principal)
        with pytest.raises(QuotaExceeded):
            await house.base(principal, "Second")
        for _ in range(10):
            await house.source(principal, base.id)
        with pytest.raises(QuotaExceeded):
            await house.source(principal, base.id)
        assert (await house.knowledge.base(principal, base.id)).sources == 10
        assert len(await house.due(principal)) == 10

    async def test_a_base_is_edited(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        await house.edit_base(
            EditKnowledgeBase(knowledge_base_id=base.id, language=KnowledgeLanguage.ENGLISH, expected_version=1, requested_by=principal)
        )
        edited = await house.knowledge.base(principal, base.id)
        assert (edited.language, edited.name, edited.version) == (KnowledgeLanguage.ENGLISH, base.name, 2)
        with pytest.raises(Conflict):
            await house.edit_base(EditKnowledgeBase(knowledge_base_id=base.id, name="Late", expected_version=1, requested_by=principal))
        with pytest.raises(InvalidInput):
            await house.edit_base(EditKnowledgeBase(knowledge_base_id=base.id, name="x", requested_by=principal))

    async def test_the_demo_agent_is_made_once(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("business")
        command = CreateDemoAgent(
            sources=[DemoSource(name="About clouds", language=KnowledgeLanguage.ENGLISH, content=CLOUDS)], requested_by=principal
        )
        agent_id = await house.demo(command)
        assert await house.demo(command) == agent_id
        agent = await house.agents.agent(principal, agent_id)
        assert (agent.slug, agent.published_version, len(agent.knowledge_base_ids)) == ("luneo-guide", 1, 1)
        await house.work(principal)
        assert (await house.found(principal, agent.knowledge_base_ids[0], "puffy clouds"))[0].startswith("# Clouds")
        assert [await house.used(principal, m) for m in (Metric.AGENTS, Metric.KNOWLEDGE_BASES, Metric.DOCUMENTS)] == [1, 1, 1]


class DocumentsContract:
    async def test_a_file_is_found_when_it_is_ready_and_opens_at_its_place(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        row = await house.file(principal, base.id, b"# Prices\n\nThe Pro plan costs 49 euros.", "C:\\My files\\prices.md")
        assert (row.name, row.kind, row.status, row.step) == ("prices.md", "file", SourceStatus.PENDING, SourceStep.STORED)
        place: dict[str, Any] = {"knowledge_base_id": base.id, "source_id": row.id, "requested_by": principal}
        with pytest.raises(NotReadYet):
            await house.read(GetSourceContent(start=0, end=10, **place))
        await house.work(principal)
        row = await house.knowledge.source(principal, base.id, row.id)
        assert (row.status, row.step, row.passages, row.passages_indexed) == (SourceStatus.READY, None, 1, 1)
        search = SearchKnowledge(knowledge_base_id=base.id, query="Pro plan", requested_by=principal)
        [found] = await house.search(search)
        start, end = found.locator.start or 0, found.locator.end or 0
        excerpt = await house.read(GetSourceContent(start=start, end=end, **place))
        assert (excerpt.text, excerpt.start, excerpt.end, excerpt.page) == (found.text, start, end, None)
        assert (await house.read(GetSourceContent(start=30, end=99, **place))).end == excerpt.length
        with pytest.raises(InvalidInput):
            await house.read(GetSourceContent(start=5, end=4, **place))

    async def test_a_file_takes_a_document_and_its_bytes_and_gives_them_back(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        row = await house.file(principal, base.id, b"x" * 1_000)
        assert [await house.used(principal, m) for m in (Metric.DOCUMENTS, Metric.STORAGE_GB)] == [1, 1_000]
        await house.delete_source(DeleteKnowledgeSource(knowledge_base_id=base.id, source_id=row.id, requested_by=principal))
        assert [await house.used(principal, m) for m in (Metric.DOCUMENTS, Metric.STORAGE_GB)] == [0, 0]
        assert house.objects.objects
        await house.work(principal)
        assert not house.objects.objects

    async def test_the_files_of_a_deleted_base_are_removed(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base, other = await house.base(principal), await house.base(principal)
        await house.file(principal, base.id, b"gone")
        await house.file(principal, other.id, b"stays")
        await house.delete_base(DeleteKnowledgeBase(knowledge_base_id=base.id, requested_by=principal))
        await house.work(principal)
        assert b"gone" not in house.objects.objects.values()
        assert b"stays" in house.objects.objects.values()

    async def test_a_file_larger_than_the_plan_allows_is_not_read_to_its_end(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("free")
        base = await house.base(principal)
        for content, announced, most in ((b"x" * 8_000_000, None, 5_100_000), (b"x", 5_000_001, 0)):
            arriving = upload(content, announced=announced)
            seen = 0

            async def watched(arriving: Upload = arriving) -> AsyncIterator[bytes]:
                nonlocal seen
                async for piece in arriving.content:
                    seen += len(piece)
                    yield piece

            command = AddFileSource(
                knowledge_base_id=base.id,
                upload=Upload(name="a", announced_bytes=announced, content=watched()),
                described=Described,
                requested_by=principal,
            )
            with pytest.raises(QuotaExceeded) as refused:
                await house.add_file(command)
            assert refused.value.extra == {"metric": "upload_mb", "limit": 5, "resets_at": None}
            assert seen <= most
        assert not house.objects.objects
        assert await house.used(principal, Metric.DOCUMENTS) == 0

    async def test_what_can_not_be_added_leaves_no_file(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("free")
        base = await house.base(principal)
        for content in (b"", b"\x7fELF\0\0"):
            with pytest.raises(UnreadableFile):
                await house.file(principal, base.id, content)
        with pytest.raises(NotFound):
            await house.file(principal, new_id(), b"text")
        for _ in range(10):
            await house.file(principal, base.id, b"text")
        with pytest.raises(QuotaExceeded):
            await house.file(principal, base.id, b"one too many")
        assert len(house.objects.objects) == 10

    async def test_fifty_uploads_at_once_hold_the_plans_documents(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("free")
        base = await house.base(principal)
        made = await asyncio.gather(*(house.file(principal, base.id, b"text") for _ in range(50)), return_exceptions=True)
        assert sum(isinstance(m, KnowledgeSourceRow) for m in made) == 10
        assert {type(m) for m in made if not isinstance(m, KnowledgeSourceRow)} == {QuotaExceeded}
        assert [await house.used(principal, m) for m in (Metric.DOCUMENTS, Metric.STORAGE_GB)] == [10, 40]
        assert len(house.objects.objects) == 10

    async def test_a_file_that_can_not_be_read_fails_at_once_and_says_why(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        row = await house.file(principal, base.id, b"text")
        house.parsing.refuses = ScannedFile()
        await house.work(principal)
        row = await house.knowledge.source(principal, base.id, row.id)
        assert (row.status, row.step, row.error_code) == (SourceStatus.FAILED, SourceStep.PARSING, "file_without_text")
        assert row.error == ScannedFile.words
        assert await house.due(principal) == []
        assert "knowledge_source.failed" in await house.notes(principal)

    async def test_a_renamed_source_is_cited_by_its_new_name(self, house: KnowledgeHouse) -> None:
        principal, stranger = await house.open_account("pro"), await house.open_account("pro")
        base = await house.base(principal)
        row = await house.source(principal, base.id)
        await house.work(principal)
        command = RenameKnowledgeSource(knowledge_base_id=base.id, source_id=row.id, name=" Sky ", requested_by=principal)
        await house.rename(command)
        [found, *_] = await house.search(SearchKnowledge(knowledge_base_id=base.id, query="clouds", requested_by=principal))
        assert found.title == "Sky"
        assert "knowledge_source.renamed" in await house.notes(principal)
        for wrong in (replace(command, name="x"), replace(command, requested_by=stranger)):
            with pytest.raises((InvalidInput, NotFound)):
                await house.rename(wrong)

    async def test_replaced_content_is_found_until_the_new_one_is_whole(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        row = await house.file(principal, base.id, b"The old price is 49 euros.")
        await house.work(principal)
        command = ReplaceSourceContent(
            knowledge_base_id=base.id, source_id=row.id, content=upload(b"The new price is 59 euros, from May on."), requested_by=principal
        )
        changed = await house.replace(command)
        assert (changed.status, changed.size_bytes) == (SourceStatus.PENDING, 39)
        assert [await house.used(principal, m) for m in (Metric.DOCUMENTS, Metric.STORAGE_GB)] == [1, 39]

        async def old_is_found(_: int) -> None:
            assert await house.found(principal, base.id, "price") == ["The old price is 49 euros."]

        house.index.after_upsert = old_is_found
        await old_is_found(0)
        await house.work(principal)
        house.index.after_upsert = None
        assert await house.found(principal, base.id, "price") == ["The new price is 59 euros, from May on."]
        await house.work(principal)
        assert await house.index.count(principal.tenant) == 1
        assert not any(b"old" in content for content in house.objects.objects.values())
        await house.delete_source(DeleteKnowledgeSource(knowledge_base_id=base.id, source_id=row.id, requested_by=principal))
        assert [await house.used(principal, m) for m in (Metric.DOCUMENTS, Metric.STORAGE_GB)] == [0, 0]

    async def test_a_replaced_file_is_indexed_anew_by_another_model_without_being_read_again(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        row = await house.file(principal, base.id, b"The old price is 49 euros.")
        await house.work(principal)
        new = upload(b"The new price is 59 euros.")
        await house.replace(ReplaceSourceContent(knowledge_base_id=base.id, source_id=row.id, content=new, requested_by=principal))
        await house.work(principal)
        await house.work(principal)
        renew = house.renewal(dimension=128)
        house.parsing.refuses = ScannedFile()
        while await renew():  # a database has other organisations too
            pass
        renewed = await house.knowledge.source(principal, base.id, row.id)
        assert (renewed.status, renewed.step) == (SourceStatus.PENDING, SourceStep.STORED)
        await house.work(principal)
        await house.work(principal)
        assert (await house.knowledge.source(principal, base.id, row.id)).status is SourceStatus.READY
        assert await house.found(principal, base.id, "price") == ["The new price is 59 euros."]
        assert await house.due(principal) == []

    async def test_what_is_found_behind_new_content_that_failed_is_indexed_anew_by_another_model(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        row = await house.source(principal, base.id, LONG)
        await house.work(principal)
        house.parsing.refuses = ScannedFile()
        scan = upload(b"a scan")
        await house.replace(ReplaceSourceContent(knowledge_base_id=base.id, source_id=row.id, content=scan, requested_by=principal))
        await house.work(principal)
        failed = await house.knowledge.source(principal, base.id, row.id)
        assert (failed.status, failed.error_code) == (SourceStatus.FAILED, "file_without_text")
        renew = house.renewal(dimension=128)
        assert await house.found(principal, base.id, "item 7") == []
        while await renew():  # a database has other organisations too; once renewed, a source is not found again
            pass
        assert len(await house.due(principal)) == 1

        async def die(upserts: int) -> None:
            if upserts == len(house.index.upserts) == before + 2:
                raise asyncio.CancelledError

        before = len(house.index.upserts)
        house.index.after_upsert = die
        with pytest.raises(asyncio.CancelledError):
            await house.work(principal)
        house.index.after_upsert = None
        await house.work(principal)
        assert await house.due(principal) == []
        assert len(await house.found(principal, base.id, "item 7", limit=50)) == 50
        assert await house.index.count(principal.tenant) == len(LONG.pairs)
        now = await house.knowledge.source(principal, base.id, row.id)
        assert replace(now, updated_at=failed.updated_at) == failed, "the source goes on saying what became of its new content"
        assert await renew() == 0
        house.parsing.refuses = None
        await house.replace(ReplaceSourceContent(knowledge_base_id=base.id, source_id=row.id, content=CLOUDS, requested_by=principal))
        await house.work(principal)
        await house.work(principal)
        assert await house.index.count(principal.tenant) == 2
        assert (await house.knowledge.source(principal, base.id, row.id)).status is SourceStatus.READY

    async def test_giving_up_what_is_behind_says_nothing_of_what_is_before(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        row = await house.source(principal, base.id)
        await house.work(principal)
        house.parsing.refuses = ScannedFile()
        scan, other = upload(b"a scan"), upload(b"text")
        await house.replace(ReplaceSourceContent(knowledge_base_id=base.id, source_id=row.id, content=scan, requested_by=principal))
        await house.work(principal)
        renew = house.renewal(dimension=128)
        while await renew():
            pass
        [behind] = await house.due(principal)
        await house.replace(ReplaceSourceContent(knowledge_base_id=base.id, source_id=row.id, content=other, requested_by=principal))
        assert isinstance(behind[1], KnowledgeSourceOutdated)
        await house.index_source.give_up(behind[1], behind[0], None)
        assert (await house.knowledge.source(principal, base.id, row.id)).status is SourceStatus.PENDING

    async def test_content_that_was_replaced_before_it_was_indexed_is_passed_over(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        row = await house.source(principal, base.id)
        for text in ("second text", "third text"):
            await house.replace(
                ReplaceSourceContent(knowledge_base_id=base.id, source_id=row.id, content=TextContent(text), requested_by=principal)
            )
        await house.work(principal)
        await house.work(principal)
        assert await house.found(principal, base.id, "text") == ["third text"]
        assert await house.index.count(principal.tenant) == 1
        assert await house.due(principal) == []

    async def test_a_worker_that_is_slower_than_the_replacement_leaves_no_vectors(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        row = await house.source(principal, base.id, LONG)

        async def replaced_meanwhile(_: int) -> None:
            house.index.after_upsert = None
            new = ReplaceSourceContent(knowledge_base_id=base.id, source_id=row.id, content=TextContent("new text"), requested_by=principal)
            await house.replace(new)
            for _ in range(2):
                for delivery, event in await house.due(principal):
                    if not isinstance(event, KnowledgeSourceAdded):
                        await house.deliver(delivery, event)
            await house.index.upsert(principal.tenant, slow)  # what a second worker still had in its hands

        old = Passage(
            id=new_id(),
            organization_id=principal.tenant,
            knowledge_base_id=base.id,
            source_id=row.id,
            source_version=1,
            ordinal=0,
            text="old text",
            locator=Locator(start=0, end=8),
        )
        slow = await house.vectors.of_passages(placed([old]))
        house.index.after_upsert = replaced_meanwhile
        await house.work(principal)
        assert await house.found(principal, base.id, "text") == ["new text"]
        assert await house.index.count(principal.tenant) == 1
        assert await house.due(principal) == []

    async def test_new_content_that_fails_leaves_the_old_one_found(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        row = await house.source(principal, base.id, TextContent("The old price is 49 euros."))
        await house.work(principal)
        house.parsing.refuses = ScannedFile()
        await house.replace(
            ReplaceSourceContent(knowledge_base_id=base.id, source_id=row.id, content=upload(b"a scan"), requested_by=principal)
        )
        await house.work(principal)
        assert (await house.knowledge.source(principal, base.id, row.id)).status is SourceStatus.FAILED
        assert await house.found(principal, base.id, "price") == ["The old price is 49 euros."]


PAGE = "https://shop.example/prices?token=secret"
HTML = b"# Prices\n\nThe Pro plan costs 49 euros."


def web_page(url: str = PAGE) -> WebPageContent:
    return WebPageContent(new_id(), WebAddress.parse(url))


class WebPagesContract:
    async def test_a_page_is_fetched_in_the_background_and_found(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        house.pages.pages[PAGE] = HTML
        row = await house.source(principal, base.id, web_page())
        assert (row.kind, row.status, row.step, row.url, row.size_bytes) == ("web_page", SourceStatus.PENDING, SourceStep.STORED, PAGE, 0)
        assert [await house.used(principal, m) for m in (Metric.DOCUMENTS, Metric.STORAGE_GB)] == [1, 0]
        assert house.pages.fetched == 0
        await house.work(principal)
        row = await house.knowledge.source(principal, base.id, row.id)
        assert (row.status, row.step, row.size_bytes) == (SourceStatus.READY, None, len(HTML))
        assert await house.found(principal, base.id, "Pro plan") == [HTML.decode()]
        assert [await house.used(principal, m) for m in (Metric.DOCUMENTS, Metric.STORAGE_GB)] == [1, len(HTML)]
        assert "knowledge_source.fetched" in await house.notes(principal)
        place: dict[str, Any] = {"knowledge_base_id": base.id, "source_id": row.id, "requested_by": principal}
        assert (await house.read(GetSourceContent(start=0, end=8, **place))).text == "# Prices"
        await house.delete_source(DeleteKnowledgeSource(**place))
        await house.work(principal)
        assert [await house.used(principal, m) for m in (Metric.DOCUMENTS, Metric.STORAGE_GB)] == [0, 0]
        assert not house.objects.objects

    async def test_a_page_without_a_name_takes_its_title_and_one_with_a_name_keeps_it(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        house.pages.pages[PAGE] = HTML
        house.parsing.title = " Our\n prices "
        names = ("shop.example/prices", "Price list")
        rows = [
            await house.add_source(AddKnowledgeSource(knowledge_base_id=base.id, name=name, content=web_page(), requested_by=principal))
            for name in names
        ]
        await house.work(principal)
        assert [(await house.knowledge.source(principal, base.id, r.id)).name for r in rows] == ["Our prices", "Price list"]

    async def test_a_page_that_can_not_be_read_fails_at_once_and_says_why(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        row = await house.source(principal, base.id, web_page())
        await house.work(principal)
        row = await house.knowledge.source(principal, base.id, row.id)
        assert (row.status, row.step, row.error_code) == (SourceStatus.FAILED, SourceStep.FETCHING, "page_not_found")
        assert (row.error, await house.due(principal)) == (MissingPage.words, [])
        assert not house.objects.objects
        await house.delete_source(DeleteKnowledgeSource(knowledge_base_id=base.id, source_id=row.id, requested_by=principal))
        assert [await house.used(principal, m) for m in (Metric.DOCUMENTS, Metric.STORAGE_GB)] == [0, 0]

    async def test_a_site_that_is_away_is_asked_again_and_in_the_end_given_up(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        row = await house.source(principal, base.id, web_page())
        house.pages.refuses = PageAway("shop.example does not answer")
        with pytest.raises(PageAway) as error:
            await house.work(principal)
        shown = await house.knowledge.source(principal, base.id, row.id)
        assert (shown.status, shown.error) == (SourceStatus.PROCESSING, "shop.example does not answer; it will be tried again")
        await house.give_up(principal, error.value)
        shown = await house.knowledge.source(principal, base.id, row.id)
        assert (shown.status, shown.error_code) == (SourceStatus.FAILED, "page_unreachable")

    async def test_a_worker_killed_while_it_fetches_or_reads_is_continued_and_the_page_counted_once(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        house.pages.pages[PAGE] = HTML
        row = await house.source(principal, base.id, web_page())
        house.pages.refuses = asyncio.CancelledError()
        with pytest.raises(asyncio.CancelledError):
            await house.work(principal)
        house.pages.refuses, house.parsing.refuses = None, asyncio.CancelledError()
        with pytest.raises(asyncio.CancelledError):
            await house.work(principal)
        house.parsing.refuses = None
        await house.work(principal)
        assert (await house.knowledge.source(principal, base.id, row.id)).status is SourceStatus.READY
        assert house.pages.fetched == 2, "what was fetched and kept is not fetched again"
        assert await house.used(principal, Metric.STORAGE_GB) == len(HTML)

    async def test_a_page_deleted_while_it_is_fetched_leaves_nothing(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        house.pages.pages[PAGE] = HTML
        row = await house.source(principal, base.id, web_page())

        async def delete() -> None:
            await house.delete_source(DeleteKnowledgeSource(knowledge_base_id=base.id, source_id=row.id, requested_by=principal))

        house.pages.meanwhile = delete
        await house.work(principal)
        await house.work(principal)
        assert not house.objects.objects
        assert [await house.used(principal, m) for m in (Metric.DOCUMENTS, Metric.STORAGE_GB)] == [0, 0]
        assert await house.due(principal) == []

    async def test_a_page_is_fetched_again_without_a_gap(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        house.pages.pages[PAGE] = b"The old price is 49 euros."
        row = await house.source(principal, base.id, web_page())
        await house.work(principal)
        house.pages.pages[PAGE] = b"The new price is 59 euros, from May on."
        again = ReplaceSourceContent(knowledge_base_id=base.id, source_id=row.id, content=web_page(), requested_by=principal)
        changed = await house.replace(again)
        assert (changed.status, changed.size_bytes, changed.url) == (SourceStatus.PENDING, 0, PAGE)

        async def old_is_found(_: int = 0) -> None:
            assert await house.found(principal, base.id, "price") == ["The old price is 49 euros."]

        await old_is_found()
        house.index.after_upsert = old_is_found
        await house.work(principal)
        house.index.after_upsert = None
        await house.work(principal)
        assert await house.found(principal, base.id, "price") == ["The new price is 59 euros, from May on."]
        assert await house.used(principal, Metric.STORAGE_GB) == 39
        assert not any(b"old" in content for content in house.objects.objects.values())
        house.pages.refuses = RobotsRefusal()
        await house.replace(again)
        await house.work(principal)
        row = await house.knowledge.source(principal, base.id, row.id)
        assert (row.status, row.error_code) == (SourceStatus.FAILED, "page_refused_by_robots")
        assert await house.found(principal, base.id, "price") == ["The new price is 59 euros, from May on."]

    async def test_a_page_replaced_while_it_is_fetched_is_not_kept(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        house.pages.pages[PAGE] = b"too late"
        row = await house.source(principal, base.id, web_page())

        async def replaced() -> None:
            house.pages.meanwhile = None
            await house.replace(
                ReplaceSourceContent(knowledge_base_id=base.id, source_id=row.id, content=TextContent("in time"), requested_by=principal)
            )

        house.pages.meanwhile = replaced
        await house.work(principal)
        await house.work(principal)
        assert await house.found(principal, base.id, "time") == ["in time"]
        assert await house.used(principal, Metric.STORAGE_GB) == 7
        assert not house.objects.objects

    async def test_a_page_larger_than_the_plan_takes_is_refused(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("free")
        base = await house.base(principal)
        house.pages.pages[PAGE] = b"x" * 5_000_001
        row = await house.source(principal, base.id, web_page())
        await house.work(principal)
        row = await house.knowledge.source(principal, base.id, row.id)
        assert (row.status, row.error_code) == (SourceStatus.FAILED, "page_too_large")

    async def test_a_page_without_text_says_so(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        house.pages.pages[PAGE] = b" \n "
        row = await house.source(principal, base.id, web_page())
        await house.work(principal)
        assert (await house.knowledge.source(principal, base.id, row.id)).error_code == "page_empty"


class LinksContract:
    async def test_a_link_saves_what_the_source_is_made_of(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        house.pages.pages[PAGE] = HTML
        file, page = await house.file(principal, base.id, b"text", "C:\\é\\Prix.md"), await house.source(principal, base.id, web_page())
        text, pairs = await house.source(principal, base.id), await house.source(principal, base.id, LONG)
        command = MakeContentLink(knowledge_base_id=base.id, source_id=page.id, requested_by=principal)
        with pytest.raises(NotReadYet):
            await house.link(command)
        await house.work(principal)
        for source, name, content in (
            (file, "Prix.md", b"text"),
            (page, "shop.example.html", HTML),
            (text, "A source.md", CLOUDS.text.encode()),
            (pairs, "A source.txt", LONG.text.encode()),
        ):
            assert await house.saved(await house.link(replace(command, source_id=source.id))) == (name, content)
        assert (await house.notes(principal)).count("knowledge_source.linked") == 4

    async def test_a_link_ends_with_its_time_its_file_and_its_source(self, house: KnowledgeHouse) -> None:
        principal, stranger = await house.open_account("pro"), await house.open_account("pro")
        base = await house.base(principal)
        sources = [await house.file(principal, base.id, b"old"), await house.source(principal, base.id)]
        commands = [MakeContentLink(knowledge_base_id=base.id, source_id=s.id, requested_by=principal) for s in sources]
        await house.work(principal)
        for wrong in (replace(commands[0], requested_by=stranger), replace(commands[0], source_id=new_id())):
            with pytest.raises(NotFound):
                await house.link(wrong)
        old = await house.link(commands[0])
        new = upload(b"new")
        await house.replace(ReplaceSourceContent(knowledge_base_id=base.id, source_id=sources[0].id, content=new, requested_by=principal))
        assert (await house.saved(old))[1] == b"old"
        await house.work(principal)
        await house.work(principal)
        with pytest.raises(NotFound):
            await house.saved(old)
        links = [await house.link(command) for command in commands]
        for source in sources:
            await house.delete_source(DeleteKnowledgeSource(knowledge_base_id=base.id, source_id=source.id, requested_by=principal))
        for link in links:  # before anything of it was removed
            with pytest.raises(NotFound):
                await house.saved(link)

    async def test_a_link_that_has_ended_says_so(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        source = await house.source(principal, base.id)
        link = await house.link(MakeContentLink(knowledge_base_id=base.id, source_id=source.id, requested_by=principal))
        house.clock.at = link.expires_at - timedelta(seconds=2)
        await house.saved(link)
        with pytest.raises(LinkExpired):
            await house.saved(link)


class SweepContract:
    async def test_files_that_no_source_names_are_removed_when_they_are_old(self, house: KnowledgeHouse) -> None:
        principal, other = await house.open_account("pro"), await house.open_account("pro")
        base, theirs = await house.base(principal), await house.base(other)
        house.pages.pages[PAGE] = HTML
        kept = [await house.file(principal, base.id, b"kept"), await house.source(principal, base.id, web_page())]
        await house.file(other, theirs.id, b"kept too")
        replaced = await house.file(principal, base.id, b"found now")
        for who in (principal, other):
            await house.work(who)
        await house.replace(  # both files are wanted until the new one is found
            ReplaceSourceContent(knowledge_base_id=base.id, source_id=replaced.id, content=upload(b"found soon"), requested_by=principal)
        )
        gone = await house.file(principal, base.id, b"on its way out")
        await house.delete_source(DeleteKnowledgeSource(knowledge_base_id=base.id, source_id=gone.id, requested_by=principal))
        wanted = dict(house.objects.objects)
        orphans = [
            SourceObjects(principal.tenant, base.id, kept[0].id).original(new_id()),  # an upload whose source was never kept
            SourceObjects(principal.tenant, base.id, new_id()).original(new_id()),
            SourceObjects(new_id(), base.id, kept[0].id).original(new_id()),  # an organisation that there is not
        ]
        orphans += [SourceObjects(other.tenant, base.id, kept[0].id).original(_upload_of(wanted, kept[0].id))]  # named, by somebody else
        elsewhere = [ObjectKey(principal.tenant, "exports/1"), ObjectKey(principal.tenant, "knowledge/a/b/c/d")]
        for key in (*orphans, *elsewhere):
            await house.objects.put(key, pieces(b"x"))
        house.clock.at = datetime.now(UTC) + LEAST_AGE - timedelta(minutes=5)
        assert await house.sweep() == 0
        house.clock.at = datetime.now(UTC) + LEAST_AGE + timedelta(minutes=5)
        assert await house.sweep() == len(orphans)
        assert house.objects.objects == {**wanted, **dict.fromkeys(elsewhere, b"x")}
        await house.work(principal)
        assert (await house.knowledge.source(principal, base.id, replaced.id)).status is SourceStatus.READY

    async def test_many_are_swept_in_batches(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        await house.file(principal, base.id, b"kept")
        for _ in range(1_203):
            await house.objects.put(SourceObjects(principal.tenant, base.id, new_id()).original(new_id()), pieces(b"x"))
        house.clock.at = datetime.now(UTC) + LEAST_AGE + timedelta(minutes=5)
        assert await house.sweep() == 1_203
        assert list(house.objects.objects.values()) == [b"kept"]


def _upload_of(objects: Mapping[ObjectKey, bytes], source_id: UUID) -> UUID:
    return next(found[1] for key in objects if (found := SourceObjects.of(key)) and found[0].source_id == source_id)


class ScanningContract:
    async def test_a_file_in_which_something_is_found_is_never_read_and_removed(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        row = await house.file(principal, base.id, b"text with " + MALICIOUS)
        await house.work(principal)
        row = await house.knowledge.source(principal, base.id, row.id)
        assert (row.status, row.error_code, row.size_bytes) == (SourceStatus.FAILED, "file_infected", 0)
        assert (house.parsing.read, house.objects.objects, await house.due(principal)) == (0, {}, [])
        assert [await house.used(principal, m) for m in (Metric.DOCUMENTS, Metric.STORAGE_GB)] == [1, 0]
        await house.delete_source(DeleteKnowledgeSource(knowledge_base_id=base.id, source_id=row.id, requested_by=principal))
        assert [await house.used(principal, m) for m in (Metric.DOCUMENTS, Metric.STORAGE_GB)] == [0, 0]

    async def test_while_the_scanner_is_away_a_file_waits_unread(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        row = await house.file(principal, base.id, b"text")
        house.scanning.refuses = Unavailable("The scanner does not answer")
        with pytest.raises(Unavailable):
            await house.work(principal)
        waiting = await house.knowledge.source(principal, base.id, row.id)
        assert (waiting.status, waiting.error) == (SourceStatus.PROCESSING, "The scanner does not answer; it will be tried again")
        assert house.parsing.read == 0
        house.scanning.refuses = None
        await house.work(principal)
        assert (await house.knowledge.source(principal, base.id, row.id)).status is SourceStatus.READY

    async def test_what_replaces_and_is_infected_leaves_the_old_one_found(self, house: KnowledgeHouse) -> None:
        principal = await house.open_account("pro")
        base = await house.base(principal)
        row = await house.file(principal, base.id, b"The price is 49 euros.")
        await house.work(principal)
        kept = dict(house.objects.objects)
        content = upload(b"The price is " + MALICIOUS)
        await house.replace(ReplaceSourceContent(knowledge_base_id=base.id, source_id=row.id, content=content, requested_by=principal))
        await house.work(principal)
        assert (await house.knowledge.source(principal, base.id, row.id)).error_code == "file_infected"
        assert await house.found(principal, base.id, "price") == ["The price is 49 euros."]
        assert house.objects.objects == kept
