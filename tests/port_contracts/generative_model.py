"""What every `GenerativeModel` does, whoever answers."""

import asyncio
from contextlib import AbstractAsyncContextManager

import pytest

from domains.conversational_ai.ports.generative_model import (
    AnswerBegun,
    AnswerDelta,
    AnswerFinished,
    FinishReason,
    GenerativeModel,
    ModelRequest,
    ReferencePassage,
    TokenPrice,
    UnknownModel,
)

PASSAGE = ReferencePassage(
    number=1,
    text="Refunds are paid within five working days. They go to the card that was used for the purchase.",
    title="Refunds",
    score=0.91,
    heading=None,
    language="en",
)


def request_for(model: str, **changes: object) -> ModelRequest:
    """Return a plain request for `model`, with `changes`."""
    fields: dict[str, object] = {
        "model": model,
        "instructions": "You are the support agent of a shop.",
        "messages": (),
        "question": "When are refunds paid?",
        "passages": (PASSAGE,),
        "language": "en",
        "temperature": None,
        "max_tokens": 500,
        "fallback": "",
        "end_user": None,
    }
    return ModelRequest(**(fields | changes))  # type: ignore[arg-type]


async def answer_of(model: GenerativeModel, request: ModelRequest) -> tuple[list[str], AnswerFinished]:
    """Return the pieces of the answer and its end, having checked that the end comes once and last, and who answers at most first."""
    events = [event async for event in model.stream(request)]
    if isinstance(events[0], AnswerBegun):
        assert (events[0].model, events[0].provider) == (events[-1].model, events[-1].provider)  # type: ignore[union-attr]
        events = events[1:]
    finished = events[-1]
    assert isinstance(finished, AnswerFinished)
    deltas = [event for event in events[:-1] if isinstance(event, AnswerDelta)]
    assert len(deltas) == len(events) - 1, "an answer ends once, last"
    assert all(delta.text for delta in deltas), "no piece is empty"
    return [delta.text for delta in deltas], finished


class GenerativeModelContract:
    """Subclasses give the model under test and one name that it answers to."""

    known = "scripted"

    def model(self) -> AbstractAsyncContextManager[GenerativeModel]:
        """Open the model under test."""
        raise NotImplementedError

    async def test_an_answer_is_pieces_of_text_and_one_end(self) -> None:
        async with self.model() as model:
            pieces, finished = await answer_of(model, request_for(self.known))
        assert "".join(pieces).strip()
        assert finished.finish_reason is FinishReason.STOP

    async def test_the_end_says_what_was_used_and_by_whom(self) -> None:
        async with self.model() as model:
            _, finished = await answer_of(model, request_for(self.known))
            price = model.price(finished.model)
        assert finished.model == self.known
        assert finished.provider
        assert finished.tokens_in > 0
        assert finished.tokens_out > 0
        assert isinstance(price, TokenPrice)

    async def test_an_unknown_model_is_refused_by_name(self) -> None:
        async with self.model() as model:
            with pytest.raises(UnknownModel, match="no-such-model"):
                model.price("no-such-model")
            with pytest.raises(UnknownModel, match="no-such-model"):
                await answer_of(model, request_for("no-such-model"))

    async def test_an_answer_closed_early_leaves_the_model_usable(self) -> None:
        async with self.model() as model:
            stream = model.stream(request_for(self.known))
            first = await anext(stream)
            assert isinstance(await anext(stream) if isinstance(first, AnswerBegun) else first, AnswerDelta)
            await stream.aclose()
            pieces, _ = await answer_of(model, request_for(self.known))
        assert pieces

    async def test_answers_run_side_by_side(self) -> None:
        async with self.model() as model:
            answers = await asyncio.gather(*(answer_of(model, request_for(self.known)) for _ in range(5)))
        assert len({"".join(pieces) for pieces, _ in answers}) == 1
