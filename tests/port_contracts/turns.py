"""The contract of `Turns`: what every store of turns does, the books of billing included."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

import pytest

from contracts.billing.errors import QuotaExceeded, QuotaPeriodMissing, ReservationNotOpen
from contracts.billing.metrics import Metric
from contracts.conversational_ai.events import TurnCompleted, TurnFailed, TurnStopped
from contracts.idempotency import LIFETIME_SECONDS, IdempotencyKeyReused, RequestKey
from domains.billing.use_cases.expire_reservations import ExpireReservations
from domains.conversational_ai.model.citation import Citation, Locator
from domains.conversational_ai.model.tool_call import ToolCall
from domains.conversational_ai.model.turn import (
    AgentNotPublished,
    Answer,
    AnsweringAgent,
    ConversationIsAhead,
    Failure,
    NotInCurrentBranch,
    OneOff,
    Question,
    TokenUsage,
    TurnAlreadyAsked,
    TurnEnd,
    TurnInProgress,
    TurnNoLongerRunning,
    TurnState,
)
from domains.conversational_ai.ports.turns import AbandonedTurns, TurnRunners, Turns
from shared_kernel.errors import NotFound
from shared_kernel.events import Event
from shared_kernel.identifiers import id_after, new_id
from shared_kernel.principal import Principal, PrincipalKind
from tests.port_contracts.quotas import BillingWorld, events, of, quota

KNOWLEDGE = new_id()
HOLD = timedelta(seconds=150)
FREE_MESSAGES = 1_000


def answering_agent(*, knowledge: tuple[UUID, ...] = (), context_window: int = 10, model: str = "scripted") -> AnsweringAgent:
    """An agent as its published version says."""
    return AnsweringAgent(
        id=new_id(),
        version=1,
        instructions="Help visitors.",
        custom_instructions="Be brief.",
        tone="friendly",
        fallback="I do not know.",
        languages=("fr", "en"),
        model=model,
        temperature=0.3,
        max_tokens=500,
        context_window=context_window,
        passages=5,
        cut_off=0.5,
        knowledge_base_ids=knowledge,
        fallback_models=("scripted-2",),
        top_p=0.9,
        frequency_penalty=-0.5,
        presence_penalty=0.25,
    )


def request_key(value: str, request: str = "a request") -> RequestKey:
    """A key that came with `request`."""
    return RequestKey(value, hashlib.sha256(request.encode()).digest())


@dataclass
class TurnWorld(ABC):
    """A store of turns with what surrounds it."""

    turns: Turns
    runners: TurnRunners
    abandoned: AbandonedTurns
    billing: BillingWorld

    async def caller(self, plan: str = "free", *, sandbox: bool = False) -> Principal:
        """A person, or a sandbox key, of a new organisation on `plan`."""
        organization = Principal.system(new_id())
        async with self.billing.account_unit(organization) as unit:
            await self.billing.accounts.open(unit, organization_id=organization.tenant, plan=plan, at=self.billing.clock.now())
        kind = PrincipalKind.API_KEY if sandbox else PrincipalKind.USER
        return Principal(kind, new_id(), organization.organization_id, sandbox=sandbox)

    @abstractmethod
    async def conversation(
        self, caller: Principal, agent: AnsweringAgent | None = None, *, published: bool = True, language: str | None = None
    ) -> UUID:
        """A new conversation of the caller's organisation."""

    @abstractmethod
    async def published(self, turn_id: UUID) -> Sequence[Event]:
        """The events that left with the turn's end."""

    def question(self, caller: Principal, conversation_id: UUID, content: str = "How much?", **said: str) -> Question:
        """A question asked now."""
        now = self.billing.clock.now()
        return Question(
            turn_id=new_id(),
            message_id=new_id(),
            conversation_id=conversation_id,
            content=content,
            asked_by=caller,
            asked_at=now,
            expires_at=now + HOLD,
            runner_id=new_id(),
            digest=hashlib.sha256(conversation_id.bytes + content.encode()).digest(),
            client_message_id=said.get("client_message_id"),
            idempotency_key=request_key(said["idempotency_key"]) if "idempotency_key" in said else None,
        )

    def one_off(self, caller: Principal, agent: AnsweringAgent) -> Question:
        """A question outside of any conversation."""
        question = self.question(caller, new_id())
        return replace(question, conversation_id=question.turn_id, one_off=OneOff(agent_id=agent.id))

    def completed(self, question: Question, content: str = "Nine euros.") -> TurnEnd:
        """A whole answer."""
        return TurnEnd(
            turn_id=question.turn_id,
            conversation_id=question.conversation_id,
            state=TurnState.COMPLETED,
            answer=Answer(
                message_id=new_id(),
                content=content,
                citations=(Citation(1, new_id(), "Prices", Locator(heading="Plans", start=3, end=8), "Nine.", 0.91),),
                usage=TokenUsage(120, 30, False, 12_345, "EUR"),
                model="scripted",
                provider="tests",
                complete=True,
                finish_reason="stop",
            ),
            question_id=question.message_id,
            branch_from=question.branch_from,
            steps={"retrieve": 1.5, "generate": 20.25},
            last_sequence=7,
            ended_at=self.billing.clock.now(),
        )

    def failed(self, question: Question) -> TurnEnd:
        """An end without an answer."""
        return replace(
            self.completed(question),
            state=TurnState.FAILED,
            answer=None,
            failure=Failure("model_timed_out", "The model's provider took too long", "after 30 s", retryable=True),
            last_sequence=3,
        )

    def stopped(self, question: Question, *, said: bool) -> TurnEnd:
        """An end that was asked for."""
        whole = self.completed(question)
        assert whole.answer is not None
        return replace(whole, state=TurnState.STOPPED, answer=replace(whole.answer, complete=False) if said else None)

    def instead(self, caller: Principal, earlier: Question, content: str) -> Question:
        """A question asked in the place of an earlier one."""
        return replace(self.question(caller, earlier.conversation_id, content), branch_from=earlier.message_id)

    def again(self, caller: Principal, earlier: Question) -> Question:
        """The same question, to be answered anew."""
        return replace(self.instead(caller, earlier, earlier.content), message_id=earlier.message_id)

    async def answered(self, question: Question, content: str) -> list[str]:
        """Open a turn, answer it, and return what the model was given of the history."""
        opened = await self.turns.open(question)
        await self.turns.end(self.completed(question, content), question.asked_by)
        return [m.content for m in opened.history]

    async def books(self, caller: Principal) -> tuple[int, int]:
        """How many messages are used and reserved."""
        view = await quota(self.billing, caller, Metric.MESSAGES_AI)
        return view.used, view.reserved


