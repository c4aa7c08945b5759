"""An agent answers no more turns in a minute than its organisation's plan says."""

from collections.abc import Callable
from uuid import UUID

import pytest

from contracts.billing.queries import Entitlement
from contracts.rate_limits import RateLimited
from domains.billing.use_cases.apply_plan import ApplyPlan
from domains.conversational_ai.model.turn import OneOff
from domains.conversational_ai.use_cases.agent_rate import RATE_REMEMBERED_SECONDS, AgentRate
from domains.conversational_ai.use_cases.ask_question import AskQuestion
from shared_kernel.errors import Unauthenticated
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Principal
from tests.fakes.rate_limits import InMemoryRateLimits
from tests.port_contracts.turns import answering_agent
from tests.unit.conversational_ai.turn_house import Replica, TurnHouse, answered

FREE_RATE = 10


async def ask(replica: Replica, message: AskQuestion) -> UUID:
    asked = await replica.ask(message)
    await answered(asked)
    return asked.turn_id


async def busy() -> tuple[TurnHouse, Replica]:
    """A house on the free plan whose agent has answered all that it may in this minute."""
    house = await TurnHouse.make(plan="free")
    replica = house.replica()
    for number in range(FREE_RATE):
        await ask(replica, house.message(client_message_id=str(number)))
    return house, replica


async def test_one_more_than_the_plan_says_is_refused_and_leaves_nothing() -> None:
    house, replica = await busy()
    turns, books = len(house.kept.kept), await house.books()
    with pytest.raises(RateLimited) as refused:
        await replica.ask(house.message())
    decision = refused.value.decision
    assert (decision.policy, decision.limit, decision.window_seconds) == ("agent", FREE_RATE, 60)
    assert refused.value.extra["retry_after"] == decision.retry_after == 6
    assert (len(house.kept.kept), await house.books()) == (turns, books)
    house.rate_limits.seconds += decision.retry_after
    await ask(replica, house.message())


async def test_one_off_questions_count_as_every_other() -> None:
    agent = answering_agent()
    house = await TurnHouse.make(plan="free", agent=agent)
    replica, one_off = house.replica(), OneOff(agent_id=agent.id)
    for _ in range(FREE_RATE):
        await ask(replica, house.message(conversation_id=None, one_off=one_off))
    for refused in (house.message(conversation_id=None, one_off=one_off), house.message()):
        with pytest.raises(RateLimited):
            await replica.ask(refused)


async def test_every_conversation_with_the_agent_counts_on_every_replica_and_other_agents_do_not() -> None:
    agent = answering_agent()
    house = await TurnHouse.make(plan="free", agent=agent)
    for number in range(FREE_RATE):
        await ask(house.replica(), house.message(client_message_id=str(number)))
    again = await house.world.conversation(house.caller, agent)
    with pytest.raises(RateLimited):
        await house.replica().ask(house.message(conversation_id=again))
    other = await house.world.conversation(house.caller, answering_agent())
    await ask(house.replica(), house.message(conversation_id=other))


async def test_a_repeated_message_is_neither_counted_nor_refused() -> None:
    house = await TurnHouse.make(plan="free")
    replica = house.replica()
    first = await ask(replica, house.message(client_message_id="0"))
    for _ in range(FREE_RATE + 5):
        assert await ask(replica, house.message(client_message_id="0")) == first
    for number in range(1, FREE_RATE):
        await ask(replica, house.message(client_message_id=str(number)))
    with pytest.raises(RateLimited):
        await replica.ask(house.message(client_message_id="new"))
    assert await ask(replica, house.message(client_message_id="0")) == first


async def test_a_change_of_plan_counts_within_seconds() -> None:
    house, replica = await busy()
    await house.world.billing.apply_plan(ApplyPlan(plan="pro", requested_by=house.caller))
    house.rate_limits.seconds += RATE_REMEMBERED_SECONDS - 1
    with pytest.raises(RateLimited):
        await replica.ask(house.message())
    house.rate_limits.seconds += 1
    for _ in range(FREE_RATE):  # where the free plan allows one in six seconds
        await ask(replica, house.message())
        house.rate_limits.seconds += 1


class Asked:
    """Two look-ups, and how often each was asked."""

    def __init__(self, agent_id: UUID) -> None:
        self.agent_id = agent_id
        self.agents = self.plans = 0
        self.refusal: Exception | None = None

    async def of(self, caller: Principal, conversation_id: UUID) -> UUID:  # noqa: ARG002
        self.agents += 1
        if self.refusal:
            raise self.refusal
        return self.agent_id


class Plans:
    def __init__(self, asked: Asked) -> None:
        self.asked = asked

    async def of(self, organization_id: UUID) -> Entitlement:  # noqa: ARG002
        self.asked.plans += 1
        return Entitlement(plan="free", features=frozenset(), limits={}, agent_rate_per_minute=FREE_RATE)


async def test_a_warm_turn_looks_nothing_up_and_what_is_remembered_is_bounded() -> None:
    asked, limits = Asked(new_id()), InMemoryRateLimits()
    rate = AgentRate(asked, Plans(asked), limits, factor=100, maximum=2, now=clock(limits))
    caller, conversation = Principal.system(new_id()), new_id()
    for _ in range(5):
        await rate.count(caller, conversation)
    assert (asked.agents, asked.plans) == (1, 1)
    for _ in range(2):
        await rate.count(caller, new_id())
    await rate.count(caller, conversation)
    assert (asked.agents, asked.plans) == (4, 1)


async def test_who_may_not_ask_is_told_that_and_not_how_busy_the_agent_is() -> None:
    asked, limits, refusals = Asked(new_id()), InMemoryRateLimits(), list[str]()
    rate = AgentRate(asked, Plans(asked), limits, on_refused=refusals.append, now=clock(limits))
    caller, conversation = Principal.system(new_id()), new_id()
    for _ in range(FREE_RATE):
        await rate.count(caller, conversation)
    with pytest.raises(RateLimited):
        await rate.count(caller, conversation)
    assert refusals == ["agent"]
    asked.refusal = Unauthenticated()
    with pytest.raises(Unauthenticated):
        await rate.count(caller, conversation)


async def test_a_turn_that_does_not_open_is_not_counted() -> None:
    asked, limits = Asked(new_id()), InMemoryRateLimits()
    rate = AgentRate(asked, Plans(asked), limits, now=clock(limits))
    caller, conversation = Principal.system(new_id()), new_id()
    for _ in range(2 * FREE_RATE):
        await rate.give_back(await rate.count(caller, conversation))


def clock(limits: InMemoryRateLimits) -> Callable[[], float]:
    return lambda: limits.seconds
