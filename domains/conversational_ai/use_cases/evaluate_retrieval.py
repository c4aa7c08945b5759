"""Measuring retrieval with questions whose right text is known."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from domains.conversational_ai.model.knowledge_source import KnowledgeSource, TextContent, passages_of
from domains.conversational_ai.model.languages import KnowledgeLanguage
from domains.conversational_ai.model.passage import Passage, PlacedPassage, placed
from domains.conversational_ai.model.retrieval_quality import LAST_RANK, RetrievalQuality
from domains.conversational_ai.ports.knowledge_reading import FoundPassage
from domains.conversational_ai.ports.passage_index import PassageIndex
from domains.conversational_ai.use_cases.on_knowledge_source_added import BATCH
from domains.conversational_ai.use_cases.passage_vectors import PassageVectors
from domains.conversational_ai.use_cases.retrieve_passages import RetrievePassages
from shared_kernel.clock import Clock
from shared_kernel.errors import FieldError, InvalidInput
from shared_kernel.identifiers import new_id

#: Passages asked for, so that ten different texts are among them.
_PASSAGES = 2 * LAST_RANK
_NO_CUT_OFF = -1.0


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """Texts by their names, and questions with the name of the right text. Raises `InvalidInput`."""

    language: KnowledgeLanguage
    texts: Mapping[str, str]
    questions: Sequence[tuple[str, str]]

    def __post_init__(self) -> None:
        unknown = [
            FieldError(f"questions.{i}", "unknown_passage", f"names {name}")
            for i, (_, name) in enumerate(self.questions)
            if name not in self.texts
        ]
        if not self.questions:
            unknown.append(FieldError("questions", "missing", "must not be empty"))
        if unknown:
            raise InvalidInput(*unknown[:10])


@dataclass(slots=True)
class _KeptPassages:
    """The port `PassageReading` over passages that are kept nowhere else."""

    language: KnowledgeLanguage
    kept: dict[UUID, Passage] = field(default_factory=dict)

    async def passages(
        self,
        organization_id: UUID,  # noqa: ARG002 - there is one
        passage_ids: Sequence[UUID],
        *,
        knowledge_base_ids: Collection[UUID],  # noqa: ARG002 - same
        embedding_model: str,  # noqa: ARG002 - same
    ) -> Mapping[UUID, FoundPassage]:
        """Return these passages."""
        found = {passage_id: self.kept[passage_id] for passage_id in passage_ids}
        return {
            passage_id: FoundPassage(source_id=p.source_id, title="", text=p.text, locator=p.locator, language=self.language)
            for passage_id, p in found.items()
        }


@dataclass(frozen=True, slots=True)
class EvaluateRetrieval:
    """Indexes a set's texts as sources of a knowledge base in `index`, which should be an empty one of its own, and asks its questions."""

    vectors: PassageVectors
    index: PassageIndex
    clock: Clock

    async def __call__(self, questions: QuestionSet) -> RetrievalQuality:
        """Return how well the questions find their texts: the rank of a text is that of its best passage among the texts.

        Cutting, vectors, words, index, fusion and order are those of any knowledge; no cut-off. Raises `Unavailable`, `InvalidInput`.
        """
        organization, base = new_id(), new_id()
        reading = _KeptPassages(questions.language)
        sources: dict[UUID, str] = {}
        passages: list[PlacedPassage] = []
        for name, text in questions.texts.items():
            source = KnowledgeSource.add(
                new_id(),
                organization_id=organization,
                knowledge_base_id=base,
                name=f"Text {name}",
                language=questions.language,
                content=(content := TextContent(text)),
                at=self.clock.now(),
            )
            sources[source.id] = name
            passages += placed(passages_of(source, content.chunks(), new_id))
        await self.index.prepare()
        reading.kept.update((each.passage.id, each.passage) for each in passages)
        for start in range(0, len(passages), BATCH):
            await self.index.upsert(organization, await self.vectors.of_passages(passages[start : start + BATCH]))
        retrieval = RetrievePassages(self.vectors, self.index, reading)
        ranks: list[int | None] = []
        for question, right in questions.questions:
            found = await retrieval.passages(organization, [base], question, limit=_PASSAGES, cut_off=_NO_CUT_OFF)
            names = list(dict.fromkeys(sources[passage.source_id] for passage in found))
            ranks.append(names.index(right) + 1 if right in names else None)
        return RetrievalQuality.of(ranks)
