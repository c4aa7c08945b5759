"""Answers of an agreed form: which forms there may be, and what becomes of an answer that has it not."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from domains.conversational_ai.model.answer_format import AnswerFormat, expressions_of
from domains.conversational_ai.model.citation import CitablePassage, Locator
from domains.conversational_ai.model.tool_call import Tool, ToolCall
from domains.conversational_ai.model.turn import Wishes
from domains.conversational_ai.ports.generative_model import AnswerFinished, FinishReason, ModelUnavailable, Role
from domains.conversational_ai.use_cases.stop_turn import StopTurn
from shared_kernel.errors import InvalidInput
from shared_kernel.identifiers import new_id
from tests.fakes.generative_model import Pause
from tests.port_contracts.turns import answering_agent
from tests.unit.conversational_ai.turn_house import TurnHouse, answered, fields, names, said

PRICE = AnswerFormat({"type": "object", "properties": {"price": {"type": "integer"}}, "required": ["price"]}, "price")
GOOD, BAD = '{"price": 49}', '{"price": "49"}'


def finished(tokens_in: int, tokens_out: int, reason: FinishReason = FinishReason.STOP) -> AnswerFinished:
    return AnswerFinished(reason, tokens_in, tokens_out, False, "scripted", "tests")


def forming(form: AnswerFormat | None = PRICE, **more: Any) -> Any:
    return replace(answering_agent(**more), answer_format=form)


class TestWhichFormsThereMayBe:
    @pytest.mark.parametrize(
        ("schema", "why"),
        [
            ({"type": "array"}, "must describe an object"),
            ({}, "must describe an object"),
            ({"type": "object", "description": "x" * 20_001}, "must have at most 20000"),
            ({"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(1_000)}}, "must have at most 20000 bytes"),
            ({"type": "object", "title": "\0"}, "U+0000"),
            ({"type": "object", "properties": {"\ud800": {}}}, "surrogates"),
            ({"type": "object", "$ref": "#/$defs/a", "$defs": {"a": {"properties": {"b": {"$ref": "#/$defs/a"}}}}}, "in a circle"),
            ({"type": "object", "allOf": [{"$ref": "#"}]}, "in itself alone"),
            ({"type": "object", "allOf": [{"$ref": "https://example.com/schema"}]}, "in itself alone"),
            ({"type": "object", "allOf": [{"$ref": "#/$defs/nowhere"}]}, "which is not there"),
            # a decoy at the place that the reference spells, and the circle at the one that it means
            (
                {"type": "object", "%24defs": {"a": {}}, "$defs": {"a": {"properties": {"a": {"$ref": "#/%24defs/a"}}}}},
                "in a circle",
            ),
            ({"type": "object", "allOf": [{"$ref": "#/%zz"}], "%zz": {}}, "hexadecimal"),
            ({"type": "object", "allOf": [{"$ref": "#/%ff"}], "%ff": {}}, "no UTF-8"),
            (
                {"type": "object", "properties": {"a": {"$schema": "http://json-schema.org/draft-04/schema#", "id": "http://x/"}}},
                "$schema at the top alone",
            ),
            ({"type": "object", "unevaluatedProperties": False}, "must not use unevaluatedProperties"),
            ({"type": "object", "$dynamicRef": "#a"}, "must not use $dynamicRef"),
        ],
    )
    def test_a_schema_that_cannot_be_used_is_refused(self, schema: dict[str, object], why: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            AnswerFormat(schema, "price")
        [error] = refused.value.errors
        assert error.field == "response_format.json_schema.schema"
        assert why in error.detail

    def test_depth_is_bounded(self) -> None:
        schema: dict[str, object] = {"type": "object"}
        for _ in range(40):
            schema = {"type": "object", "not": schema}
        with pytest.raises(InvalidInput, match="32 levels"):
            AnswerFormat(schema, "deep")

    def test_references_count_as_what_they_lead_to(self) -> None:
        """A short text can stand for a schema of astronomical size."""
        steps = {f"s{i}": {"anyOf": [{"$ref": f"#/$defs/s{i + 1}"}] * 2} for i in range(30)}
        with pytest.raises(InvalidInput, match="5000 parts"):
            AnswerFormat({"type": "object", "$ref": "#/$defs/s0", "$defs": {**steps, "s30": {}}}, "bomb")

    def test_references_follow_each_other_only_so_far(self) -> None:
        steps = {f"n{i}": {"$ref": f"#/$defs/n{i + 1}"} for i in range(550)}
        with pytest.raises(InvalidInput, match="more than 32 references"):
            AnswerFormat({"type": "object", "$defs": {**steps, "n550": {}}}, "chain")

    def test_expressions_count_where_references_lead_to_them(self) -> None:
        schema: dict[str, object] = {
            "type": "object",
            "properties": {"pattern": {"$ref": "#/$defs/code"}, "b": {"$ref": "#/%24defs/code"}},
            "patternProperties": {"^x-": {}, "^y-": {"type": "string"}},
            "$defs": {"code": {"pattern": "^[A-Z]+$"}},
        }
        assert expressions_of(schema) == 2 + 2 + 1

    def test_keywords_may_be_names_of_properties(self) -> None:
        AnswerFormat(
            {"type": "object", "properties": {"$ref": {"type": "string"}, "$id": {}, "unevaluatedItems": {}, "$schema": {}}}, "odd"
        )

    @pytest.mark.parametrize("name", ["", "a b", "é", "a" * 65])
    def test_a_name_is_letters_digits_underscores_and_dashes(self, name: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            AnswerFormat({"type": "object"}, name)
        assert [e.field for e in refused.value.errors] == ["response_format.json_schema.name"]


class TestAnswers:
    async def test_an_answer_of_the_form_is_told_whole(self) -> None:
        house = await TurnHouse.make(['{"price"', ": 49}"], agent=forming())
        events = await answered(await house.replica().ask(house.message()))
        assert names(events).count("answer.delta") == 1
        assert said(events) == GOOD
        assert house.model.requests[0].answer_format == PRICE

    async def test_the_model_is_shown_once_what_is_wrong_and_both_attempts_are_settled_together(self) -> None:
        house = await TurnHouse.make([BAD, finished(10, 4)], [GOOD, finished(30, 5)], agent=forming())
        asked = await house.replica().ask(house.message())
        events = await answered(asked)
        assert said(events) == GOOD
        first, second = house.model.requests
        assert second == replace(first, continuation=second.continuation)
        shown, told = second.continuation
        assert (shown.role, shown.content, told.role) == (Role.ASSISTANT, BAD, Role.USER)
        assert "/price" in told.content
        assert '"required": ["price"]' in told.content
        answer = (await house.record(asked.turn_id)).answer
        assert answer is not None
        assert (answer.content, answer.complete) == (GOOD, True)
        assert (answer.usage.tokens_in, answer.usage.tokens_out, answer.usage.cost_micros) == (40, 9, 40 + 2 * 9)
        assert await house.books() == (1, 0)

    async def test_a_second_wrong_answer_fails_the_turn_and_is_metered(self) -> None:
        house = await TurnHouse.make([BAD, finished(10, 4)], ["sorry", finished(30, 1)], agent=forming())
        asked = await house.replica().ask(house.message())
        events = await answered(asked)
        assert len(house.model.requests) == 2
        assert "answer.delta" not in names(events), "nothing is told that has not the form"
        problem = fields(events[-1])["problem"]
        assert (problem["code"], problem["retryable"]) == ("answer_format_violated", True)
        assert "not JSON" in problem["detail"]
        answer = (await house.record(asked.turn_id)).answer
        assert answer is not None
        assert (answer.content, answer.complete) == ("sorry", False)
        assert (answer.usage.tokens_in, answer.usage.tokens_out) == (40, 5)
        assert await house.books() == (1, 0)

    async def test_when_nothing_comes_of_the_second_attempt_the_first_is_what_there_is(self) -> None:
        house = await TurnHouse.make([BAD, finished(10, 4)], [ModelUnavailable("gone")], agent=forming())
        asked = await house.replica().ask(house.message())
        assert fields((await answered(asked))[-1])["problem"]["code"] == "model_unavailable"
        answer = (await house.record(asked.turn_id)).answer
        assert answer is not None
        assert (answer.content, answer.usage.tokens_in, answer.usage.tokens_out) == (BAD, 10, 4)

    async def test_a_break_in_the_second_attempt_counts_what_came_of_it(self) -> None:
        house = await TurnHouse.make([BAD, finished(10, 4)], ['{"pri', ModelUnavailable("gone")], agent=forming())
        asked = await house.replica().ask(house.message())
        await answered(asked)
        answer = (await house.record(asked.turn_id)).answer
        assert answer is not None
        assert (answer.content, answer.usage.estimated) == ('{"pri', True)
        assert answer.usage.tokens_in > 10
        assert answer.usage.tokens_out > 4

    async def test_what_a_stop_leaves_was_not_told_before(self) -> None:
        pause = Pause()
        house = await TurnHouse.make(['{"price"', pause, ": 49}"], agent=forming())
        replica = house.replica()
        asked = await replica.ask(house.message())
        await asyncio.wait_for(pause.reached.wait(), 5)
        await replica.stop(StopTurn(turn_id=asked.turn_id, requested_by=house.caller))
        events = await answered(asked)
        assert names(events)[-1] == "turn.stopped"
        assert "answer.delta" not in names(events)

    async def test_calls_are_no_answer_yet(self) -> None:
        call = AnswerFinished(FinishReason.TOOL_CALLS, 1, 1, False, "scripted", "tests", (ToolCall("1", "look", "{}"),))
        house = await TurnHouse.make([call], agent=forming())
        events = await answered(await house.replica().ask(house.message(wishes=Wishes(tools=(Tool("look"),)))))
        assert len(house.model.requests) == 1
        assert names(events)[-1] == "turn.completed"

    @pytest.mark.parametrize(
        ("wishes", "form"),
        [
            (Wishes(), PRICE),
            (Wishes(answer_format=AnswerFormat()), AnswerFormat()),
            (Wishes(plain_text=True), None),
        ],
    )
    async def test_a_callers_own_form_comes_before_the_agents(self, wishes: Wishes, form: AnswerFormat | None) -> None:
        house = await TurnHouse.make([GOOD], agent=forming())
        await answered(await house.replica().ask(house.message(wishes=wishes)))
        assert [r.answer_format for r in house.model.requests] == [form]

    async def test_a_list_of_numbers_cites_nothing_and_a_mark_in_a_text_does(self) -> None:
        base = new_id()
        known = CitablePassage(1, new_id(), new_id(), "Prices", "The Pro plan costs 49 euros.", Locator(start=0, end=28), 0.9)
        for text, cited in (('{"price": 49, "of": [1]}', 0), ('{"price": 49, "because": "The Pro plan costs 49 euros [1]."}', 1)):
            house = await TurnHouse.make([text], agent=forming(knowledge=(base,)))
            house.retrieval.known = (known,)
            events = await answered(await house.replica().ask(house.message("How much is Pro?")))
            assert len(fields(events[-2])["message"]["citations"]) == cited, text
