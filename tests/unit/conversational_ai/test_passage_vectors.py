from collections.abc import Sequence

import pytest

from domains.conversational_ai.model.citation import Locator
from domains.conversational_ai.model.knowledge_source import OPENING_LENGTH, Pair, QuestionsContent, TextContent
from domains.conversational_ai.model.passage import Passage
from domains.conversational_ai.use_cases.passage_vectors import PassageVectors
from shared_kernel.identifiers import new_id
from tests.fakes.embeddings import InMemoryEmbeddings
from tests.fakes.text_analysis import InMemoryTextAnalysis


def passages(*texts: str) -> Sequence[Passage]:
    ids = {name: new_id() for name in ("organization_id", "knowledge_base_id", "source_id")}
    return [
        Passage(id=new_id(), source_version=1, ordinal=ordinal, text=text, locator=Locator(), **ids) for ordinal, text in enumerate(texts)
    ]


async def test_a_later_passage_is_near_to_what_its_source_begins_with_but_has_its_own_words() -> None:
    embeddings = InMemoryEmbeddings()
    vectors = PassageVectors(embeddings, InMemoryTextAnalysis())
    alone = await vectors.of_passages(passages("Snow tyres.", "They cost forty euros."), opening="")
    opened = await vectors.of_passages(passages("Snow tyres.", "They cost forty euros."), opening="Snow tyres.")
    assert opened[0].vector == alone[0].vector
    question, _ = await vectors.of_question(new_id(), "snow tyres cost")
    near = [sum(a * b for a, b in zip(question, each[1].vector, strict=True)) for each in (alone, opened)]
    assert near[1] > near[0]
    assert [e.weights for e in opened] == [e.weights for e in alone]


@pytest.mark.parametrize("text", ["Short.", "word " * 100, "x" * 500, " " + "y" * 500])
def test_an_opening_is_the_beginning_up_to_a_word_that_is_whole(text: str) -> None:
    opening = TextContent(text).opening
    assert text.startswith(opening)
    assert 0 < len(opening) <= OPENING_LENGTH
    assert len(text) <= OPENING_LENGTH or " " not in text.strip() or text[len(opening)] == " "


def test_pairs_have_no_opening_for_each_has_its_question() -> None:
    assert QuestionsContent((Pair("Why?", "Because."),)).opening == ""
