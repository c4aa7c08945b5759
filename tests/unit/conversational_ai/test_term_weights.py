import pytest

from domains.conversational_ai.model.term_weights import (
    NO_TERMS,
    SATURATION,
    USUAL_TERMS,
    TermWeights,
    weights_in_passage,
    weights_in_question,
)


def weight(term: str, terms: list[str]) -> float:
    (number,) = weights_in_question([term]).numbers
    found = weights_in_passage(terms)
    return dict(zip(found.numbers, found.weights, strict=True))[number]


def test_a_term_of_a_usual_passage_weighs_one() -> None:
    assert weight("rain", ["rain", *(f"other{number}" for number in range(USUAL_TERMS - 1))]) == pytest.approx(1.0)


def test_a_term_that_is_repeated_weighs_more_but_never_more_than_the_saturation_allows() -> None:
    weights = [weight("rain", ["rain"] * times + ["other"] * (USUAL_TERMS - times)) for times in (1, 2, 10, USUAL_TERMS)]
    assert weights == sorted(set(weights))
    assert weights[-1] < SATURATION + 1


def test_a_term_of_a_long_passage_weighs_less() -> None:
    assert weight("rain", ["rain", "sun"]) > weight("rain", ["rain", *["sun"] * 200])


def test_a_question_has_each_term_as_often_as_it_says_it() -> None:
    found = weights_in_question(["rain", "sun", "rain"])
    assert sorted(found.weights) == [1.0, 2.0, 2.0]  # the last one is "rain" beside "sun"


def test_words_that_stand_together_have_more_in_common() -> None:
    question = set(weights_in_question(["black", "hole"]).numbers)
    together = question & set(weights_in_passage(["a", "black", "hole", "there"]).numbers)
    swapped = question & set(weights_in_passage(["a", "hole", "black", "there"]).numbers)
    apart = question & set(weights_in_passage(["black", "there", "a", "hole"]).numbers)
    assert (len(together), len(swapped), len(apart)) == (3, 3, 2)


def test_nothing_weighs_nothing() -> None:
    assert weights_in_passage([]) == weights_in_question([]) == NO_TERMS
    assert not NO_TERMS


def test_a_number_has_one_weight() -> None:
    for numbers, weights in (((1,), ()), ((1, 1), (0.5, 0.5))):
        with pytest.raises(ValueError, match="one weight"):
            TermWeights(numbers, weights)
