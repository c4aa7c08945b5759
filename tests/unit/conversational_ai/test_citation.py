"""A quote is found verbatim at its locator, whatever the model wrote."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from domains.conversational_ai.model.citation import CitablePassage, Locator, cite, without_marks
from shared_kernel.identifiers import new_id

SOURCE = new_id()
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=600) | st.lists(
    st.sampled_from(["Le plan Pro coûte 49 €.", "Ask us!", "\n", " ", "Version 2.0 is out.", "Straße?", "…", "ǅ", "\u0301", "第一章。"]),
    min_size=1,
    max_size=20,
).map("".join)
MARKS = st.lists(
    st.sampled_from(["[1]", "[2]", "[3]", "[0]", "[99]", "[007]", "[1", "]", "The Pro plan costs 49. ", "rien "]), max_size=15
).map("".join)


def passage(number: int, text: str, start: int | None = 0, score: float = 0.87654) -> CitablePassage:
    end = None if start is None else start + len(text)
    return CitablePassage(number, new_id(), SOURCE, f"title {number}", text, Locator(page=3, heading="H", start=start, end=end), score)


@given(st.lists(TEXT, min_size=1, max_size=3), st.integers(0, 10_000), MARKS | TEXT)
def test_every_quote_stands_verbatim_at_its_locator(texts: list[str], start: int, answer: str) -> None:
    passages = [passage(n, text, start * n) for n, text in enumerate(texts, start=1)]
    for citation in cite(answer, passages):
        cited = passages[citation.number - 1]
        base, place = cited.locator.start, citation.locator
        assert base is not None
        assert place.start is not None
        assert place.end is not None
        assert cited.text[place.start - base : place.end - base] == citation.quote
        assert len(citation.quote) <= 400
        assert (place.page, place.heading, citation.title, citation.source_id) == (3, "H", cited.title, SOURCE)


@given(st.integers(0, 3), MARKS)
def test_each_cited_passage_once_in_the_order_of_first_marks(known: int, answer: str) -> None:
    numbers = [c.number for c in cite(answer, [passage(n, "One sentence.") for n in range(1, known + 1)])]
    places = [min(answer.find(mark) for mark in (f"[{n}]", f"[00{n}]") if mark in answer) for n in numbers]
    assert len(set(numbers)) == len(numbers)
    assert all(1 <= n <= known for n in numbers)
    assert places == sorted(places)


def test_the_quote_is_the_sentence_that_the_claim_shares_most_words_with() -> None:
    text = "Luneo has plans.\nThe Pro plan costs 49 euros. The free plan costs nothing."
    for claim, quote in (
        ("Free costs nothing [1].", "The free plan costs nothing."),
        ("Le Pro coûte 49 euros [1].", "The Pro plan costs 49 euros."),
    ):
        [citation] = cite(claim, [passage(1, text, 10)])
        assert (citation.quote, citation.score) == (quote, 0.8765)
        assert citation.locator.start == 10 + text.index(quote)


def test_sentences_that_are_said_together_are_quoted_together() -> None:
    """An answer of several rows quoted the first, whichever of them was asked for."""
    table = "name;price\nZephyr lamp;49 €\nOrage lamp;89 €\nLune lamp;12 €"
    [citation] = cite("name;price Zephyr lamp;49 € Orage lamp;89 € [1]", [passage(1, table, 10)])
    assert citation.quote == "name;price\nZephyr lamp;49 €\nOrage lamp;89 €"
    assert (citation.locator.start, citation.locator.end) == (10, 10 + len(citation.quote))


def test_no_more_is_quoted_together_than_a_quote_may_have() -> None:
    text = " ".join(f"The Pro plan costs {n} euros." for n in range(100))
    [citation] = cite(text + " [1]", [passage(1, text)])
    assert 370 < len(citation.quote) <= 400
    assert citation.quote.endswith("euros.")


def test_each_mark_is_judged_by_the_words_since_the_mark_before() -> None:
    plans = "The Pro plan costs 49 euros. The free plan costs nothing."
    first, second = cite("Free: nothing [1]. Pro: 49 euros [2].", [passage(1, plans), passage(2, plans)])
    assert (first.quote, second.quote) == ("The free plan costs nothing.", "The Pro plan costs 49 euros.")


def test_without_offsets_there_are_none() -> None:
    [citation] = cite("Yes [1].", [passage(1, "Yes indeed.", None)])
    assert (citation.quote, citation.locator.start, citation.locator.end) == ("Yes indeed.", None, None)


def test_an_answer_without_marks_or_passages_cites_nothing() -> None:
    assert cite("Nothing to see.", [passage(1, "x")]) == ()
    assert cite("See [1] and [2].", []) == ()
    assert isinstance(SOURCE, UUID)


def test_marks_that_follow_each_other_stand_for_the_same_words() -> None:
    plans = "Luneo has plans. The Pro plan costs 49 euros. The free plan costs nothing."
    first, second = cite("The Pro plan costs 49 euros [1][2].", [passage(1, plans), passage(2, plans)])
    assert first.quote == second.quote == "The Pro plan costs 49 euros."


def test_a_mark_without_a_passage_takes_no_words_from_the_next() -> None:
    plans = "Luneo has plans. The Pro plan costs 49 euros."
    [citation] = cite("The Pro plan costs 49 euros [9] [1].", [passage(1, plans)])
    assert citation.quote == "The Pro plan costs 49 euros."


def test_a_sources_own_marks_are_none() -> None:
    assert cite(without_marks("As the other source says [2], [003]."), [passage(n, "One sentence.") for n in (1, 2, 3)]) == ()


def quote_of(answer: str, text: str) -> str:
    (citation,) = cite(answer, [passage(1, text)])
    return citation.quote


def test_a_sentence_that_was_wrapped_is_quoted_whole() -> None:
    text = "Les chiens sont admis. Un supplément de 4\neuros par nuit et par animal\nest demandé.\nTout départ tardif est facturé."
    assert quote_of("Un supplément de 4 euros par nuit et par animal est demandé. [1]", text) == (
        "Un supplément de 4\neuros par nuit et par animal\nest demandé."
    )


def test_sentences_that_follow_each_other_and_are_both_said_are_quoted_together() -> None:
    text = "Dogs are welcome on a lead. One dog is allowed for each pitch. The pool closes at eight. Dogs pay four euros."
    assert quote_of("Dogs are welcome on a lead. One dog is allowed for each pitch. [1]", text) == (
        "Dogs are welcome on a lead. One dog is allowed for each pitch."
    )
    assert quote_of("Dogs pay four euros. [1]", text) == "Dogs pay four euros."


def test_headings_items_and_rows_are_quoted_by_themselves() -> None:
    text = "# Prices\n- one euro for a bread\n- two euros for a cake\n| Size | Price |\n|---|---|\n| small | three euros |"
    assert quote_of("Two euros for a cake [1]", text) == "- two euros for a cake"
    assert quote_of("Three euros for the small one [1]", text) == "| small | three euros |"
    assert quote_of("Size: small · Price: three euros [1]", text) == "| Size | Price |\n|---|---|\n| small | three euros |"
