from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.llm.event_stream import CompletionReader
from domains.conversational_ai.ports.generative_model import FinishReason, ModelAnsweredNonsense
from tests.integration.llm.raw_upstream import DONE, event

ANSWER = event("Où") + b": comment\n\n" + event(" ça ?") + event("", finish="stop") + event(usage=(5, 3)) + DONE


@given(st.lists(st.integers(0, len(ANSWER)), max_size=12), st.booleans())
def test_where_the_bytes_are_cut_makes_no_difference(cuts: list[int], carriage_returns: bool) -> None:
    answer = ANSWER.replace(b"\n", b"\r\n") if carriage_returns else ANSWER
    reader = CompletionReader()
    places = [0, *sorted(cuts), len(answer)]
    said = "".join(reader.feed(answer[start:stop]) for start, stop in pairwise(places))
    assert said == "Où ça ?"
    assert reader.end() is FinishReason.STOP
    assert reader.usage is not None
    assert (reader.usage.prompt_tokens, reader.usage.completion_tokens) == (5, 3)


@given(st.integers(0, len(ANSWER) - len(b"data: [DONE]\n\n") - 1))
def test_an_answer_that_stops_anywhere_is_never_whole(length: int) -> None:
    reader = CompletionReader()
    reader.feed(ANSWER[:length])
    with pytest.raises(ModelAnsweredNonsense):
        reader.end()


@given(st.binary(max_size=300))
def test_any_bytes_are_text_or_nonsense(noise: bytes) -> None:
    def read() -> FinishReason:
        reader = CompletionReader()
        reader.feed(noise)
        return reader.end()

    with pytest.raises(ModelAnsweredNonsense):
        read()


def test_the_end_mark_may_lack_its_empty_line() -> None:
    reader = CompletionReader()
    reader.feed(event("Yes", finish="stop") + b"data: [DONE]")
    assert reader.end() is FinishReason.STOP


def test_nothing_counts_after_the_end_mark() -> None:
    reader = CompletionReader()
    assert reader.feed(event("Yes", finish="stop") + DONE + event(" and no")) == "Yes"
