"""Questions outside of a conversation, and what a caller may want of one answer."""

from dataclasses import replace

import pytest

from domains.conversational_ai.model.tool_call import Tool, ToolCall, ToolChoice
from domains.conversational_ai.model.turn import NO_WISHES, OneOff, PastMessage, Wishes
from domains.conversational_ai.ports.generative_model import AnswerFinished, FinishReason, Role
from shared_kernel.errors import InvalidInput, NotFound
from shared_kernel.identifiers import new_id
from tests.port_contracts.turns import answering_agent
from tests.unit.conversational_ai.turn_house import TurnHouse, answered, fields

TOLD = (PastMessage("user", "Hello"), PastMessage("assistant", "Hello. How can I help?"))


async def test_the_history_is_what_the_caller_tells() -> None:
    agent = answering_agent()
    house = await TurnHouse.make(["Nine."], agent=agent)
    message = house.message("How much?", conversation_id=None, one_off=OneOff(agent_id=agent.id, history=TOLD))
    asked = await house.replica().ask(message)
    completed = fields((await answered(asked))[-2])
    assert completed["finish_reason"] == "stop"
    [request] = house.model.requests
    assert [(m.role.value, m.content) for m in request.messages] == [(m.role, m.content) for m in TOLD]
    assert (request.question, asked.conversation_id) == ("How much?", asked.turn_id)
    await answered(await house.replica().ask(house.message("And here?")))
    assert house.model.requests[1].messages == (), "nothing of it is in the conversation"


@pytest.mark.parametrize(("window", "kept"), [(0, 0), (1, 1), (2, 2), (3, 2)])
async def test_the_agent_looks_back_no_further_than_in_a_conversation(window: int, kept: int) -> None:
    agent = answering_agent(context_window=window)
    house = await TurnHouse.make(["Nine."], agent=agent)
    await answered(await house.replica().ask(house.message(conversation_id=None, one_off=OneOff(agent_id=agent.id, history=TOLD))))
    assert [m.content for m in house.model.requests[0].messages] == [m.content for m in TOLD[2 - kept :]]


async def test_it_is_asked_in_a_conversation_or_of_an_agent() -> None:
    agent = answering_agent()
    house = await TurnHouse.make(["Nine."], agent=agent)
    for message in (house.message(conversation_id=None), house.message(one_off=OneOff(agent_id=agent.id))):
        with pytest.raises(InvalidInput):
            await house.replica().ask(message)
    with pytest.raises(NotFound):
        await house.replica().ask(house.message(conversation_id=None, one_off=OneOff(agent_id=new_id())))


async def test_wishes_hold_for_one_answer_and_raise_no_limit() -> None:
    house = await TurnHouse.make(["Nine."])
    wishes = Wishes(guidance=" Answer in one word. ", temperature=0.0, max_tokens=20, end_user="ada@example.com")
    for said in (wishes, replace(wishes, max_tokens=100_000), NO_WISHES):
        await answered(await house.replica().ask(house.message(wishes=said)))
    wished, limited, plain = house.model.requests
    assert (wished.guidance, wished.temperature, wished.max_tokens) == ("Answer in one word.", 0.0, 20)
    assert limited.max_tokens == plain.max_tokens == 500
    assert (plain.guidance, plain.temperature, plain.end_user) == ("", 0.3, None)
    assert wished.instructions == plain.instructions, "the agent's own stay as they are"
    assert wished.end_user is not None
    assert "ada" not in wished.end_user
    assert wished.end_user == limited.end_user


async def test_why_an_answer_ended_is_kept_with_it() -> None:
    house = await TurnHouse.make(["Nine eu", AnswerFinished(FinishReason.CONTENT_FILTER, 10, 5, False, "scripted", "tests")])
    asked = await house.replica().ask(house.message())
    assert fields((await answered(asked))[-2])["finish_reason"] == "content_filter"
    answer = (await house.record(asked.turn_id)).answer
    assert answer is not None
    assert answer.finish_reason == "content_filter"


async def test_calls_are_the_answer_and_what_they_gave_comes_back() -> None:
    agent, call = answering_agent(), ToolCall("c1", "weather", '{"city": "Paris"}')
    called = AnswerFinished(FinishReason.TOOL_CALLS, 10, 5, False, "scripted", "tests", (call,))
    house = await TurnHouse.make([called], ["Rain."], agent=agent)
    one_off, tools = OneOff(agent_id=agent.id, history=TOLD), (Tool("weather"),)
    asked = await house.replica().ask(house.message(conversation_id=None, one_off=one_off, wishes=Wishes(tools=tools)))
    completed = fields((await answered(asked))[-2])
    assert completed["finish_reason"] == "tool_calls"
    assert (completed["message"]["content"], completed["message"]["complete"]) == ("", True)
    assert completed["message"]["tool_calls"] == [{"id": "c1", "name": "weather", "arguments": '{"city": "Paris"}'}]
    answer = (await house.record(asked.turn_id)).answer
    assert answer is not None
    assert answer.tool_calls == (call,)
    assert await house.books() == (1, 0)
    gave = (PastMessage("assistant", "", (call,)), PastMessage("tool", "Rain", tool_call_id="c1"))
    wishes = Wishes(tools=tools, tool_choice=ToolChoice("auto"), continuation=gave)
    await answered(await house.replica().ask(house.message(conversation_id=None, one_off=one_off, wishes=wishes)))
    request = house.model.requests[1]
    assert [(m.role, m.content, m.tool_calls, m.tool_call_id) for m in request.continuation] == [
        (Role.ASSISTANT, "", (call,), None),
        (Role.TOOL, "Rain", (), "c1"),
    ]
    assert (request.tools, request.tool_choice) == (tools, ToolChoice("auto"))


async def test_what_a_function_answered_is_not_told_without_its_call() -> None:
    agent = answering_agent(context_window=2)
    house = await TurnHouse.make(["Nine."], agent=agent)
    call = ToolCall("c1", "weather", "{}")
    told = (*TOLD, PastMessage("assistant", "", (call,)), PastMessage("tool", "Rain", tool_call_id="c1"), PastMessage("assistant", "Rain."))
    await answered(await house.replica().ask(house.message(conversation_id=None, one_off=OneOff(agent_id=agent.id, history=told))))
    assert [m.content for m in house.model.requests[0].messages] == ["Rain."]
