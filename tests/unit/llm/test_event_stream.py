from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.llm.event_stream import CompletionReader
from domains.conversational_ai.model.tool_call import ToolCall
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


def calls(*pieces: dict[str, object], finish: str = "tool_calls") -> bytes:
    chunks = [{"choices": [{"delta": {"tool_calls": [piece]}}]} for piece in pieces]
    return b"".join(b"data: " + msgspec.json.encode(chunk) + b"\n\n" for chunk in chunks) + event(finish=finish) + DONE


PIECES: tuple[dict[str, object], ...] = (
    {"index": 0, "id": "a", "type": "function", "function": {"name": "weather", "arguments": ""}},
    {"index": 0, "function": {"arguments": '{"city":'}},
    {"index": 1, "id": "b", "function": {"name": "time", "arguments": "{}"}},
    {"index": 0, "id": "a", "function": {"arguments": '"Paris"}'}},
)


@pytest.mark.parametrize("finish", ["tool_calls", "stop"])
def test_calls_are_put_together_from_their_pieces(finish: str) -> None:
    reader = CompletionReader()
    assert reader.feed(calls(*PIECES, finish=finish)) == ""
    assert reader.end() is FinishReason.TOOL_CALLS
    assert reader.tool_calls == (ToolCall("a", "weather", '{"city":"Paris"}'), ToolCall("b", "time", "{}"))


def test_calls_without_an_index_are_whole_ones() -> None:
    reader = CompletionReader()
    whole: list[dict[str, object]] = [{"id": i, "function": {"name": i, "arguments": "{}"}} for i in "ab"]
    reader.feed(calls(*whole))
    assert [call.name for call in reader.tool_calls] == ["a", "b"]


@pytest.mark.parametrize(
    "pieces",
    [
        [{"index": 0, "function": {"name": "weather", "arguments": "{}"}}],
        [{"index": 0, "id": "a", "function": {"arguments": "{}"}}],
        [{"index": 0, "id": "a"}],
        [{"index": i, "id": "a", "function": {"name": "f"}} for i in range(200)],
        [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "x" * 200_000}}] * 6,
    ],
    ids=["no id", "no name", "no function", "many", "endless"],
)
def test_a_call_that_cannot_be_made_is_nonsense(pieces: list[dict[str, object]]) -> None:
    def read() -> tuple[ToolCall, ...]:
        reader = CompletionReader()
        reader.feed(calls(*pieces))
        reader.end()
        return reader.tool_calls

    with pytest.raises(ModelAnsweredNonsense):
        read()
