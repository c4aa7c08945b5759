import pytest

from domains.conversational_ai.model.languages import KnowledgeLanguage
from domains.conversational_ai.model.retrieval_quality import RetrievalQuality
from domains.conversational_ai.use_cases.evaluate_retrieval import EvaluateRetrieval, QuestionSet
from domains.conversational_ai.use_cases.passage_vectors import PassageVectors
from shared_kernel.clock import SystemClock
from shared_kernel.errors import InvalidInput
from tests.fakes.embeddings import InMemoryEmbeddings
from tests.fakes.passage_index import InMemoryPassageIndex
from tests.fakes.text_analysis import InMemoryTextAnalysis

TEXTS = {"snow": "Snow is cold and white.", "rain": "Rain is wet.", "sun": "The sun is hot.\n\n" + "It shines on the sea. " * 100}


def question_set(*questions: tuple[str, str]) -> QuestionSet:
    return QuestionSet(KnowledgeLanguage.ENGLISH, TEXTS, questions)


async def quality(*questions: tuple[str, str]) -> RetrievalQuality:
    vectors = PassageVectors(InMemoryEmbeddings(), InMemoryTextAnalysis())
    return await EvaluateRetrieval(vectors, InMemoryPassageIndex(), SystemClock())(question_set(*questions))


async def test_questions_that_find_their_texts_first_are_all_hits() -> None:
    assert await quality(("cold snow", "snow"), ("wet rain", "rain"), ("hot sun", "sun")) == RetrievalQuality(3, 1.0, 1.0, 1.0, 1.0)


async def test_a_text_of_many_passages_has_one_rank_that_of_its_best() -> None:
    assert (await quality(("the sea shines", "rain"))).hit_3 == 1.0
    assert (await quality(("the sea shines", "rain"))).hit_1 == 0.0


def test_ranks_beyond_ten_and_those_not_found_count_nothing() -> None:
    found = RetrievalQuality.of([1, 2, 4, 11, None])
    assert (found.questions, found.hit_1, found.hit_3, found.hit_5) == (5, 0.2, 0.4, 0.6)
    assert found.mrr_10 == pytest.approx((1 + 1 / 2 + 1 / 4) / 5)
    with pytest.raises(ValueError, match="one question"):
        RetrievalQuality.of([])


def test_a_question_must_name_a_text_that_is_there_and_there_must_be_one() -> None:
    for questions in ((), (("What?", "hail"),)):
        with pytest.raises(InvalidInput):
            question_set(*questions)
