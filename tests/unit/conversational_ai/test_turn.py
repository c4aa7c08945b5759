"""The turn, on our own fakes: every way it can begin and end, and what the books say afterwards."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import cast
from uuid import UUID

import pytest

from contracts.billing.errors import QuotaExceeded, ReservationNotOpen
from contracts.billing.metrics import Metric
from contracts.conversational_ai.events import TurnCompleted, TurnFailed, TurnStopped
from contracts.idempotency import IdempotencyInProgress, IdempotencyKeyReused
from domains.billing.use_cases.expire_reservations import ExpireReservations
from domains.conversational_ai.model.citation import CitablePassage, Locator
from domains.conversational_ai.model.turn import (
    AgentNotPublished,
    ClientMessageIdReused,
    TurnInProgress,
    TurnState,
)
from domains.conversational_ai.ports.generative_model import (
    AnswerBegun,
    AnswerFinished,
    FinishReason,
    ModelAnsweredNonsense,
    ModelRefused,
    ModelTimedOut,
    ModelUnavailable,
    TokenPrice,
)
from domains.conversational_ai.ports.turn_event_log import LoggedEvent
from domains.conversational_ai.use_cases.follow_turn import FollowTurnHandler
from domains.conversational_ai.use_cases.stop_turn import StopTurn
from shared_kernel.errors import InvalidInput, NotFound, Unavailable
from shared_kernel.identifiers import new_id
from tests.fakes.generative_model import Pause
from tests.fakes.turn_event_log import InMemoryTurnEventLog
from tests.fakes.turns import InMemoryTurnRunners
from tests.port_contracts.quotas import events, of
from tests.port_contracts.turns import answering_agent
from tests.unit.conversational_ai.turn_house import SOON, TurnHouse, answered, fields, names, said, told

BASE = new_id()
WHOLE = ["turn.started", "retrieval.completed", "answer.delta", "answer.delta", "answer.completed", "turn.completed"]


def passage(text: str = "Plans\nThe Pro plan costs 49 euros. Ask us.", score: float = 0.9, number: int = 1) -> CitablePassage:
    return CitablePassage(number, new_id(), new_id(), "Prices", text, Locator(heading="Plans", start=100, end=100 + len(text)), score)


async def until(reached: asyncio.Event) -> None:
    await asyncio.wait_for(reached.wait(), SOON)


async def settled() -> None:
    """Let every turn of every replica end."""
    async with asyncio.timeout(SOON):
        while tasks := [t for t in asyncio.all_tasks() if t.get_name() == "turn"]:
            await asyncio.wait(tasks)


class TestCompleted:
    async def test_the_stream_tells_the_steps_then_the_answer_then_the_end(self) -> None:
        house = await TurnHouse.make(["Nine ", "euros."])
        asked = await house.replica().ask(house.message())
        events_told = await answered(asked)
        assert names(events_told) == WHOLE
        assert [e.sequence for e in events_told] == [1, 2, 3, 4, 5, 6]
        for event in events_told:
            assert fields(event)["turn_id"] == str(asked.turn_id)
            assert fields(event)["sequence"] == event.sequence
        completed = fields(events_told[4])
        assert completed["message"]["content"] == said(events_told) == "Nine euros."
        assert completed["message"]["role"] == "assistant"
        assert set(completed["message"]) == {"id", "role", "content", "citations", "confidence", "complete"}
        assert set(completed["usage"]) == {"tokens_in", "tokens_out", "estimated", "cost"}

    async def test_the_answer_is_stored_before_its_end_is_told(self) -> None:
        house = await TurnHouse.make(["Nine euros."])
        asked = await house.replica().ask(house.message())
        async for batch in asked.events:
            if any(e.name in {"answer.completed", "turn.completed"} for e in batch):
                assert (await house.record(asked.turn_id)).state is TurnState.COMPLETED
        record = await house.record(asked.turn_id)
        assert record.answer is not None
        assert (record.answer.content, record.answer.complete, record.failure) == ("Nine euros.", True, None)
        assert record.last_sequence == 5
        assert set(record.steps) == {"retrieve", "compose", "generate"}
        assert house.observer.steps == ["retrieve", "compose", "generate", "settle"]
        assert await house.books() == (1, 0)
        assert [type(e) for e in house.kept.published] == [TurnCompleted]

    async def test_tokens_and_cost_are_the_providers(self) -> None:
        house = await TurnHouse.make(["Nine.", AnswerFinished(FinishReason.STOP, 1_000, 500, False, "scripted", "tests")])
        asked = await house.replica().ask(house.message())
        usage = fields((await answered(asked))[-2])["usage"]
        assert usage == {"tokens_in": 1_000, "tokens_out": 500, "estimated": False, "cost": {"amount": 0, "currency": "EUR"}}
        answer = (await house.record(asked.turn_id)).answer
        assert answer is not None
        assert answer.usage.cost_micros == 2_000, "1,000 at 1 EUR and 500 at 2 EUR per million"
        [out] = of(await events(house.world.billing, house.caller), Metric.TOKENS_OUT)
        assert (out.quantity, out.cost_micro) == (500, 200_000)

    async def test_an_answer_of_a_fallback_is_recorded_and_priced_as_that_models(self) -> None:
        end = AnswerFinished(FinishReason.STOP, 1_000, 500, False, "local", "second")
        agent = replace(answering_agent(), fallback_models=("local",))
        house = await TurnHouse.make([AnswerBegun("local", "second"), "Nine euros.", end], agent=agent)
        house.model.prices["local"] = TokenPrice("USD", 10_000_000, 20_000_000)
        asked = await house.replica().ask(house.message())
        await answered(asked)
        assert house.model.requests[0].fallbacks == ("local",)
        answer = (await house.record(asked.turn_id)).answer
        assert answer is not None
        assert (answer.model, answer.provider) == ("local", "second")
        assert (answer.usage.cost_micros, answer.usage.currency) == (20_000, "USD")

    async def test_the_part_that_a_fallback_said_before_it_broke_off_is_priced_as_its_own(self) -> None:
        house = await TurnHouse.make([AnswerBegun("local", "second"), "Nine ", ModelUnavailable()])
        house.model.prices["local"] = TokenPrice("USD", 0, 20_000_000)
        asked = await house.replica().ask(house.message())
        assert names(await answered(asked))[-1] == "turn.failed"
        answer = (await house.record(asked.turn_id)).answer
        assert answer is not None
        assert (answer.model, answer.provider, answer.complete) == ("local", "second", False)
        assert (answer.usage.cost_micros, answer.usage.currency) == (20, "USD")

    async def test_a_sandbox_key_never_falls_back_to_a_model_that_costs_money(self) -> None:
        house = await TurnHouse.make(["Nine."], agent=replace(answering_agent(), fallback_models=("scripted-2",)), sandbox=True)
        await answered(await house.replica().ask(house.message()))
        assert (house.model.requests[0].model, house.model.requests[0].fallbacks) == ("local", ())

    @pytest.mark.parametrize("reason", [FinishReason.LENGTH, FinishReason.CONTENT_FILTER])
    async def test_an_answer_that_was_cut_off_is_marked(self, reason: FinishReason) -> None:
        house = await TurnHouse.make(["Nine eu", AnswerFinished(reason, 10, 5, False, "scripted", "tests")])
        asked = await house.replica().ask(house.message())
        told_events = await answered(asked)
        assert names(told_events)[-2:] == ["answer.completed", "turn.completed"]
        assert fields(told_events[-2])["message"]["complete"] is False
        answer = (await house.record(asked.turn_id)).answer
        assert answer is not None
        assert (answer.content, answer.complete, answer.usage.tokens_out) == ("Nine eu", False, 5)

    async def test_an_answer_that_was_withheld_whole_fails_and_costs_nothing(self) -> None:
        house = await TurnHouse.make([AnswerFinished(FinishReason.CONTENT_FILTER, 10, 0, False, "scripted", "tests")])
        asked = await house.replica().ask(house.message())
        problem = fields((await answered(asked))[-1])["problem"]
        assert (problem["code"], problem["retryable"]) == ("model_withheld", False)
        assert await house.books() == (0, 0)

    async def test_the_model_is_told_the_agent_the_question_and_the_passages(self) -> None:
        agent = replace(answering_agent(knowledge=(BASE,)), languages=("en", "fr"))
        house = await TurnHouse.make(["49 euros [1]."], agent=agent)
        house.retrieval.known = (passage(), passage(score=0.3, number=2))
        told_events = await answered(await house.replica().ask(house.message("How much is Pro?")))
        [request] = house.model.requests
        assert request.instructions == "Help visitors.\n\nBe brief.\n\nTone: friendly."
        assert (request.question, request.messages, request.model) == ("How much is Pro?", (), "scripted")
        assert (request.temperature, request.max_tokens, request.fallback) == (0.3, 500, "I do not know.")
        assert (request.top_p, request.frequency_penalty, request.presence_penalty) == (0.9, -0.5, 0.25)
        assert [p.text for p in request.passages] == [passage().text], "what is below the cut-off is not shown"
        assert passage().text not in request.instructions
        assert house.retrieval.asked == [(house.caller.tenant, (BASE,), "How much is Pro?")]
        assert [p["title"] for p in fields(told_events[1])["passages"]] == ["Prices"]
        [citation] = fields(told_events[-2])["message"]["citations"]
        assert (citation["quote"], citation["number"]) == ("The Pro plan costs 49 euros.", 1)
        start, end = citation["locator"]["start"] - 100, citation["locator"]["end"] - 100
        assert passage().text[start:end] == citation["quote"]

    async def test_a_source_cannot_cite_another_in_the_answers_name(self) -> None:
        house = await TurnHouse.make(["49 euros [1]."], agent=answering_agent(knowledge=(BASE,)))
        house.retrieval.known = (passage("The Pro plan costs 49 euros [2]."), passage(number=2))
        await answered(await house.replica().ask(house.message("How much is Pro?")))
        assert [p.text for p in house.model.requests[0].passages] == ["The Pro plan costs 49 euros (2).", passage().text]

    async def test_without_knowledge_nothing_is_searched(self) -> None:
        house = await TurnHouse.make(["Hello."])
        await answered(await house.replica().ask(house.message()))
        assert house.retrieval.asked == []

    @pytest.mark.parametrize(
        ("fixed", "content", "language"),
        [
            (None, "How much does it cost?", "en"),
            (None, "Combien ça coûte ?", "fr"),
            (None, "???", "fr"),
            ("en", "Combien ça coûte ?", "en"),
        ],
    )
    async def test_the_answer_is_in_the_visitors_language_unless_the_conversation_has_one(
        self, fixed: str | None, content: str, language: str
    ) -> None:
        house = await TurnHouse.make(["…"], language=fixed)
        await answered(await house.replica().ask(house.message(content)))
        assert house.model.requests[0].language == language

    @pytest.mark.parametrize(("content", "fallback"), [("Combien ça coûte ?", "I do not know."), ("How much does it cost?", "")])
    async def test_the_agents_own_words_for_nothing_found_are_in_its_main_language_alone(self, content: str, fallback: str) -> None:
        house = await TurnHouse.make(["…"])
        await answered(await house.replica().ask(house.message(content)))
        assert house.model.requests[0].fallback == fallback, "in another language the model words it"

    async def test_history_is_newest_first_within_a_budget_of_tokens_and_told_oldest_first(self) -> None:
        long = "word " * 1_400
        house = await TurnHouse.make([long], agent=answering_agent(context_window=100))
        replica = house.replica()
        for n in range(4):
            await answered(await replica.ask(house.message(f"question {n}")))
        past = house.model.requests[-1].messages
        assert [(m.role.value, m.content.split()[0]) for m in past] == [
            ("user", "question"),
            ("assistant", "word"),
            ("user", "question"),
            ("assistant", "word"),
        ], "two answers of 1,400 words fit in 3,000 with their questions, a third does not"
        assert [m.content for m in past[::2]] == ["question 1", "question 2"]

    async def test_what_neither_utf8_nor_postgres_can_hold_is_left_out(self) -> None:
        house = await TurnHouse.make(["a\x00b", "\ud83d", "c"])
        asked = await house.replica().ask(house.message())
        told_events = await answered(asked)
        assert names(told_events)[-1] == "turn.completed"
        answer = (await house.record(asked.turn_id)).answer
        assert answer is not None
        assert answer.content == said(told_events) == "ab?c"


class TestStopped:
    async def test_before_the_first_token_nothing_is_kept_nor_charged(self) -> None:
        pause = Pause()
        house = await TurnHouse.make([pause, "never"])
        replica = house.replica()
        asked = await replica.ask(house.message())
        await until(pause.reached)
        found = await replica.stop(StopTurn(turn_id=asked.turn_id, requested_by=house.caller))
        assert found.state is TurnState.RUNNING
        told_events = await answered(asked)
        assert names(told_events) == ["turn.started", "retrieval.completed", "turn.stopped"]
        assert "message" not in fields(told_events[-1])
        assert (await house.record(asked.turn_id)).state is TurnState.STOPPED
        assert await house.books() == (0, 0)
        assert [type(e) for e in house.kept.published] == [TurnStopped]
        assert house.model.interrupted == 1

    async def test_after_some_text_the_part_is_kept_and_metered_as_estimated(self) -> None:
        pause = Pause()
        house = await TurnHouse.make(["Nine euros ", pause, "never"])
        replica = house.replica()
        asked = await replica.ask(house.message())
        await until(pause.reached)
        for _ in range(3):  # asking again changes nothing
            await replica.stop(StopTurn(turn_id=asked.turn_id, requested_by=house.caller))
        told_events = await answered(asked)
        last = fields(told_events[-1])
        assert (told_events[-1].name, last["message"]["content"], last["usage"]["estimated"]) == ("turn.stopped", "Nine euros ", True)
        record = await house.record(asked.turn_id)
        assert record.answer is not None
        assert (record.state, record.answer.complete, record.answer.usage.tokens_out) == (TurnState.STOPPED, False, 2)
        assert await house.books() == (1, 0)

    async def test_before_the_task_began_the_turn_is_stopped_all_the_same(self) -> None:
        house = await TurnHouse.make(["never"])
        replica = house.replica()
        opened = await house.turns.open(replica.ask._question(house.message()))
        running = replica.running.start(opened, streamed=True)
        running.stop()
        assert names(await told(running.stream.follow()))[-1] == "turn.stopped"
        assert (await running.outcome()).state is TurnState.STOPPED
        assert (await house.record(opened.question.turn_id)).state is TurnState.STOPPED
        assert await house.books() == (0, 0)

    async def test_a_turn_that_has_ended_stays_as_it_is(self) -> None:
        house = await TurnHouse.make(["Nine."])
        replica = house.replica()
        asked = await replica.ask(house.message())
        await answered(asked)
        found = await replica.stop(StopTurn(turn_id=asked.turn_id, requested_by=house.caller))
        assert found.state is TurnState.COMPLETED

    async def test_from_another_replica(self) -> None:
        pause = Pause()
        house = await TurnHouse.make(["Nine ", pause])
        here, there = house.replica(), house.replica()
        obeying = asyncio.create_task(here.running.obey_stop_signals())
        asked = await here.ask(house.message())
        await until(pause.reached)
        await there.stop(StopTurn(turn_id=asked.turn_id, requested_by=house.caller))
        assert names(await answered(asked))[-1] == "turn.stopped"
        obeying.cancel()
        await asyncio.gather(obeying, return_exceptions=True)

    async def test_that_cannot_be_told_is_said(self) -> None:
        pause = Pause()
        house = await TurnHouse.make([pause, "later"])
        asked = await house.replica().ask(house.message())
        await until(pause.reached)
        house.signals.gone = True
        with pytest.raises(Unavailable):
            await house.replica().stop(StopTurn(turn_id=asked.turn_id, requested_by=house.caller))
        pause.go_on.set()
        assert names(await answered(asked))[-1] == "turn.completed"

    async def test_another_organisation_stops_nothing(self) -> None:
        pause = Pause()
        house = await TurnHouse.make([pause, "Nine."])
        replica = house.replica()
        asked = await replica.ask(house.message())
        await until(pause.reached)
        stranger = await house.world.caller()
        with pytest.raises(NotFound):
            await replica.stop(StopTurn(turn_id=asked.turn_id, requested_by=stranger))
        assert replica.running.find(stranger.tenant, asked.turn_id) is None
        pause.go_on.set()
        assert names(await answered(asked))[-1] == "turn.completed"


class TestFailed:
    @pytest.mark.parametrize("error", [ModelTimedOut("after 30 s"), ModelRefused("no such model"), ModelAnsweredNonsense("broken JSON")])
    async def test_a_model_that_fails_before_any_text_costs_nothing(self, error: ModelTimedOut) -> None:
        house = await TurnHouse.make([error])
        asked = await house.replica().ask(house.message())
        told_events = await answered(asked)
        assert names(told_events) == ["turn.started", "retrieval.completed", "turn.failed"]
        problem = fields(told_events[-1])["problem"]
        assert problem == {"code": error.code, "title": error.title, "detail": error.detail, "status": 503, "retryable": error.retryable}
        record = await house.record(asked.turn_id)
        assert record.failure is not None
        assert (record.state, record.answer, record.failure.code) == (TurnState.FAILED, None, error.code)
        assert await house.books() == (0, 0)
        [happened] = house.kept.published
        assert isinstance(happened, TurnFailed)
        assert (happened.code, happened.retryable, happened.message_id) == (error.code, error.retryable, None)

    async def test_a_stream_that_breaks_keeps_and_meters_what_was_said(self) -> None:
        house = await TurnHouse.make(["Nine euros", ModelTimedOut("silent for 30 s")])
        asked = await house.replica().ask(house.message())
        last = (await answered(asked))[-1]
        assert last.name == "turn.failed"
        assert fields(last)["message"]["content"] == "Nine euros"
        record = await house.record(asked.turn_id)
        assert record.answer is not None
        assert (record.state, record.answer.complete, record.answer.usage.estimated) == (TurnState.FAILED, False, True)
        assert await house.books() == (1, 0)

    @pytest.mark.parametrize("script", [[" \n"], [AnswerFinished(FinishReason.STOP, 5, 0, False, "scripted", "tests")]])
    async def test_an_answer_that_says_nothing_is_no_answer(self, script: list[str]) -> None:
        house = await TurnHouse.make(script)
        asked = await house.replica().ask(house.message())
        assert fields((await answered(asked))[-1])["problem"]["code"] == "model_answered_nonsense"
        record = await house.record(asked.turn_id)
        assert (record.state, record.answer) == (TurnState.FAILED, None)
        assert await house.books() == (0, 0)

    async def test_the_hard_limit_ends_it(self) -> None:
        pause = Pause()
        house = await TurnHouse.make(["Nine ", pause, "never"])
        house.turn_seconds = 0.05
        asked = await house.replica().ask(house.message())
        last = (await answered(asked))[-1]
        assert (last.name, fields(last)["problem"]["code"], fields(last)["problem"]["retryable"]) == ("turn.failed", "turn_timed_out", True)
        assert (await house.record(asked.turn_id)).state is TurnState.FAILED
        assert await house.books() == (1, 0), "what was said before counts"

    async def test_knowledge_that_does_not_answer_fails_it(self) -> None:
        house = await TurnHouse.make(["never"], agent=answering_agent(knowledge=(BASE,)))
        house.retrieval.failure = Unavailable("The index does not answer")
        asked = await house.replica().ask(house.message())
        told_events = await answered(asked)
        assert names(told_events) == ["turn.started", "turn.failed"]
        assert fields(told_events[-1])["problem"]["retryable"] is True
        assert house.model.requests == []
        assert await house.books() == (0, 0)

    async def test_a_defect_of_ours_closes_the_books_and_tells_no_secret(self) -> None:
        house = await TurnHouse.make(["never"], agent=answering_agent(knowledge=(BASE,)))
        house.retrieval.failure = ZeroDivisionError("password=hunter2")
        asked = await house.replica().ask(house.message())
        last = (await answered(asked))[-1]
        assert fields(last)["problem"]["code"] == "internal_error"
        assert b"hunter2" not in last.data
        assert [type(e) for e in house.observer.defects] == [ZeroDivisionError]
        assert await house.books() == (0, 0)

    async def test_an_answer_that_cannot_be_stored_is_given_up_and_the_visitor_told(self) -> None:
        lie = AnswerFinished(FinishReason.STOP, cast("int", None), 1, False, "scripted", "tests")  # breaks its port's promise
        house = await TurnHouse.make(["Nine.", lie])
        asked = await house.replica().ask(house.message())
        last = (await answered(asked))[-1]
        assert (last.name, fields(last)["problem"]["code"]) == ("turn.failed", "internal_error")
        record = await house.record(asked.turn_id)
        assert (record.state, record.answer, record.last_sequence) == (TurnState.FAILED, None, last.sequence)
        assert await house.books() == (0, 0)
        assert [type(e) for e in house.observer.defects] == [TypeError]

    async def test_a_shutdown_lets_it_finish(self) -> None:
        pause = Pause()
        house = await TurnHouse.make([pause, "Nine."])
        replica = house.replica()
        asked = await replica.ask(house.message())
        await until(pause.reached)
        draining = asyncio.create_task(replica.running.drain(SOON))
        pause.go_on.set()
        assert names(await answered(asked))[-1] == "turn.completed"
        await draining

    @pytest.mark.parametrize("text", ["Nine ", None])
    async def test_a_shutdown_that_cannot_wait_fails_it_as_retryable(self, text: str | None) -> None:
        pause = Pause()
        house = await TurnHouse.make([text, pause] if text else [pause])
        replica = house.replica()
        asked = await replica.ask(house.message())
        await until(pause.reached)
        await replica.running.drain(0.01)
        last = (await answered(asked))[-1]
        assert (last.name, fields(last)["problem"]["code"], fields(last)["problem"]["retryable"]) == (
            "turn.failed",
            "turn_interrupted",
            True,
        )
        assert await house.books() == ((1, 0) if text else (0, 0))
        assert house.model.interrupted == 1
        assert len(house.model.requests) == 1, "it is never run again by itself"

    async def test_a_process_that_goes_away_leaves_it_to_the_sweeper(self) -> None:
        pause = Pause()
        house = await TurnHouse.make(["Nine ", pause])
        replica = house.replica()
        await house.world.runners.beat(replica.running.runner_id, house.clock.now())
        asked = await replica.ask(house.message())
        await until(pause.reached)
        assert await house.sweeper()() == 0, "its runner lives"
        house.clock.at += timedelta(seconds=21)
        assert await house.sweeper()() == 1
        record = await house.record(asked.turn_id)
        assert record.failure is not None
        assert (record.state, record.answer, record.failure.code, record.failure.retryable) == (
            TurnState.FAILED,
            None,
            "turn_interrupted",
            True,
        )
        assert await house.books() == (0, 0)
        assert await house.sweeper()() == 0
        pause.go_on.set()  # the process was only slow: its answer comes too late
        told_events = await answered(asked)
        assert (told_events[-1].name, fields(told_events[-1])["problem"]["code"]) == ("turn.failed", "turn_not_running")
        assert (await house.record(asked.turn_id)) == record
        assert await house.books() == (0, 0)
        assert len(house.kept.published) == 1

    @pytest.mark.parametrize("after", [0, 2, 7])
    async def test_whoever_resumes_after_the_sweeper_is_told_the_end(self, after: int) -> None:
        pause = Pause()
        house = await TurnHouse.make(["Nine ", pause])
        asked = await house.replica().ask(house.message())
        await until(pause.reached)
        house.clock.at += timedelta(seconds=21)
        assert await house.sweeper()() == 1
        house.log = InMemoryTurnEventLog()  # the process died before its events reached the log
        resumed = [event async for batch in await house.replica().follow(house.caller, asked.turn_id, after=after) for event in batch]
        assert [(event.name, event.sequence) for event in resumed] == [("turn.failed", after + 1)]
        pause.go_on.set()
        await answered(asked)

    async def test_an_answer_after_the_reservation_expired_loses(self) -> None:
        pause = Pause()
        house = await TurnHouse.make([pause, "Nine."])
        asked = await house.replica().ask(house.message())
        await until(pause.reached)
        house.clock.at += timedelta(seconds=151)
        await house.world.billing.expire(ExpireReservations())
        pause.go_on.set()
        last = (await answered(asked))[-1]
        assert fields(last)["problem"]["code"] == ReservationNotOpen.code
        assert await events(house.world.billing, house.caller) == []
        assert await house.sweeper()() == 1
        assert await house.books() == (0, 0)


class TestDatabaseAway:
    async def test_while_settling_is_tried_until_it_is_back(self) -> None:
        house = await TurnHouse.make(["Nine."])
        house.turns.losses.extend(["request"] * 4)
        asked = await house.replica().ask(house.message())
        assert names(await answered(asked))[-1] == "turn.completed"
        assert (house.turns.ends, await house.books()) == (5, (1, 0))

    async def test_a_lost_acknowledgement_is_not_a_second_end(self) -> None:
        house = await TurnHouse.make(["Nine."])
        house.turns.losses.extend(["acknowledgement", "request"])
        asked = await house.replica().ask(house.message())
        assert names(await answered(asked))[-1] == "turn.completed"
        assert house.turns.ends == 3
        assert await house.books() == (1, 0)
        assert len(house.kept.published) == 1
        assert len(of(await events(house.world.billing, house.caller), Metric.MESSAGES_AI)) == 1

    async def test_silence_counts_once_the_database_has_been_back_for_as_long(self) -> None:
        pause = Pause()
        house = await TurnHouse.make(["Nine.", pause])
        replica = house.replica()
        runners = house.world.runners
        assert isinstance(runners, InMemoryTurnRunners)
        await runners.beat(replica.running.runner_id, house.clock.now())
        asked = await replica.ask(house.message())
        await until(pause.reached)
        house.clock.at += timedelta(seconds=30)
        runners.started_at = house.clock.now()
        assert await house.sweeper()() == 0, "while the database was away nobody could be heard"
        pause.go_on.set()
        assert names(await answered(asked))[-1] == "turn.completed"

    async def test_for_too_long_is_told_and_left_to_the_sweeper(self) -> None:
        house = await TurnHouse.make(["Nine."])
        house.turns.losses.extend(["request"] * 1_000)
        pauses: list[float] = []

        async def advance(seconds: float) -> None:
            pauses.append(seconds)
            house.clock.at += timedelta(seconds=40)

        house.pause = advance
        asked = await house.replica().ask(house.message())
        last = (await answered(asked))[-1]
        assert (last.name, fields(last)["problem"]["code"]) == ("turn.failed", "service_unavailable")
        assert pauses == [0.25, 0.5, 1, 2], "150 s are left to the reservation"
        house.turns.losses.clear()
        assert await house.sweeper()() == 1
        assert await house.books() == (0, 0)


class TestClocksOfReplicas:
    async def test_messages_stay_in_order_whichever_replica_is_ahead(self) -> None:
        house = await TurnHouse.make(["Nine."], ["Free."], ["Nine!"])
        first = await house.replica().ask(house.message("How much?"))
        await answered(first)
        kept = house.kept.conversations[house.conversation_id].messages
        for message, hours in zip(kept, (1, 2), strict=True):  # as if a replica two hours ahead had answered
            message.id = UUID(int=message.id.int + (hours * 3_600_000 << 80))
        question_id = kept[0].id
        kept[1].parent_id = question_id
        replica = house.replica()
        await answered(await replica.ask(house.message("And free?")))
        assert [m.content for m in sorted(kept, key=lambda m: m.id)] == ["How much?", "Nine.", "And free?", "Free."]
        assert house.model.requests[-1].messages[-1].content == "Nine."
        await answered(await replica.ask(replace(house.message("How much, please?"), edit_of=question_id)))
        shown = [m.content for m in sorted(kept, key=lambda m: m.id) if m.shown]
        assert shown == ["How much, please?", "Nine!"]


class TestAskedAgain:
    async def test_the_same_message_id_and_content_is_the_same_turn(self) -> None:
        house = await TurnHouse.make(["Nine."])
        replica = house.replica()
        first = await replica.ask(house.message(client_message_id="m-1"))
        before = await answered(first)
        house.clock.at += timedelta(seconds=9)
        second = await replica.ask(house.message(client_message_id="m-1"))
        assert (second.turn_id, second.repeated, first.repeated) == (first.turn_id, True, False)
        assert second.asked_at == first.asked_at == house.clock.at - timedelta(seconds=9)
        assert [e.data for e in await answered(second)] == [e.data for e in before]
        assert (len(house.model.requests), await house.books()) == (1, (1, 0))

    async def test_while_it_runs_a_message_id_follows_and_a_key_is_refused(self) -> None:
        pause = Pause()
        house = await TurnHouse.make(["Nine ", pause, "euros."])
        replica = house.replica()
        first = await replica.ask(house.message(client_message_id="m-1", idempotency_key="k-1"))
        await until(pause.reached)
        second = await replica.ask(house.message(client_message_id="m-1"))
        with pytest.raises(IdempotencyInProgress):
            await replica.ask(house.message(client_message_id="m-1", idempotency_key="k-1"))
        pause.go_on.set()
        assert said(await answered(second)) == said(await answered(first)) == "Nine euros."
        third = await replica.ask(house.message(client_message_id="m-1", idempotency_key="k-1"))
        assert (third.turn_id, third.repeated) == (first.turn_id, True)
        assert await house.books() == (1, 0)

    async def test_a_key_that_comes_with_a_known_message_id_is_remembered(self) -> None:
        house = await TurnHouse.make(["Nine."])
        replica = house.replica()
        first = await replica.ask(house.message(client_message_id="m-1"))
        await answered(first)
        for _ in range(2):
            again = await replica.ask(house.message(client_message_id="m-1", idempotency_key="k-1"))
            assert (again.turn_id, again.repeated) == (first.turn_id, True)
        for other in (house.message("Else", idempotency_key="k-1"), house.message(client_message_id="m-2", idempotency_key="k-1")):
            with pytest.raises(IdempotencyKeyReused):
                await replica.ask(other)
        assert len(house.model.requests) == 1

    async def test_with_another_content_is_refused(self) -> None:
        house = await TurnHouse.make(["Nine."])
        replica = house.replica()
        await answered(await replica.ask(house.message(client_message_id="m-1", idempotency_key="k-1")))
        with pytest.raises(ClientMessageIdReused):
            await replica.ask(house.message("Something else", client_message_id="m-1"))
        with pytest.raises(IdempotencyKeyReused):
            await replica.ask(house.message("Something else", idempotency_key="k-1"))
        other = await house.world.conversation(house.caller)
        with pytest.raises(IdempotencyKeyReused):
            await replica.ask(house.message(conversation_id=other, idempotency_key="k-1"))
        assert await house.books() == (1, 0)

    @pytest.mark.parametrize("said", [{"idempotency_key": "k-1"}, {"client_message_id": "m-1"}])
    async def test_a_turn_that_failed_without_an_answer_is_asked_again(self, said: dict[str, str]) -> None:
        house = await TurnHouse.make([ModelTimedOut("late")], ["Nine."])
        replica = house.replica()
        first = await replica.ask(house.message(**said))
        assert names(await answered(first))[-1] == "turn.failed"
        again = await replica.ask(house.message(**said))
        assert (again.repeated, names(await answered(again))[-1]) == (False, "turn.completed")
        assert again.turn_id != first.turn_id
        assert (await replica.ask(house.message(**said))).turn_id == again.turn_id

    async def test_a_turn_that_failed_after_a_part_is_told_again_as_it_was(self) -> None:
        house = await TurnHouse.make(["Half", ModelTimedOut("late")])
        replica = house.replica()
        first = await replica.ask(house.message(idempotency_key="k-1"))
        told_first = await answered(first)
        again = await replica.ask(house.message(idempotency_key="k-1"))
        assert again.repeated
        assert fields((await answered(again))[-1])["problem"] == fields(told_first[-1])["problem"]
        assert (await again.outcome()).failure == (await first.outcome()).failure

    async def test_ten_times_at_once_runs_once(self) -> None:
        house = await TurnHouse.make(["Nine."])
        replica = house.replica()
        asked = await asyncio.gather(*(replica.ask(house.message(client_message_id="m-1")) for _ in range(10)))
        assert len({a.turn_id for a in asked}) == 1
        assert {said(await answered(a)) for a in asked} == {"Nine."}
        assert (len(house.model.requests), await house.books()) == (1, (1, 0))

    async def test_another_message_while_it_runs_is_refused(self) -> None:
        pause = Pause()
        house = await TurnHouse.make([pause, "Nine."])
        replica = house.replica()
        asked = await replica.ask(house.message())
        await until(pause.reached)
        for extra in ({}, {"client_message_id": "other"}, {"idempotency_key": "other"}):
            with pytest.raises(TurnInProgress):
                await replica.ask(house.message("And now?", **extra))
        pause.go_on.set()
        await answered(asked)
        assert await house.books() == (1, 0)


class TestRefused:
    @pytest.mark.parametrize("content", ["", "  \n", "x" * 8_001, "a\x00b", "half \ud83d"])
    async def test_contents_that_are_no_message(self, content: str) -> None:
        house = await TurnHouse.make(["never"])
        with pytest.raises(InvalidInput) as refused:
            await house.replica().ask(house.message(content))
        assert [e.field for e in refused.value.errors] == ["content"]
        assert house.kept.rounds == 0

    @pytest.mark.parametrize("client_message_id", ["", "x" * 201, "a\nb", "\x00"])
    async def test_message_ids_that_are_none(self, client_message_id: str) -> None:
        house = await TurnHouse.make(["never"])
        with pytest.raises(InvalidInput):
            await house.replica().ask(house.message(client_message_id=client_message_id))

    async def test_contents_at_the_bound_are_trimmed_and_taken(self) -> None:
        house = await TurnHouse.make(["Yes."])
        await answered(await house.replica().ask(house.message("  " + "é" * 8_000 + "\n")))
        assert house.model.requests[0].question == "é" * 8_000

    async def test_a_draft_answers_nobody(self) -> None:
        house = await TurnHouse.make(["never"])
        draft = await house.world.conversation(house.caller, published=False)
        with pytest.raises(AgentNotPublished):
            await house.replica().ask(house.message(conversation_id=draft))

    async def test_another_organisations_conversation_is_not_there(self) -> None:
        house = await TurnHouse.make(["never"])
        stranger = await house.world.caller()
        for conversation_id in (house.conversation_id, new_id()):
            with pytest.raises(NotFound):
                await house.replica().ask(house.message(requested_by=stranger, conversation_id=conversation_id))

    async def test_without_quota(self) -> None:
        house = await TurnHouse.make(["never"], plan="free")
        async with house.world.billing.unit(house.caller) as unit:
            await house.world.billing.quotas.take(
                unit, metric=Metric.MESSAGES_AI, quantity=1_000, cause="test", cause_id=new_id(), at=house.clock.now()
            )
        with pytest.raises(QuotaExceeded):
            await house.replica().ask(house.message())
        assert house.model.requests == []

    async def test_a_new_period_is_opened_once_and_the_question_asked(self) -> None:
        house = await TurnHouse.make(["Nine."])
        house.clock.at += timedelta(days=45)
        rounds = house.kept.rounds
        await answered(await house.replica().ask(house.message()))
        assert house.kept.rounds - rounds == 3, "open, open again, end"
        assert await house.books() == (1, 0)
        rounds = house.kept.rounds
        await answered(await house.replica().ask(house.message()))
        assert house.kept.rounds - rounds == 2


class TestSandbox:
    async def test_the_local_model_answers_and_nothing_runs_into_overage(self) -> None:
        house = await TurnHouse.make(["Nine."], sandbox=True, agent=answering_agent(model="scripted"))
        asked = await house.replica().ask(house.message())
        await answered(asked)
        assert house.model.requests[0].model == "local"
        answer = (await house.record(asked.turn_id)).answer
        assert answer is not None
        assert answer.model == "local"

    async def test_a_part_of_its_answer_is_the_local_models_too(self) -> None:
        house = await TurnHouse.make(["Nine ", ModelTimedOut("slow")], sandbox=True)
        asked = await house.replica().ask(house.message())
        await answered(asked)
        answer = (await house.record(asked.turn_id)).answer
        assert answer is not None
        assert answer.model == "local"


class TestFollowed:
    async def test_from_any_event_on_without_gap_or_repetition(self) -> None:
        pause = Pause()
        house = await TurnHouse.make(["a", "b", pause, "c"])
        replica = house.replica()
        asked = await replica.ask(house.message())
        await until(pause.reached)
        followers = [asyncio.create_task(_follow(house, replica.follow, asked.turn_id, after)) for after in range(6)]
        await asyncio.sleep(0)
        pause.go_on.set()
        whole = await answered(asked)
        for after, follower in enumerate(followers):
            assert await follower == whole[after:]

    @pytest.mark.parametrize("after", [0, 2, 4, 6, 99])
    @pytest.mark.parametrize("log", ["kept", "gone", "forgotten"])
    async def test_elsewhere_after_the_end(self, after: int, log: str) -> None:
        house = await TurnHouse.make(["Nine ", "euros."])
        asked = await house.replica().ask(house.message())
        whole = await answered(asked)
        await settled()
        house.log.gone = log == "gone"
        if log == "forgotten":
            house.log.forget()
        told_events = await told(await house.replica().follow(house.caller, asked.turn_id, after=after))
        expected = whole[after:] if log == "kept" else [e for e in whole[-2:] if e.sequence > after]
        assert told_events == expected

    async def test_elsewhere_while_it_runs(self) -> None:
        pause = Pause()
        house = await TurnHouse.make(["Nine ", pause, "euros."])
        asked = await house.replica().ask(house.message())
        await until(pause.reached)
        follower = asyncio.create_task(_follow(house, house.replica().follow, asked.turn_id, 1))
        await asyncio.sleep(0)
        pause.go_on.set()
        whole = await answered(asked)
        assert await follower == whole[1:]

    async def test_one_that_was_asked_whole_is_told_where_it_runs_and_elsewhere_its_end_alone(self) -> None:
        pause = Pause()
        house = await TurnHouse.make(["Nine ", pause, "euros."])
        here, elsewhere = house.replica(), house.replica()
        asked = await here.ask(house.message(streamed=False))
        await until(pause.reached)
        beside = asyncio.create_task(_follow(house, here.follow, asked.turn_id, 0))
        await asyncio.sleep(0)
        pause.go_on.set()
        whole = await beside
        assert names(whole) == WHOLE
        await settled()
        assert not await house.log.exists(house.caller.tenant, asked.turn_id)
        for replica in (here, elsewhere):
            assert await told(await replica.follow(house.caller, asked.turn_id, after=0)) == whole[-2:]

    @pytest.mark.parametrize("after", [0, 3])
    async def test_the_end_that_a_sweeper_wrote_is_told(self, after: int) -> None:
        pause = Pause()
        house = await TurnHouse.make(["Nine ", pause])
        asked = await house.replica().ask(house.message())
        await until(pause.reached)
        house.log.forget()
        house.clock.at += timedelta(seconds=21)
        await house.sweeper()()
        told_events = await told(await house.replica().follow(house.caller, asked.turn_id, after=after))
        assert names(told_events) == ["turn.failed"]
        assert told_events[0].sequence == after + 1 == fields(told_events[0])["sequence"]
        assert fields(told_events[0])["problem"]["code"] == "turn_interrupted"
        pause.go_on.set()
        await answered(asked)

    async def test_by_another_organisation_is_not_found(self) -> None:
        house = await TurnHouse.make(["Nine."])
        replica = house.replica()
        asked = await replica.ask(house.message())
        await answered(asked)
        stranger = replace(house.caller, organization_id=new_id())
        with pytest.raises(NotFound):
            await replica.follow(stranger, asked.turn_id, after=0)

    async def test_a_client_that_leaves_does_not_stop_the_accounting(self) -> None:
        pause = Pause()
        house = await TurnHouse.make(["Nine ", pause, "euros."])
        asked = await house.replica().ask(house.message())
        async for _ in asked.events:
            break
        await until(pause.reached)
        pause.go_on.set()
        await settled()
        record = await house.record(asked.turn_id)
        assert record.answer is not None
        assert (record.state, record.answer.content) == (TurnState.COMPLETED, "Nine euros.")
        assert await house.books() == (1, 0)


async def _follow(house: TurnHouse, follow: FollowTurnHandler, turn_id: UUID, after: int) -> list[LoggedEvent]:
    return await told(await follow(house.caller, turn_id, after=after))
