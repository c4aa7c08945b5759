"""The writer behind a turn: batches, order, the last flush, and what a chunk costs."""

import asyncio
import time

from adapters.redis_store.connection import RedisConnection
from adapters.redis_store.turn_event_log import RedisTurnEventLog
from adapters.redis_store.write_behind_turn_log import WriteBehindTurnLog
from shared_kernel.identifiers import new_id
from tests.integration.redis_store.valkey import Valkey
from tests.port_contracts.turn_event_log_contract import delta, end, read_all


async def test_a_terminal_event_is_written_at_once_with_all_before_it(valkey: Valkey) -> None:
    connection = RedisConnection(valkey.url, environment="test", timeout_seconds=2)
    log = RedisTurnEventLog(connection)
    writer = WriteBehindTurnLog(log, flush_seconds=60)
    organization, turns = new_id(), [new_id() for _ in range(5)]
    for sequence in range(1, 50):
        for turn in turns:
            writer.put(organization, turn, delta(sequence))
    writer.put(organization, turns[0], end(50))
    expected = [*map(delta, range(1, 50)), end(50)]
    assert await read_all(log, organization, turns[0], 0) == expected
    assert len(await read_all(log, organization, turns[1], 0, idle_seconds=0.05)) == 49
    await writer.aclose()
    await connection.aclose()


async def test_what_waits_is_written_in_time_and_on_closing(valkey: Valkey) -> None:
    connection = RedisConnection(valkey.url, environment="test", timeout_seconds=2)
    log = RedisTurnEventLog(connection)
    dropped: list[int] = []
    writer = WriteBehindTurnLog(log, on_dropped=dropped.append)
    organization, turn = new_id(), new_id()
    writer.put(organization, turn, delta(1))
    stream = log.read(organization, turn, 0, idle_seconds=5)
    assert await asyncio.wait_for(anext(stream), 1) == delta(1)
    await stream.aclose()
    writer.put(organization, turn, delta(2))
    await writer.aclose()
    assert await read_all(log, organization, turn, 1, idle_seconds=0.05) == [delta(2)]
    writer.put(organization, turn, delta(3))
    assert dropped == [1], "a closed writer takes nothing"
    await connection.aclose()


async def test_a_chunk_costs_little(valkey: Valkey) -> None:
    connection = RedisConnection(valkey.url, environment="test", timeout_seconds=5)
    log = RedisTurnEventLog(connection)
    writer = WriteBehindTurnLog(log)
    organization, chunks, best = new_id(), 1000, 1.0
    for _ in range(5):
        turn = new_id()
        started = time.process_time()
        for sequence in range(1, chunks + 1):
            writer.put(organization, turn, delta(sequence))
            if sequence % 50 == 0:
                await asyncio.sleep(0)
        writer.put(organization, turn, end(chunks + 1))
        async for _event in log.read(organization, turn, chunks):
            best = min(best, (time.process_time() - started) / chunks)
    await writer.aclose()
    await connection.aclose()
    # the aim is 25 µs; the bound leaves room for a slow machine
    assert best < 100e-6
