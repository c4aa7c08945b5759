from collections.abc import Sequence

import pytest

from domains.conversational_ai.model.citation import Locator
from domains.conversational_ai.model.passage import OPENING_LENGTH, Passage, opening_of, placed
from domains.conversational_ai.model.words import spaced
from domains.conversational_ai.use_cases.passage_vectors import PassageVectors
from shared_kernel.identifiers import new_id
from tests.fakes.embeddings import InMemoryEmbeddings
from tests.fakes.text_analysis import InMemoryTextAnalysis

ORGANIZATION, BASE, SOURCE = new_id(), new_id(), new_id()


def passages(*texts: tuple[str | None, str]) -> Sequence[Passage]:
    return [
        Passage(
            id=new_id(),
            organization_id=ORGANIZATION,
            knowledge_base_id=BASE,
            source_id=SOURCE,
            source_version=1,
            ordinal=ordinal,
            text=text,
            locator=Locator(heading=heading),
        )
        for ordinal, (heading, text) in enumerate(texts)
    ]


def test_what_continues_a_section_is_embedded_with_the_sections_opening() -> None:
    found = placed(passages(("Tyres", "# Tyres\nSnow tyres."), ("Tyres", "They cost forty euros."), ("Oil", "# Oil\nOil.")))
    assert [each.text_to_embed for each in found] == ["# Tyres\nSnow tyres.", "# Tyres\nSnow tyres.\nThey cost forty euros.", "# Oil\nOil."]


def test_a_heading_that_the_opening_does_not_say_stands_above_it() -> None:
    (one, other) = placed(passages(("How?", "First."), ("How?", "Then.")))
    assert (one.text_to_embed, other.text_to_embed) == ("How?\nFirst.", "How?\nFirst.\nThen.")


def test_a_section_may_have_the_heading_of_one_before() -> None:
    found = placed(passages(("Note", "# Note\nOne."), ("Oil", "# Oil"), ("Note", "# Note\nTwo."), ("Note", "Three.")))
    assert [each.opening for each in found] == ["", "", "", "# Note\nTwo."]


async def test_a_later_passage_is_near_to_what_its_section_begins_with_but_has_its_own_words() -> None:
    vectors = PassageVectors(InMemoryEmbeddings(), InMemoryTextAnalysis())
    together = await vectors.of_passages(placed(passages((None, "Snow tyres."), (None, "They cost forty euros."))))
    apart = await vectors.of_passages(placed(passages((None, "They cost forty euros."))))
    question, _ = await vectors.of_question(new_id(), "snow tyres cost")
    near = [sum(a * b for a, b in zip(question, entry.vector, strict=True)) for entry in (apart[0], together[1])]
    assert near[1] > near[0]
    assert together[1].weights == apart[0].weights


@pytest.mark.parametrize("text", ["Short.", "word " * 100, "x" * 500, "z" * OPENING_LENGTH + " more", "y" * (OPENING_LENGTH - 1) + " more"])
def test_an_opening_is_the_beginning_up_to_a_word_that_is_whole(text: str) -> None:
    opening = opening_of(text)
    assert text.startswith(opening)
    assert 0 < len(opening) <= OPENING_LENGTH
    assert " " not in text.strip() or len(text.strip()) <= OPENING_LENGTH or text[len(opening)] == " "


@pytest.mark.parametrize(
    ("damaged", "repaired"),
    [
        ("depuis 2014.Il, les règles:ne communiquez", "depuis 2014.Il, les règles: ne communiquez"),
        ("vos données.Elle répond ?\N{NO-BREAK SPACE}Oui", "vos données. Elle répond ? Oui"),
        ("see https://www.luneo.example/a.html, e.g. at 10:30, U.S.A., YouTube", None),
    ],
)
def test_only_a_space_that_was_lost_is_put_back(damaged: str, repaired: str | None) -> None:
    assert spaced(damaged) == (damaged if repaired is None else repaired)
