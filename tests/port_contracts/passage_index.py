"""What every passage index does, the fake and the real ones."""

import asyncio
import math
from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest

from domains.conversational_ai.model.term_weights import NO_TERMS, TermWeights
from domains.conversational_ai.ports.passage_index import PassageIndex, PassageVector

DIMENSION = 4


def entry(
    vector: Sequence[float],
    *,
    base: UUID,
    source: UUID | None = None,
    version: int = 1,
    passage: UUID | None = None,
    weights: TermWeights = NO_TERMS,
) -> PassageVector:
    return PassageVector(
        passage_id=passage or uuid4(),
        knowledge_base_id=base,
        source_id=source or uuid4(),
        source_version=version,
        vector=vector,
        weights=weights,
    )


class PassageIndexContract:
    """Subclass it with a fixture `index`: a prepared one, empty, for vectors of `DIMENSION` numbers."""

    async def test_preparing_again_changes_nothing(self, index: PassageIndex) -> None:
        organization = uuid4()
        await index.upsert(organization, [entry([1, 0, 0, 0], base=uuid4())])
        await asyncio.gather(index.prepare(), index.prepare())
        assert await index.count(organization) == 1

    async def test_the_nearest_passage_comes_first_with_its_cosine(self, index: PassageIndex) -> None:
        organization, base = uuid4(), uuid4()
        near, far, middle = entry([2, 0, 0, 0], base=base), entry([0, 1, 0, 0], base=base), entry([1, 1, 0, 0], base=base)
        await index.upsert(organization, [far, near, middle])
        found = await index.search(organization, [base], [1, 0, 0, 0], NO_TERMS, 10)
        assert [match.passage_id for match in found] == [near.passage_id, middle.passage_id, far.passage_id]
        assert [match.source_id for match in found] == [near.source_id, middle.source_id, far.source_id]
        assert [match.dense for match in found] == pytest.approx([1.0, 1 / math.sqrt(2), 0.0], abs=1e-6)

    async def test_a_passage_is_found_by_its_words_too_and_has_both_scores(self, index: PassageIndex) -> None:
        organization, base = uuid4(), uuid4()
        worded = entry([-1, 0, 0, 0], base=base, weights=TermWeights((7, 4_000_000_000), (0.5, 2.0)))
        common = entry([1, 2, 0, 0], base=base, weights=TermWeights((7,), (1.0,)))
        near = [entry([1, 0, 0, number], base=base) for number in range(3)]
        await index.upsert(organization, [worded, common, *near])
        found = await index.search(organization, [base], [1, 0, 0, 0], TermWeights((7, 4_000_000_000, 99), (1.0, 2.0, 1.0)), 2)
        in_two, in_one = math.log(1 + 3.5 / 2.5), math.log(1 + 4.5 / 1.5)
        assert [match.passage_id for match in found] == [near[0].passage_id, near[1].passage_id, common.passage_id, worded.passage_id]
        assert [match.dense for match in found] == pytest.approx([1.0, 1 / math.sqrt(2), 1 / math.sqrt(5), -1.0], abs=1e-6)
        assert [match.sparse for match in found] == pytest.approx([0.0, 0.0, in_two, 0.5 * in_two + 2 * 2.0 * in_one], rel=1e-5)

    async def test_how_rare_a_word_is_says_nothing_of_other_peoples_passages(self, index: PassageIndex) -> None:
        mine, theirs, base, other = uuid4(), uuid4(), uuid4(), uuid4()
        word = TermWeights((7,), (1.0,))
        await index.upsert(mine, [entry([1, 0, 0, 0], base=base, weights=word), entry([0, 1, 0, 0], base=base)])
        (before, _) = await index.search(mine, [base], [1, 0, 0, 0], word, 5)
        await index.upsert(theirs, [entry([1, 0, 0, 0], base=base, weights=word) for _ in range(20)])
        await index.upsert(mine, [entry([1, 0, 0, 0], base=other, weights=word) for _ in range(20)])
        assert (await index.search(mine, [base], [1, 0, 0, 0], word, 5))[0] == before
        assert before.sparse == pytest.approx(math.log(2), rel=1e-5)

    async def test_words_see_only_the_knowledge_bases_and_the_organization_that_are_searched(self, index: PassageIndex) -> None:
        mine, theirs, base = uuid4(), uuid4(), uuid4()
        word = TermWeights((7,), (1.0,))
        own = entry([0, 1, 0, 0], base=base, weights=word)
        await index.upsert(mine, [own, entry([0, 1, 0, 0], base=uuid4(), weights=word)])
        await index.upsert(theirs, [entry([0, 1, 0, 0], base=base, weights=word)])
        assert [match.passage_id for match in await index.search(mine, [base], [1, 0, 0, 0], word, 5)] == [own.passage_id]

    async def test_a_search_returns_no_more_than_its_limit(self, index: PassageIndex) -> None:
        organization, base = uuid4(), uuid4()
        await index.upsert(organization, [entry([1, number, 0, 0], base=base) for number in range(20)])
        found = await index.search(organization, [base], [1, 0, 0, 0], NO_TERMS, 7)
        assert len(found) == 7
        assert [match.dense for match in found] == sorted((match.dense for match in found), reverse=True)

    async def test_a_search_sees_only_the_knowledge_bases_it_names(self, index: PassageIndex) -> None:
        organization, one, two, three = uuid4(), uuid4(), uuid4(), uuid4()
        entries = [entry([1, 0, 0, 0], base=base) for base in (one, two, three)]
        await index.upsert(organization, entries)
        found = await index.search(organization, [one, three], [1, 0, 0, 0], NO_TERMS, 10)
        assert {match.passage_id for match in found} == {entries[0].passage_id, entries[2].passage_id}
        assert await index.search(organization, [], [1, 0, 0, 0], NO_TERMS, 10) == []
        assert await index.search(organization, [uuid4()], [1, 0, 0, 0], NO_TERMS, 10) == []

    async def test_an_organization_sees_nothing_of_another_even_in_the_same_knowledge_base(self, index: PassageIndex) -> None:
        mine, theirs, base = uuid4(), uuid4(), uuid4()
        own, other = entry([1, 0, 0, 0], base=base), entry([1, 0, 0, 0], base=base)
        await index.upsert(mine, [own])
        await index.upsert(theirs, [other])
        assert [match.passage_id for match in await index.search(mine, [base], [1, 0, 0, 0], NO_TERMS, 10)] == [own.passage_id]
        assert (await index.count(mine), await index.count(theirs), await index.count(uuid4())) == (1, 1, 0)

    async def test_an_organization_can_not_remove_anothers_passages(self, index: PassageIndex) -> None:
        mine, theirs, base, source = uuid4(), uuid4(), uuid4(), uuid4()
        await index.upsert(theirs, [entry([1, 0, 0, 0], base=base, source=source)])
        await index.remove_source(mine, source)
        await index.remove_source(mine, source, except_version=7)
        await index.remove_knowledge_base(mine, base)
        assert await index.count(theirs) == 1

    async def test_an_organization_can_not_take_over_anothers_passage_id(self, index: PassageIndex) -> None:
        mine, theirs, base = uuid4(), uuid4(), uuid4()
        original = entry([1, 0, 0, 0], base=base)
        await index.upsert(theirs, [original])
        fresh = entry([0, 0, 0, 1], base=base)
        await index.upsert(mine, [entry([0, 1, 0, 0], base=base, passage=original.passage_id), fresh])
        assert [match.passage_id for match in await index.search(mine, [base], [0, 1, 0, 0], NO_TERMS, 10)] == [fresh.passage_id]
        (kept,) = await index.search(theirs, [base], [1, 0, 0, 0], NO_TERMS, 10)
        assert kept.passage_id == original.passage_id
        assert kept.dense == pytest.approx(1.0)

    async def test_the_same_passage_again_replaces_the_first(self, index: PassageIndex) -> None:
        organization, base, moved = uuid4(), uuid4(), uuid4()
        first = entry([1, 0, 0, 0], base=base)
        await index.upsert(organization, [first])
        second = entry([0, 1, 0, 0], base=moved, passage=first.passage_id, version=2)
        await index.upsert(organization, [second])
        await index.upsert(organization, [second])
        assert await index.count(organization) == 1
        assert await index.search(organization, [base], [1, 0, 0, 0], NO_TERMS, 10) == []
        (found,) = await index.search(organization, [moved], [0, 1, 0, 0], NO_TERMS, 10)
        assert found.source_id == second.source_id
        assert found.dense == pytest.approx(1.0)

    async def test_a_source_is_removed_all_but_one_version_or_whole(self, index: PassageIndex) -> None:
        organization, base, source = uuid4(), uuid4(), uuid4()
        old = [entry([1, 0, 0, 0], base=base, source=source, version=1) for _ in range(3)]
        new = [entry([0, 1, 0, 0], base=base, source=source, version=2) for _ in range(2)]
        bystander = entry([0, 0, 1, 0], base=base, version=1)
        await index.upsert(organization, [*old, *new, bystander])
        await index.remove_source(organization, source, except_version=2)
        found = await index.search(organization, [base], [1, 1, 1, 0], NO_TERMS, 10)
        assert {match.passage_id for match in found} == {each.passage_id for each in (*new, bystander)}
        await index.remove_source(organization, source)
        await index.remove_source(organization, source)
        found = await index.search(organization, [base], [1, 1, 1, 0], NO_TERMS, 10)
        assert [match.passage_id for match in found] == [bystander.passage_id]

    async def test_a_knowledge_base_is_removed_with_all_its_passages(self, index: PassageIndex) -> None:
        organization, doomed, kept = uuid4(), uuid4(), uuid4()
        await index.upsert(organization, [*(entry([1, 0, 0, 0], base=doomed) for _ in range(3)), entry([1, 0, 0, 0], base=kept)])
        await index.remove_knowledge_base(organization, doomed)
        assert await index.count(organization) == 1
        assert await index.search(organization, [doomed], [1, 0, 0, 0], NO_TERMS, 10) == []

    async def test_many_passages_at_once_are_all_kept(self, index: PassageIndex) -> None:
        organization, base = uuid4(), uuid4()
        await index.upsert(organization, [entry([1, number, 0, 0], base=base) for number in range(600)])
        await index.upsert(organization, [])
        assert await index.count(organization) == 600

    async def test_a_vector_of_another_dimension_is_refused_and_nothing_stored(self, index: PassageIndex) -> None:
        organization, base = uuid4(), uuid4()
        with pytest.raises(ValueError, match="4 numbers"):
            await index.upsert(organization, [entry([1, 0, 0, 0], base=base), entry([1, 0, 0], base=base)])
        with pytest.raises(ValueError, match="4 numbers"):
            await index.search(organization, [base], [1, 0, 0, 0, 0], NO_TERMS, 1)
        assert await index.count(organization) == 0
