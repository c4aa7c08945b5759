from collections.abc import Sequence
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from domains.conversational_ai.model.chunking import chunks_of_document
from domains.conversational_ai.model.citation import CitablePassage, Locator, cite
from domains.conversational_ai.model.context import packed
from domains.conversational_ai.model.document import DocumentText
from shared_kernel.identifiers import new_id

TEXT = "".join(f"Sentence number {number} of the source stands here.\n" for number in range(40))
SOURCE = new_id()


def piece(start: int, end: int, *, source: UUID = SOURCE, text: str = TEXT, page: int | None = None, score: float = 0.9) -> CitablePassage:
    return CitablePassage(1, new_id(), source, "A source", text[start:end], Locator(page=page, start=start, end=end), score)


def pack(passages: Sequence[CitablePassage], budget: int = 10_000) -> list[CitablePassage]:
    return list(packed(passages, budget=budget, count=len))


def places(passages: Sequence[CitablePassage]) -> list[tuple[int | None, int | None]]:
    return [(p.locator.start, p.locator.end) for p in passages]


def test_passages_that_overlap_become_one_at_the_place_of_the_better() -> None:
    other = piece(0, 100, source=new_id())
    found = pack([piece(500, 700, score=0.95), other, piece(350, 520)])
    assert places(found) == [(350, 700), (0, 100)]
    assert [(p.number, p.score) for p in found] == [(1, 0.95), (2, 0.9)]
    assert found[0].text == TEXT[350:700]


def test_a_passage_between_two_joins_all_three() -> None:
    assert places(pack([piece(0, 100), piece(180, 300), piece(90, 200)])) == [(0, 300)]


def test_a_passage_inside_another_adds_nothing() -> None:
    assert places(pack([piece(0, 300), piece(100, 200)])) == [(0, 300)]
    assert places(pack([piece(100, 200), piece(0, 300)])) == [(0, 300)]


def test_neighbours_other_pages_and_other_sources_stay_apart() -> None:
    apart = [piece(0, 100), piece(100, 200), piece(150, 250, page=2), piece(50, 120, source=new_id())]
    assert places(pack(apart)) == places(apart)


def test_a_text_that_another_source_repeats_is_left_out() -> None:
    assert len(pack([piece(0, 100), piece(0, 100, source=new_id())])) == 1


def test_texts_of_two_versions_are_not_mixed() -> None:
    changed = piece(50, 150, text=TEXT.upper())
    assert [p.text for p in pack([piece(0, 100), changed])] == [TEXT[:100], changed.text]


def test_what_does_not_fit_is_left_out_and_a_smaller_one_after_it_still_fits() -> None:
    passages = [piece(0, 100), piece(200, 600), piece(700, 750)]
    assert places(pack(passages, budget=160)) == [(0, 100), (700, 750)]
    assert places(pack(passages, budget=10)) == [(0, 100)]
    assert places(pack([piece(0, 100), piece(80, 200)], budget=150)) == [(0, 100)]
    assert pack([], budget=10) == []


@given(st.lists(st.tuples(st.integers(0, 1_500), st.integers(1, 400)), max_size=8), st.integers(1, 2_000))
def test_whatever_was_found_each_character_is_there_once_verbatim_and_within_the_budget(found: list[tuple[int, int]], budget: int) -> None:
    passages = [piece(start, min(start + length, len(TEXT))) for start, length in found]
    kept = pack(passages, budget)
    seen: set[int] = set()
    for number, p in enumerate(kept, start=1):
        start, end = p.locator.start, p.locator.end
        assert start is not None
        assert end is not None
        assert (p.number, p.text) == (number, TEXT[start:end])
        assert seen.isdisjoint(range(start, end))
        seen |= set(range(start, end))
    assert len(seen) <= max(budget, passages[0].locator.end - passages[0].locator.start if passages else 0)  # type: ignore[operator]


def test_a_quote_of_a_joined_passage_is_found_verbatim_at_its_locator() -> None:
    first, second, *_ = chunks_of_document(DocumentText.of_markdown(TEXT))
    passages = [CitablePassage(1, new_id(), SOURCE, "A source", c.text, c.locator, 0.9) for c in (second, first)]
    (joined,) = pack(passages)
    for sentence in ("Sentence number 2", "Sentence number 25"):
        (citation,) = cite(f"{sentence} of the source [1].", [joined])
        assert citation.quote.startswith(sentence)
        assert TEXT[citation.locator.start : citation.locator.end] == citation.quote
