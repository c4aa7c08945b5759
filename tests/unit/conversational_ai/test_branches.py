"""A question answered anew, and one asked in the place of an earlier one, on our fakes."""

from typing import Any

import pytest

from contracts.idempotency import IdempotencyInProgress, IdempotencyKeyReused
from domains.conversational_ai.model.turn import NotInCurrentBranch, TurnInProgress
from domains.conversational_ai.ports.generative_model import ModelTimedOut
from domains.conversational_ai.use_cases.regenerate_answer import RegenerateAnswer
from shared_kernel.errors import NotFound
from shared_kernel.identifiers import new_id
from tests.fakes.generative_model import Pause
from tests.port_contracts.turns import request_key
from tests.unit.conversational_ai.turn_house import TurnHouse, answered, names, said


def anew(house: TurnHouse, turn_id: Any, key: str | None = None) -> RegenerateAnswer:
    return RegenerateAnswer(
        turn_id=turn_id, requested_by=house.caller, idempotency_key=None if key is None else request_key(key, f"anew {turn_id}")
    )


def told_to_model(house: TurnHouse) -> list[str]:
    """What the model was told last: the history, then the question."""
    request = house.model.requests[-1]
    return [*(m.content for m in request.messages), request.question]


async def test_the_same_question_is_answered_anew_by_a_turn_of_its_own() -> None:
    house = await TurnHouse.make(["First."], ["Second."], ["Third."])
    replica = house.replica()
    asked = await replica.ask(house.message("How much?"))
    await answered(asked)
    again = await replica.regenerate(anew(house, asked.turn_id))
    assert said(await answered(again)) == "Second."
    assert (again.conversation_id, again.repeated) == (house.conversation_id, False)
    assert again.turn_id != asked.turn_id
    assert told_to_model(house) == ["How much?"]
    await answered(await replica.ask(house.message("And Pro?")))
    assert told_to_model(house) == ["How much?", "Second.", "And Pro?"]
    assert await house.books() == (3, 0)


async def test_a_turn_that_answered_anew_can_be_answered_anew() -> None:
    house = await TurnHouse.make(["First."], ["Second."], ["Third."])
    replica = house.replica()
    asked = await replica.ask(house.message())
    for expected in ("Second.", "Third."):
        await answered(asked)
        asked = await replica.regenerate(anew(house, asked.turn_id))
        assert said(await answered(asked)) == expected


async def test_a_new_answer_that_fails_leaves_the_earlier_one() -> None:
    house = await TurnHouse.make(["First."], [ModelTimedOut()], ["Second."])
    replica = house.replica()
    asked = await replica.ask(house.message("How much?"))
    await answered(asked)
    assert names(await answered(await replica.regenerate(anew(house, asked.turn_id, "k-1"))))[-1] == "turn.failed"
    await answered(await replica.ask(house.message("And Pro?")))
    assert told_to_model(house) == ["How much?", "First.", "And Pro?"]


async def test_a_repeated_key_gives_the_same_new_answer() -> None:
    house = await TurnHouse.make(["First."], ["Second."])
    replica = house.replica()
    asked = await replica.ask(house.message())
    await answered(asked)
    first = await replica.regenerate(anew(house, asked.turn_id, "k-1"))
    await answered(first)
    again = await replica.regenerate(anew(house, asked.turn_id, "k-1"))
    assert (again.turn_id, again.repeated) == (first.turn_id, True)
    assert len(house.model.requests) == 2
    with pytest.raises(IdempotencyKeyReused):
        await replica.regenerate(anew(house, first.turn_id, "k-1"))


async def test_nothing_is_answered_anew_while_a_turn_runs() -> None:
    pause = Pause()
    house = await TurnHouse.make(["First."], [pause, "Second."])
    replica = house.replica()
    asked = await replica.ask(house.message())
    await answered(asked)
    running = await replica.regenerate(anew(house, asked.turn_id, "k-1"))
    with pytest.raises(TurnInProgress):
        await replica.regenerate(anew(house, asked.turn_id))
    with pytest.raises(IdempotencyInProgress):
        await replica.regenerate(anew(house, asked.turn_id, "k-1"))
    pause.go_on.set()
    await answered(running)


async def test_a_turn_that_is_not_there_is_not_answered_anew() -> None:
    house = await TurnHouse.make(["First."])
    with pytest.raises(NotFound):
        await house.replica().regenerate(anew(house, new_id()))


async def test_an_edited_question_goes_on_from_the_place_of_the_earlier_one() -> None:
    house = await TurnHouse.make(["…"])
    replica = house.replica()
    await answered(await replica.ask(house.message("one")))
    second = await replica.ask(house.message("two"))
    await answered(second)
    place = (await house.world.turns.question(house.caller, second.turn_id)).message_id
    edited = await replica.ask(house.message("two, edited", edit_of=place, client_message_id="m-1"))
    await answered(edited)
    assert told_to_model(house) == ["one", "…", "two, edited"]
    await answered(await replica.ask(house.message("three")))
    assert told_to_model(house) == ["one", "…", "two, edited", "…", "three"]
    repeated = await replica.ask(house.message("two, edited", edit_of=place, client_message_id="m-1"))
    assert (repeated.turn_id, repeated.repeated) == (edited.turn_id, True), "the same edit again is the same turn"
    with pytest.raises(NotInCurrentBranch):
        await replica.ask(house.message("two, once more", edit_of=place))
    with pytest.raises(NotInCurrentBranch):
        await replica.regenerate(anew(house, second.turn_id))