class TurnsContract:
    """Opening, ending, finding."""

    async def test_opening_gives_what_is_needed_to_answer_and_holds_the_quota(self, world: TurnWorld) -> None:
        caller = await world.caller()
        agent = answering_agent(knowledge=(KNOWLEDGE,))
        conversation = await world.conversation(caller, agent, language="en")
        question = world.question(caller, conversation)
        opened = await world.turns.open(question)
        assert opened.question == question
        assert replace(opened.agent, id=agent.id) == agent
        assert (opened.language, opened.history) == ("en", ())
        assert await world.books(caller) == (0, 1)
        record = await world.turns.get(caller, question.turn_id)
        assert (record.state, record.answer, record.ended_at, record.last_sequence) == (TurnState.RUNNING, None, None, 0)
        assert record.question_digest == question.digest

    async def test_a_one_off_question_is_answered_by_the_agent_alone_and_takes_no_conversation(self, world: TurnWorld) -> None:
        caller, agent = await world.caller(), answering_agent(knowledge=(KNOWLEDGE,))
        await world.conversation(caller, agent)
        question = world.one_off(caller, agent)
        opened = await world.turns.open(question)
        assert (replace(opened.agent, version=1), opened.language, opened.history) == (agent, None, ())
        end = world.completed(question)
        await world.turns.end(end, caller)
        record = await world.turns.get(caller, question.turn_id)
        assert (record.state, record.answer, record.conversation_id) == (TurnState.COMPLETED, end.answer, question.turn_id)
        assert await world.books(caller) == (1, 0)
        assert {e.metric for e in await events(world.billing, caller)} == {Metric.MESSAGES_AI, Metric.TOKENS_IN, Metric.TOKENS_OUT}
        assert (await quota(world.billing, caller, Metric.CONVERSATIONS)).used == 0

    async def test_an_answer_may_be_calls_alone(self, world: TurnWorld) -> None:
        caller, agent = await world.caller(), answering_agent()
        await world.conversation(caller, agent)
        question = world.one_off(caller, agent)
        await world.turns.open(question)
        end = world.completed(question, "")
        assert end.answer is not None
        calls = (ToolCall("c1", "weather", '{"city": "Paris"}'), ToolCall("c2", "time", "no JSON"))
        end = replace(end, answer=replace(end.answer, tool_calls=calls, finish_reason="tool_calls", citations=()))
        await world.turns.end(end, caller)
        assert (await world.turns.get(caller, question.turn_id)).answer == end.answer

    async def test_nobody_goes_on_where_a_one_off_question_was_asked(self, world: TurnWorld) -> None:
        caller, agent = await world.caller(), answering_agent()
        await world.conversation(caller, agent)
        question = world.one_off(caller, agent)
        await world.turns.open(question)
        await world.turns.end(world.completed(question), caller)
        with pytest.raises(NotFound):
            await world.turns.open(world.question(caller, question.conversation_id))

    async def test_a_one_off_question_is_not_answered_anew(self, world: TurnWorld) -> None:
        caller, agent = await world.caller(), answering_agent()
        await world.conversation(caller, agent)
        question = world.one_off(caller, agent)
        await world.turns.open(question)
        await world.turns.end(world.completed(question), caller)
        earlier = await world.turns.question(caller, question.turn_id)
        again = replace(world.question(caller, earlier.conversation_id), message_id=earlier.message_id, branch_from=earlier.message_id)
        with pytest.raises(NotFound):
            await world.turns.open(again)
        assert await world.books(caller) == (1, 0)

    async def test_one_off_questions_to_one_agent_run_beside_each_other(self, world: TurnWorld) -> None:
        caller, agent = await world.caller(), answering_agent()
        await world.conversation(caller, agent)
        for _ in range(3):
            await world.turns.open(world.one_off(caller, agent))
        assert await world.books(caller) == (0, 3)

    async def test_a_one_off_question_to_another_organisations_agent_is_not_found(self, world: TurnWorld) -> None:
        agent = answering_agent()
        await world.conversation(await world.caller(), agent)
        stranger = await world.caller()
        with pytest.raises(NotFound):
            await world.turns.open(world.one_off(stranger, agent))
        assert await world.books(stranger) == (0, 0)

    async def test_an_answered_turn_is_stored_metered_and_published_once(self, world: TurnWorld) -> None:
        caller = await world.caller()
        question = world.question(caller, await world.conversation(caller))
        await world.turns.open(question)
        end = world.completed(question)
        await world.turns.end(end, caller)
        record = await world.turns.get(caller, question.turn_id)
        assert (record.state, record.answer, record.steps) == (TurnState.COMPLETED, end.answer, end.steps)
        assert (record.last_sequence, record.ended_at) == (7, end.ended_at)
        assert await world.books(caller) == (1, 0)
        spent = {e.metric: (e.quantity, e.cost_micro) for e in await events(world.billing, caller)}
        assert spent == {
            Metric.MESSAGES_AI: (1, None),
            Metric.CONVERSATIONS: (1, None),
            Metric.TOKENS_IN: (120, None),
            Metric.TOKENS_OUT: (30, 1_234_500),
        }
        [happened] = await world.published(question.turn_id)
        assert isinstance(happened, TurnCompleted)
        assert (happened.tokens_in, happened.tokens_out) == (120, 30)

    async def test_a_second_end_changes_nothing(self, world: TurnWorld) -> None:
        caller = await world.caller()
        question = world.question(caller, await world.conversation(caller))
        await world.turns.open(question)
        first = world.completed(question)
        await world.turns.end(first, caller)
        for late in (world.failed(question), world.completed(question, "Ten euros."), world.stopped(question, said=True), first):
            with pytest.raises((TurnNoLongerRunning, ReservationNotOpen)):
                await world.turns.end(late, caller)
        assert (await world.turns.get(caller, question.turn_id)).answer == first.answer
        assert len(of(await events(world.billing, caller), Metric.MESSAGES_AI)) == 1
        assert len(await world.published(question.turn_id)) == 1

    async def test_an_answer_after_the_reservation_expired_is_too_late(self, world: TurnWorld) -> None:
        caller = await world.caller()
        question = world.question(caller, await world.conversation(caller))
        await world.turns.open(question)
        world.billing.clock.at += HOLD + timedelta(seconds=1)
        await world.billing.expire(ExpireReservations())
        with pytest.raises(ReservationNotOpen):
            await world.turns.end(world.completed(question), caller)
        assert (await world.turns.get(caller, question.turn_id)).state is TurnState.RUNNING
        assert await events(world.billing, caller) == []
        await world.turns.end(world.failed(question), caller)
        assert await world.books(caller) == (0, 0)

    async def test_a_turn_without_an_answer_costs_nothing(self, world: TurnWorld) -> None:
        caller = await world.caller()
        conversation = await world.conversation(caller)
        for end in (world.failed, lambda q: world.stopped(q, said=False)):
            question = world.question(caller, conversation)
            await world.turns.open(question)
            await world.turns.end(end(question), caller)
            record = await world.turns.get(caller, question.turn_id)
            assert (record.answer, await world.books(caller)) == (None, (0, 0))
            [happened] = await world.published(question.turn_id)
            assert isinstance(happened, TurnFailed | TurnStopped)
            assert happened.message_id is None
            if isinstance(happened, TurnFailed):
                assert record.failure == world.failed(question).failure
                assert (happened.code, happened.retryable) == ("model_timed_out", True)
        assert await events(world.billing, caller) == []

    async def test_the_part_before_a_stop_is_kept_and_metered(self, world: TurnWorld) -> None:
        caller = await world.caller()
        question = world.question(caller, await world.conversation(caller))
        await world.turns.open(question)
        await world.turns.end(world.stopped(question, said=True), caller)
        record = await world.turns.get(caller, question.turn_id)
        assert record.state is TurnState.STOPPED
        assert record.answer is not None
        assert not record.answer.complete
        assert await world.books(caller) == (1, 0)

    async def test_one_turn_at_a_time_in_a_conversation(self, world: TurnWorld) -> None:
        caller = await world.caller()
        conversation = await world.conversation(caller)
        question = world.question(caller, conversation)
        await world.turns.open(question)
        with pytest.raises(TurnInProgress):
            await world.turns.open(world.question(caller, conversation))
        assert await world.books(caller) == (0, 1), "the refused one holds nothing"
        await world.turns.open(world.question(caller, await world.conversation(caller)))
        await world.turns.end(world.completed(question), caller)
        await world.turns.open(world.question(caller, conversation))

    async def test_history_is_what_was_said_before_oldest_first_within_the_window(self, world: TurnWorld) -> None:
        caller = await world.caller()
        conversation = await world.conversation(caller, answering_agent(context_window=3))
        for n in (1, 2):
            question = world.question(caller, conversation, f"question {n}")
            await world.turns.open(question)
            await world.turns.end(world.completed(question, f"answer {n}"), caller)
        opened = await world.turns.open(world.question(caller, conversation, "question 3"))
        assert [(m.role, m.content) for m in opened.history] == [
            ("assistant", "answer 1"),
            ("user", "question 2"),
            ("assistant", "answer 2"),
        ]

    async def test_a_message_that_would_sort_before_the_last_is_told_it(self, world: TurnWorld) -> None:
        caller = await world.caller()
        conversation = await world.conversation(caller)
        first = world.question(caller, conversation, "q1")
        late, elsewhere = world.question(caller, conversation, "q2"), world.question(caller, await world.conversation(caller), "q3")
        in_place = world.instead(caller, first, "q1 otherwise")
        await world.turns.open(first)
        end = world.completed(first, "a1")
        assert end.answer is not None
        await world.turns.end(end, caller)
        for question in (late, in_place):
            with pytest.raises(ConversationIsAhead) as ahead:
                await world.turns.open(question)
            assert ahead.value.last_message_id == end.answer.message_id
        assert await world.books(caller) == (1, 0)
        assert await world.answered(replace(late, message_id=id_after(end.answer.message_id)), "a2") == ["q1", "a1"]
        assert await world.answered(elsewhere, "a3") == []
        assert await world.answered(world.again(caller, first), "a1 anew") == []

    async def test_a_question_answered_anew_has_the_history_before_it_and_its_new_answer_counts(self, world: TurnWorld) -> None:
        caller = await world.caller()
        conversation = await world.conversation(caller)
        await world.answered(first := world.question(caller, conversation, "q1"), "a1")
        await world.answered(second := world.question(caller, conversation, "q2"), "a2")
        again = world.again(caller, second)
        assert await world.answered(again, "a2 anew") == ["q1", "a1"]
        assert await world.answered(world.again(caller, second), "a2 once more") == ["q1", "a1"]
        third = world.question(caller, conversation, "q3")
        assert await world.answered(third, "a3") == ["q1", "a1", "q2", "a2 once more"]
        assert await world.answered(world.again(caller, first), "a1 anew") == []
        assert await world.answered(world.question(caller, conversation, "q4"), "a4") == ["q1", "a1 anew"]
        assert await world.books(caller) == (7, 0), "each answer is paid"
        before = (await world.turns.get(caller, second.turn_id)).answer
        assert before is not None
        assert before.content == "a2", "what was said stays in the record"

    async def test_the_question_of_a_turn_is_found_also_of_one_that_answered_anew(self, world: TurnWorld) -> None:
        caller = await world.caller()
        first = world.question(caller, await world.conversation(caller), "q1")
        again = world.again(caller, first)
        await world.answered(first, "a1")
        await world.turns.open(again)
        await world.turns.end(world.failed(again), caller)
        for turn_id in (first.turn_id, again.turn_id):
            found = await world.turns.question(caller, turn_id)
            assert (found.conversation_id, found.message_id, found.content) == (first.conversation_id, first.message_id, "q1")
        for stranger, turn_id in ((await world.caller(), first.turn_id), (caller, new_id())):
            with pytest.raises(NotFound):
                await world.turns.question(stranger, turn_id)

    async def test_an_edited_question_takes_the_place_of_the_earlier_one_and_what_came_after(self, world: TurnWorld) -> None:
        caller = await world.caller()
        conversation = await world.conversation(caller)
        questions = []
        for n in (1, 2, 3):
            questions.append(world.question(caller, conversation, f"q{n}"))
            await world.answered(questions[-1], f"a{n}")
        edited = world.instead(caller, questions[1], "q2 edited")
        assert await world.answered(edited, "a2 edited") == ["q1", "a1"]
        assert await world.answered(world.question(caller, conversation, "q4"), "a4") == ["q1", "a1", "q2 edited", "a2 edited"]
        assert await world.answered(world.again(caller, edited), "a2 anew") == ["q1", "a1"]
        assert await world.answered(world.instead(caller, questions[0], "q1 edited"), "a1 edited") == []
        assert await world.answered(world.question(caller, conversation, "q5"), "a5") == ["q1 edited", "a1 edited"]

    async def test_without_a_new_answer_the_conversation_stays_as_it_was(self, world: TurnWorld) -> None:
        caller = await world.caller()
        conversation = await world.conversation(caller)
        first = world.question(caller, conversation, "q1")
        await world.answered(first, "a1")
        for failing in (world.again(caller, first), world.instead(caller, first, "q1 edited")):
            await world.turns.open(failing)
            await world.turns.end(world.failed(failing), caller)
        assert await world.answered(world.question(caller, conversation, "q2"), "a2") == ["q1", "a1"]
        assert await world.answered(world.instead(caller, first, "q1 edited"), "a1 edited") == [], "it can be tried again"

    async def test_only_a_question_of_the_current_branch_can_be_branched_from(self, world: TurnWorld) -> None:
        caller = await world.caller()
        conversation, elsewhere = await world.conversation(caller), await world.conversation(caller)
        asked = []
        for place in (conversation, conversation, elsewhere):
            asked.append(world.question(caller, place, "q"))
            await world.answered(asked[-1], "a")
        first, second, other = asked
        await world.answered(world.instead(caller, first, "q edited"), "a")
        for gone in (first, second):
            for branching in (world.again(caller, gone), world.instead(caller, gone, "other")):
                with pytest.raises(NotInCurrentBranch):
                    await world.turns.open(branching)
        answer = (await world.turns.get(caller, other.turn_id)).answer
        assert answer is not None
        for nowhere in (other.message_id, new_id(), answer.message_id):
            with pytest.raises(NotFound):
                await world.turns.open(replace(world.question(caller, conversation), branch_from=nowhere))
        assert await world.books(caller) == (4, 0), "what is refused holds nothing"
        running = world.question(caller, elsewhere)
        await world.turns.open(running)
        with pytest.raises(TurnInProgress):
            await world.turns.open(world.again(caller, other))

    async def test_a_conversation_is_paid_once(self, world: TurnWorld) -> None:
        caller = await world.caller()
        conversation = await world.conversation(caller)
        for _ in range(2):
            question = world.question(caller, conversation)
            await world.turns.open(question)
            await world.turns.end(world.completed(question), caller)
        found = await events(world.billing, caller)
        assert (len(of(found, Metric.CONVERSATIONS)), len(of(found, Metric.MESSAGES_AI))) == (1, 2)

    async def test_a_repeated_client_message_id_or_key_is_told_and_found(self, world: TurnWorld) -> None:
        caller = await world.caller()
        conversation = await world.conversation(caller)
        question = world.question(caller, conversation, client_message_id="m-1", idempotency_key="k-1")
        await world.turns.open(question)
        await world.turns.end(world.completed(question), caller)
        for said in ({"client_message_id": "m-1"}, {"idempotency_key": "k-1"}):
            with pytest.raises(TurnAlreadyAsked):
                await world.turns.open(world.question(caller, conversation, **said))
        for found in (
            await world.turns.asked_as(caller, conversation, "m-1"),
            await world.turns.asked_under(caller, request_key("k-1"), world.billing.clock.now()),
        ):
            assert found is not None
            assert found.id == question.turn_id
        assert await world.books(caller) == (1, 0)

    async def test_a_key_stands_for_one_request_for_a_day(self, world: TurnWorld) -> None:
        caller, clock = await world.caller(), world.billing.clock
        conversation = await world.conversation(caller)
        question = world.question(caller, conversation, idempotency_key="k-1")
        await world.turns.open(question)
        await world.turns.end(world.completed(question), caller)
        with pytest.raises(IdempotencyKeyReused):
            await world.turns.asked_under(caller, request_key("k-1", "another"), clock.now())
        later = request_key("k-2")
        await world.turns.remember(caller, later, question.turn_id, clock.now())
        found = await world.turns.asked_under(caller, later, clock.now())
        assert found is not None
        assert found.id == question.turn_id
        for known in ("k-1", "k-2"):
            with pytest.raises(TurnAlreadyAsked):
                await world.turns.remember(caller, request_key(known), question.turn_id, clock.now())
        clock.at += timedelta(seconds=LIFETIME_SECONDS)
        await world.billing.quotas.open_periods(caller.tenant)
        assert await world.turns.asked_under(caller, later, clock.now()) is None
        await world.turns.remember(caller, later, question.turn_id, clock.now())
        await world.turns.open(world.question(caller, conversation, idempotency_key="k-1"))
        assert (await world.turns.get(caller, question.turn_id)).answer is not None

    async def test_a_turn_that_failed_without_an_answer_is_asked_again_under_the_same_names(self, world: TurnWorld) -> None:
        caller = await world.caller()
        conversation = await world.conversation(caller)
        names = {"client_message_id": "m-1", "idempotency_key": "k-1"}
        for writer in (caller, Principal.system(caller.tenant)):
            failing = world.question(caller, conversation, **names)
            await world.turns.open(failing)
            await world.turns.end(world.failed(failing), writer)
        for end in (lambda q: replace(world.failed(q), answer=world.stopped(q, said=True).answer), world.completed):
            conversation, other = await world.conversation(caller), {n: f"{v}{new_id()}" for n, v in names.items()}
            question = world.question(caller, conversation, **other)
            await world.turns.open(question)
            await world.turns.end(end(question), caller)
            with pytest.raises(TurnAlreadyAsked):
                await world.turns.open(world.question(caller, conversation, **other))

    async def test_client_message_ids_belong_to_a_conversation_and_keys_to_a_caller(self, world: TurnWorld) -> None:
        caller = await world.caller()
        colleague = replace(caller, id=new_id())
        conversation, other = await world.conversation(caller), await world.conversation(caller)
        first = world.question(caller, conversation, client_message_id="m-1", idempotency_key="k-1")
        await world.turns.open(first)
        await world.turns.open(world.question(colleague, other, client_message_id="m-1", idempotency_key="k-1"))
        third = await world.conversation(caller)
        with pytest.raises(TurnAlreadyAsked):
            await world.turns.open(world.question(caller, third, idempotency_key="k-1"))
        assert await world.turns.asked_as(caller, third, "m-1") is None
        assert await world.turns.asked_under(caller, request_key("k-2"), world.billing.clock.now()) is None

    async def test_nothing_of_another_organisation_is_there(self, world: TurnWorld) -> None:
        caller, stranger = await world.caller(), await world.caller()
        conversation = await world.conversation(caller)
        question = world.question(caller, conversation, client_message_id="m", idempotency_key="k")
        await world.turns.open(question)
        with pytest.raises(NotFound):
            await world.turns.open(world.question(stranger, conversation))
        with pytest.raises(NotFound):
            await world.turns.get(stranger, question.turn_id)
        with pytest.raises((TurnNoLongerRunning, ReservationNotOpen)):
            await world.turns.end(world.completed(question), stranger)
        assert await world.turns.asked_as(stranger, conversation, "m") is None
        assert await world.turns.asked_under(stranger, request_key("k"), world.billing.clock.now()) is None
        assert await world.books(stranger) == (0, 0)
        assert (await world.turns.get(caller, question.turn_id)).state is TurnState.RUNNING

    async def test_what_is_missing_is_not_found_and_holds_nothing(self, world: TurnWorld) -> None:
        caller = await world.caller()
        with pytest.raises(NotFound):
            await world.turns.open(world.question(caller, new_id()))
        with pytest.raises(NotFound):
            await world.turns.get(caller, new_id())
        with pytest.raises(AgentNotPublished):
            await world.turns.open(world.question(caller, await world.conversation(caller, published=False)))
        assert await world.books(caller) == (0, 0)

    async def test_without_quota_nothing_is_asked(self, world: TurnWorld) -> None:
        caller = await world.caller()
        await self.spend(world, caller, FREE_MESSAGES)
        conversation = await world.conversation(caller)
        question = world.question(caller, conversation)
        with pytest.raises(QuotaExceeded) as refused:
            await world.turns.open(question)
        assert refused.value.extra["metric"] == Metric.MESSAGES_AI.value
        with pytest.raises(NotFound):
            await world.turns.get(caller, question.turn_id)

    @pytest.mark.parametrize("sandbox", [True, False])
    async def test_a_sandbox_key_never_runs_into_overage(self, world: TurnWorld, *, sandbox: bool) -> None:
        caller = await world.caller("pro", sandbox=sandbox)
        limit = (await quota(world.billing, caller, Metric.MESSAGES_AI)).limit
        assert isinstance(limit, int)
        await self.spend(world, caller, limit)
        question = world.question(caller, await world.conversation(caller))
        if sandbox:
            with pytest.raises(QuotaExceeded):
                await world.turns.open(question)
        else:
            await world.turns.open(question)

    async def test_a_new_period_has_to_be_opened_first(self, world: TurnWorld) -> None:
        caller = await world.caller()
        conversation = await world.conversation(caller)
        world.billing.clock.at += timedelta(days=40)
        question = world.question(caller, conversation)
        with pytest.raises(QuotaPeriodMissing):
            await world.turns.open(question)
        await world.billing.quotas.open_periods(caller.tenant)
        await world.turns.open(question)
        assert await world.books(caller) == (0, 1)

    async def test_abandoned_turns_are_those_of_silent_runners_and_expired_ones(self, world: TurnWorld) -> None:
        caller = await world.caller()
        clock, silence = world.billing.clock, timedelta(seconds=20)

        async def found() -> set[UUID]:
            rows = await world.abandoned.find(silent_since=clock.now() - silence, expired_before=clock.now(), limit=1000)
            return {turn for organization, _, turn in rows if organization == caller.tenant}

        living, dead, left = [world.question(caller, await world.conversation(caller)) for _ in range(3)]
        for question in (living, dead, left):
            await world.runners.beat(question.runner_id, clock.now())
            await world.turns.open(question)
        assert await found() == set()
        await world.runners.leave(left.runner_id)
        clock.at += timedelta(seconds=21)
        await world.runners.beat(living.runner_id, clock.now())
        assert await found() == {dead.turn_id, left.turn_id}
        await world.turns.end(world.failed(dead), Principal.system(caller.tenant))
        assert await found() == {left.turn_id}
        clock.at += HOLD
        await world.runners.beat(living.runner_id, clock.now())
        assert await found() == {living.turn_id, left.turn_id}, "an expired turn is abandoned though its runner lives"
        await world.abandoned.runners_are_gone(clock.now() + timedelta(seconds=1))
        assert await found() == {living.turn_id, left.turn_id}

    async def spend(self, world: TurnWorld, caller: Principal, messages: int) -> None:
        """Use up `messages`."""
        async with world.billing.unit(caller) as unit:
            await world.billing.quotas.take(
                unit, metric=Metric.MESSAGES_AI, quantity=messages, cause="test", cause_id=new_id(), at=world.billing.clock.now()
            )
