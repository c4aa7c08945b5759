"""The product's way from a text to an answer, with the real embeddings and the real local model; the stores are our fakes."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

from adapters.llm.local import LocalModel
from adapters.llm.tokens import Utf8Tokenizer
from adapters.text_analysis.snowball import SnowballTextAnalysis
from contracts.conversational_ai.events import KnowledgeSourceAdded
from domains.billing.use_cases.facade import EntitlementsFacade, QuotasFacade
from domains.billing.use_cases.open_periods import OpenPeriodsHandler
from domains.conversational_ai.model.agent import DEFAULT_CUT_OFF
from domains.conversational_ai.model.knowledge_base import KnowledgeBase
from domains.conversational_ai.model.knowledge_source import KnowledgeSource, Pair, QuestionsContent, TextContent
from domains.conversational_ai.model.languages import KnowledgeLanguage
from domains.conversational_ai.ports.agents_and_knowledge import AgentsAndKnowledgeTransactions
from domains.conversational_ai.ports.embeddings import Embeddings
from domains.conversational_ai.ports.file_scanning import FileScanners
from domains.conversational_ai.use_cases.on_knowledge_source_added import IndexSource
from domains.conversational_ai.use_cases.passage_vectors import PassageVectors
from domains.conversational_ai.use_cases.retrieve_passages import RetrievePassages
from domains.conversational_ai.use_cases.source_documents import SourceDocuments
from domains.conversational_ai.use_cases.store_upload import UploadStorage
from shared_kernel.clock import Clock
from shared_kernel.identifiers import new_id
from tests.fakes.billing import BillingStore, InMemoryBillingReader, InMemoryBillingTransactions, InMemoryQuotaLedger
from tests.fakes.document_parsing import InMemoryDocumentParsing
from tests.fakes.knowledge import InMemoryAgentsAndKnowledgeTransactions, InMemoryKnowledgeReading, KnowledgeStore
from tests.fakes.object_store import InMemoryObjectStore
from tests.fakes.passage_index import InMemoryPassageIndex
from tests.fakes.web_pages import InMemoryWebPages
from tests.port_contracts.knowledge_contract import CONSUMERS
from tests.port_contracts.turns import answering_agent
from tests.unit.conversational_ai.turn_house import TurnHouse, answered, fields

WORLDS = Path(__file__).parent / "worlds"


@dataclass(frozen=True, slots=True)
class World:
    """One organisation's knowledge, the questions that it answers (with words of the right answer), and those that it does not."""

    name: str
    title: str
    language: KnowledgeLanguage
    content: TextContent | QuestionsContent
    answerable: tuple[tuple[str, str], ...]
    outside: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was said to a question; `expected` is `None` where nothing in the knowledge answers it."""

    world: str
    question: str
    expected: str | None
    said: str
    refused: bool

    @property
    def is_right(self) -> bool:
        """Whether the right words are in it, or rightly nothing was quoted."""
        return self.refused if self.expected is None else self.expected in self.said


def worlds(part: str) -> list[World]:
    """Return the worlds of `tuning` or `held_out`."""
    return [_world(path) for path in sorted((WORLDS / part).glob("*.toml"))]


def _world(path: Path) -> World:
    said = tomllib.loads(path.read_text(encoding="utf-8"))
    pairs = said.get("pairs")
    content = QuestionsContent(tuple(Pair(*pair) for pair in pairs)) if pairs else TextContent(said["knowledge"].strip())
    answerable = tuple((question, expected) for question, expected in said["answerable"])
    return World(path.stem, said["title"], KnowledgeLanguage(said["language"]), content, answerable, tuple(said["outside"]))


async def outcomes(found: Sequence[World], embeddings: Embeddings) -> list[Outcome]:
    """Index each world as an organisation of its own, and ask it all of its questions."""
    return [outcome for world in found for outcome in await _asked(world, embeddings)]


async def _asked(world: World, embeddings: Embeddings) -> list[Outcome]:
    house = await TurnHouse.make()
    base_id, retrieval = await _indexed(world, embeddings, house)
    agent = replace(answering_agent(knowledge=(base_id,), model="local"), cut_off=DEFAULT_CUT_OFF, fallback="")
    replica = house.replica(retrieval=retrieval, model=LocalModel(tokenizer=Utf8Tokenizer()))
    questions: list[tuple[str, str | None]] = [*world.answerable, *((question, None) for question in world.outside)]
    told = []
    for question, expected in questions:
        conversation_id = await house.world.conversation(house.caller, agent)
        events = await answered(await replica.ask(house.message(question, conversation_id=conversation_id)))
        message = next(fields(event)["message"] for event in events if event.name == "answer.completed")
        told.append(Outcome(world.name, question, expected, message["content"], not message["citations"]))
    return told


async def _indexed(world: World, embeddings: Embeddings, house: TurnHouse) -> tuple[UUID, RetrievePassages]:
    """Add the world's text as a person does, and index it as a worker does."""
    store, index, clock = KnowledgeStore(), InMemoryPassageIndex(embeddings.dimension), house.clock
    transactions = InMemoryAgentsAndKnowledgeTransactions(store, BillingStore(), CONSUMERS)
    tenant, base_id, at = house.caller.tenant, new_id(), clock.now()
    async with transactions(house.caller) as tx:
        tx.knowledge_bases.add(
            KnowledgeBase.create(base_id, organization_id=tenant, name=world.title, description="", language=world.language, at=at)
        )
        source = KnowledgeSource.add(
            new_id(),
            organization_id=tenant,
            knowledge_base_id=base_id,
            name=world.title,
            language=world.language,
            content=world.content,
            at=at,
        )
        await tx.sources.add(source, world.content)
    [(delivery, event)] = store.due.values()
    assert isinstance(event, KnowledgeSourceAdded)
    vectors = PassageVectors(embeddings, SnowballTextAnalysis())
    await IndexSource(transactions, vectors, index, InMemoryObjectStore(), _documents(transactions, clock), clock)(event, delivery)
    return base_id, RetrievePassages(vectors, index, InMemoryKnowledgeReading(store))


def _documents(transactions: AgentsAndKnowledgeTransactions, clock: Clock) -> SourceDocuments:
    """Return what would read files: a world has texts alone."""
    billing, objects = BillingStore(), InMemoryObjectStore()
    quotas = QuotasFacade(InMemoryQuotaLedger(billing), OpenPeriodsHandler(InMemoryBillingTransactions(billing), clock))
    storage = UploadStorage(EntitlementsFacade(InMemoryBillingReader(billing)), objects)
    return SourceDocuments(transactions, quotas, storage, objects, InMemoryWebPages(), FileScanners(()), InMemoryDocumentParsing(), clock)
