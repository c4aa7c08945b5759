"""A worker that is told to stop ends, whatever became of Redis: an event loop that is left running would keep the process alive."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from adapters.messaging.broker import DeliveryBroker
from shared_kernel.identifiers import new_id
from tests.integration.redis_store.valkey import Valkey


@pytest.mark.parametrize("closing_fails", [False, True])
def test_a_worker_stops_though_redis_is_gone_and_deliveries_wait(tmp_path: Path, closing_fails: bool) -> None:
    valkey = Valkey(tmp_path)
    valkey.start()
    taken, closed, before = threading.Event(), threading.Event(), set(threading.enumerate())

    release: list[Callable[[], object]] = []

    async def deliver(*_: object) -> None:
        released = asyncio.Event()
        release.append(partial(asyncio.get_running_loop().call_soon_threadsafe, released.set))
        taken.set()
        await released.wait()

    async def close() -> None:
        closed.set()
        if closing_fails:
            raise ConnectionError("the database is gone too")

    broker = DeliveryBroker(valkey.url, ["indexing"], namespace=f"stops-{closing_fails}")
    workers = broker.workers(deliver, threads={"indexing": 1}, close=close)
    workers.start()
    try:
        for _ in range(3):
            broker.send("indexing", new_id(), None)
        assert taken.wait(10)
    finally:
        valkey.kill()
        for let_go in release:
            let_go()
        workers.stop(500)
    assert closed.is_set()
    assert not [thread for thread in set(threading.enumerate()) - before if not thread.daemon]
