"""Cutting terminates, keeps its sizes, covers the text, and points at what it says."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.conversational_ai.model.chunking import LEAST_ANSWER_PART, OVERLAP, SIZE, Chunk, chunks_of_document, chunks_of_pair
from domains.conversational_ai.model.document import Block, BlockKind, DocumentText
from domains.conversational_ai.model.knowledge_source import Pair, QuestionsContent

SOME_TEXT = st.text(alphabet=st.sampled_from("ab.!?# \n\t`é。\u00a0\r"), max_size=400) | st.text(max_size=300)
PIECES = st.lists(
    st.sampled_from(
        ["word ", "A sentence. ", "\n\n", "\n", "# Heading\n", "## Another\n\n", "```\n# code\n```\n", "x" * 60, "    ", "Déjà vu ! "]
    ),
    max_size=80,
).map("".join)
PAGES = st.lists(SOME_TEXT | PIECES, max_size=6)
QUESTION = st.text(" ?ab", min_size=1, max_size=30).filter(str.strip)
ANSWER = st.text(" .ab\n", min_size=1, max_size=1_500).filter(str.strip)
SENTENCE = "Cumulus clouds are white and puffy, and rain seldom falls from them. "


def span(chunk: Chunk) -> tuple[int, int]:
    assert chunk.locator.start is not None
    assert chunk.locator.end is not None
    return chunk.locator.start, chunk.locator.end


@given(text=SOME_TEXT | PIECES, size=st.integers(2, 120), data=st.data())
def test_pieces_are_small_in_order_and_leave_out_only_blanks(text: str, size: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, size // 2))
    chunks = chunks_of_document(DocumentText.of_markdown(text), size=size, overlap=overlap)
    covered = set[int]()
    before = (-1, -1)
    for chunk in chunks:
        start, end = span(chunk)
        assert chunk.text == text[start:end]
        assert 0 < len(chunk.text) <= size
        assert chunk.text.strip() == chunk.text
        assert start > before[0]
        assert end > before[1]
        assert before[1] - start <= overlap
        covered.update(range(start, end))
        before = (start, end)
    assert all(text[i].isspace() for i in range(len(text)) if i not in covered)


@given(pages=PAGES, size=st.integers(2, 120))
def test_a_piece_is_on_the_page_where_its_first_character_stands(pages: list[str], size: int) -> None:
    document = DocumentText.of_pages(list(enumerate(pages, start=1)))
    begins = [sum(len(page) + 2 for page in pages[:i]) for i in range(len(pages))]
    for chunk in chunks_of_document(document, size=size, overlap=size // 3):
        start, _ = span(chunk)
        assert chunk.text == document.text[start : start + len(chunk.text)]
        assert chunk.locator.page == sum(begin <= start for begin in begins)


@given(text=SOME_TEXT | PIECES)
def test_the_blocks_of_a_text_cover_it_in_order(text: str) -> None:
    document = DocumentText.of_markdown(text)
    covered = {i for block in document.blocks for i in range(block.start, block.end)}
    assert all(text[i].isspace() for i in range(len(text)) if i not in covered)
    assert all(one.end <= other.start for one, other in pairwise(document.blocks))
    assert DocumentText.decoded(document.encoded()) == document


@pytest.mark.parametrize("blocks", [(), ((0, 2),), ((0, 3), (2, 5)), ((0, 9),), ((2, 5), (0, 2)), ((0, 0), (0, 5))])
def test_blocks_that_do_not_cover_their_text_are_refused(blocks: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(ValueError, match="block"):
        DocumentText("ab cd", tuple(Block(start, end, BlockKind.TEXT) for start, end in blocks))


def test_headings_tables_and_code_are_told_apart() -> None:
    text = "# One\nwords\nmore\n| a | b |\n| 1 | 2 |\n```\n# no heading\n\n| no table\n```\n## Two ##\n\nlast"
    document = DocumentText.of_markdown(text)
    assert [(b.kind, b.level, text[b.start : b.end]) for b in document.blocks] == [
        (BlockKind.HEADING, 1, "# One"),
        (BlockKind.TEXT, None, "words\nmore"),
        (BlockKind.TABLE, None, "| a | b |\n| 1 | 2 |"),
        (BlockKind.CODE, None, "```\n# no heading\n\n| no table\n```"),
        (BlockKind.HEADING, 2, "## Two ##"),
        (BlockKind.TEXT, None, "last"),
    ]
    assert [document.title_of(b) for b in document.blocks if b.kind is BlockKind.HEADING] == ["One", "Two"]


@given(
    question=st.text(min_size=1, max_size=1_000).map(str.strip).filter(bool),
    answer=(st.text(min_size=1, max_size=3_000) | st.integers(1, 140).map(lambda n: SENTENCE * n)).map(str.strip).filter(bool),
    offset=st.integers(0, 50),
)
def test_every_piece_of_a_pair_carries_its_question(question: str, answer: str, offset: int) -> None:
    whole = f"{question}\n{answer}"
    chunks = chunks_of_pair(question, answer, offset=offset)
    end_before = offset
    for ordinal, chunk in enumerate(chunks):
        start, end = span(chunk)
        assert chunk.text == whole[start - offset : end - offset]
        assert (chunk.text.startswith(question + "\n")) if ordinal == 0 else (chunk.locator.heading == question)
        assert len(chunk.text) <= max(SIZE, len(question) + 1 + LEAST_ANSWER_PART)
        assert whole[end_before - offset : start - offset].strip() == ""
        end_before = end
    assert end_before == offset + len(whole)


@given(st.lists(st.builds(Pair, QUESTION, ANSWER), min_size=1, max_size=6))
def test_pairs_point_into_their_sources_text(pairs: list[Pair]) -> None:
    content = QuestionsContent(tuple(pairs))
    for chunk in content.chunks():
        start, end = span(chunk)
        assert content.text[start:end] == chunk.text


def test_sections_are_cut_at_headings_and_headings_without_text_go_with_the_next() -> None:
    text = "Intro.\n\n# One\n\n## Sub\n\nBody one.\n\n```sh\n# not a heading\n```\n\n# Two #\nBody two."
    assert [(c.text, c.locator.heading) for c in chunks_of_document(DocumentText.of_markdown(text))] == [
        ("Intro.", None),
        ("# One\n\n## Sub\n\nBody one.\n\n```sh\n# not a heading\n```", "Sub"),
        ("# Two #\nBody two.", "Two"),
    ]


def test_long_sections_are_cut_between_sentences_and_overlap() -> None:
    text = "# Clouds\n\n" + SENTENCE * 40
    chunks = chunks_of_document(DocumentText.of_markdown(text))
    assert len(chunks) == 4
    assert all(c.text.endswith(".") and c.locator.heading == "Clouds" for c in chunks)
    assert all(c.text.startswith("Cumulus") for c in chunks[1:])
    overlaps = [span(a)[1] - span(b)[0] for a, b in pairwise(chunks)]
    assert all(0 < o <= OVERLAP for o in overlaps)


def test_a_text_without_any_seam_is_cut_all_the_same() -> None:
    chunks = chunks_of_document(DocumentText.of_markdown("x" * 100_000))
    assert max(len(c.text) for c in chunks) == SIZE
    assert len(chunks) == 134


@pytest.mark.parametrize(("size", "overlap"), [(1, 0), (10, 6), (10, -1)])
def test_an_overlap_that_could_not_end_is_refused(size: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="overlap"):
        chunks_of_document(DocumentText.of_markdown("text"), size=size, overlap=overlap)
