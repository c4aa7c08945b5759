"""Postgres keeps the contract of turns; what only a real database can show stands below."""

import asyncio

import pytest

from contracts.billing.errors import QuotaExceeded
from domains.conversational_ai.model.turn import OpenedTurn, TurnInProgress, TurnNoLongerRunning
from tests.integration.turns.conftest import PostgresTurnWorld
from tests.port_contracts.turns import FREE_MESSAGES, TurnsContract


class TestTurnsInPostgres(TurnsContract): ...


async def test_of_two_messages_at_once_one_is_answered(world: PostgresTurnWorld) -> None:
    caller = await world.caller()
    conversation = await world.conversation(caller)
    results = await asyncio.gather(*(world.turns.open(world.question(caller, conversation)) for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(r, OpenedTurn) for r in results) == 1
    assert sum(isinstance(r, TurnInProgress) for r in results) == 5
    assert await world.books(caller) == (0, 1)


async def test_of_fifty_for_the_last_message_one_is_answered(world: PostgresTurnWorld) -> None:
    caller = await world.caller()
    await TurnsContract().spend(world, caller, FREE_MESSAGES - 1)
    conversations = [await world.conversation(caller) for _ in range(12)]
    results = await asyncio.gather(*(world.turns.open(world.question(caller, c)) for c in conversations), return_exceptions=True)
    assert sum(isinstance(r, OpenedTurn) for r in results) == 1
    assert sum(isinstance(r, QuotaExceeded) for r in results) == 11


async def test_of_several_ends_at_once_one_is_written(world: PostgresTurnWorld) -> None:
    caller = await world.caller()
    question = world.question(caller, await world.conversation(caller))
    await world.turns.open(question)
    ends = [world.completed(question), world.failed(question), world.stopped(question, said=True), world.completed(question, "Other.")]
    results = await asyncio.gather(*(world.turns.end(end, caller) for end in ends), return_exceptions=True)
    assert [r for r in results if r is not None and not isinstance(r, TurnNoLongerRunning)] == []
    assert results.count(None) == 1
    [_] = await world.published(question.turn_id)
    used, reserved = await world.books(caller)
    assert reserved == 0
    assert used == (0 if results[1] is None else 1)


async def test_a_turn_is_opened_and_ended_in_one_transaction_each(world: PostgresTurnWorld) -> None:
    caller = await world.caller()
    question = world.question(caller, await world.conversation(caller))
    await world.turns.open(question)
    with pytest.raises(Exception, match=r"NUL|request"):
        await world.turns.end(world.completed(question, "half\x00"), caller)
    assert await world.books(caller) == (0, 1), "an end that fails in the middle leaves nothing behind"
    await world.turns.end(world.completed(question), caller)
    rows = await world.run(
        """
        select count(distinct x) as transactions, count(*) as rows from (
          select xmin::text as x from conversational_ai.turns where id = %(t)s
          union all select xmin::text from conversational_ai.messages where turn_id = %(t)s and role = 'assistant'
          union all select xmin::text from messaging.events where aggregate_id = %(t)s
          union all select xmin::text from billing.usage_events where cause_id = %(t)s) all_of_it
        """,
        {"t": question.turn_id},
    )
    assert rows[0]["transactions"] == 1
    assert rows[0]["rows"] >= 6
