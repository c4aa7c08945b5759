from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from domains.conversational_ai.model.citation import Locator
from domains.conversational_ai.model.languages import KnowledgeLanguage
from domains.conversational_ai.model.passage import Passage, placed
from domains.conversational_ai.ports.embeddings import Embeddings
from domains.conversational_ai.ports.knowledge_reading import FoundPassage
from domains.conversational_ai.use_cases.passage_vectors import PassageVectors
from domains.conversational_ai.use_cases.retrieve_passages import RetrievePassages
from shared_kernel.identifiers import new_id
from tests.fakes.embeddings import InMemoryEmbeddings
from tests.fakes.passage_index import InMemoryPassageIndex
from tests.fakes.text_analysis import InMemoryTextAnalysis

ORGANIZATION, BASE, SOURCE = new_id(), new_id(), new_id()


class Texts:
    """The port `PassageReading` over these passages, of which some may not be shown; `read` is how many each round trip asked for."""

    def __init__(self, passages: Sequence[Passage], hidden: Collection[UUID]) -> None:
        self.passages_ = {passage.id: passage for passage in passages if passage.id not in hidden}
        self.read: list[int] = []

    async def passages(
        self, organization_id: UUID, passage_ids: Sequence[UUID], *, knowledge_base_ids: Collection[UUID], embedding_model: str
    ) -> Mapping[UUID, FoundPassage]:
        assert organization_id == ORGANIZATION
        assert list(knowledge_base_ids) == [BASE]
        assert embedding_model
        self.read.append(len(passage_ids))
        return {
            each: FoundPassage(source_id=SOURCE, title="", text=p.text, locator=p.locator, language=KnowledgeLanguage.ENGLISH)
            for each in passage_ids
            if (p := self.passages_.get(each)) is not None
        }


async def found(
    number: int, *, hidden: int, limit: int = 3, cut_off: float = 0.0, embeddings: Embeddings | None = None
) -> tuple[list[str], list[int]]:
    """Ask `number` passages, each less near than the one before it, of which the `hidden` best may not be shown."""
    passages = [
        Passage(
            id=new_id(),
            organization_id=ORGANIZATION,
            knowledge_base_id=BASE,
            source_id=SOURCE,
            source_version=1,
            ordinal=n,
            text=f"snow {' '.join(f'ice{n}x{i}' for i in range(n))}",
            locator=Locator(heading=str(n)),
        )
        for n in range(number)
    ]
    vectors, index = PassageVectors(embeddings or InMemoryEmbeddings(), InMemoryTextAnalysis()), InMemoryPassageIndex()
    await index.upsert(ORGANIZATION, await vectors.of_passages(placed(passages)))
    texts = Texts(passages, {passage.id for passage in passages[:hidden]})
    got = await RetrievePassages(vectors, index, texts).passages(ORGANIZATION, [BASE], "snow", limit=limit, cut_off=cut_off)
    assert [passage.number for passage in got] == list(range(1, len(got) + 1))
    return [passage.locator.heading or "" for passage in got], texts.read


async def test_little_more_is_read_than_is_returned() -> None:
    assert await found(30, hidden=0) == (["0", "1", "2"], [6])
    assert await found(30, hidden=3) == (["3", "4", "5"], [6])


async def test_the_rest_of_the_candidates_is_read_when_the_best_may_not_be_shown() -> None:
    assert await found(30, hidden=10) == (["10", "11", "12"], [6, 24])


async def test_more_candidates_are_asked_for_when_none_of_many_may_be_shown() -> None:
    headings, (first, rest, *wider) = await found(60, hidden=45)
    assert len(headings) == 3
    assert all(int(heading) >= 45 for heading in headings)
    assert first + rest < 60
    assert wider == [6, 54]


async def test_nothing_is_read_where_nothing_is_near() -> None:
    assert await found(0, hidden=0) == ([], [])


class StretchedEmbeddings(InMemoryEmbeddings):
    """Those of a model whose similarities lie twice as near to 1."""

    def similarity(self, cosine: float) -> float:
        return 1 - (1 - cosine) / 2


async def test_the_cut_off_is_about_similarities_on_the_common_scale() -> None:
    plain = await found(12, hidden=0, limit=12)
    lowest = await found(12, hidden=0, limit=12, cut_off=0.5)
    stretched = await found(12, hidden=0, limit=12, cut_off=0.75, embeddings=StretchedEmbeddings())
    assert stretched == lowest
    assert 0 < len(lowest[0]) < len(plain[0])
