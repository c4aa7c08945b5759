import asyncio
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from uuid import UUID

import pytest

from adapters.messaging.broker import DeliveryBroker
from shared_kernel.identifiers import new_id
from tests.integration.redis_store.valkey import Valkey

SECONDS = 10


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    server = Valkey(tmp_path)
    server.start()
    yield server
    server.kill()


def test_no_queue_waits_behind_another_s_long_work_and_what_was_used_is_closed_on_its_loop(valkey: Valkey) -> None:
    long_work, go_on, mail_was_sent, closed = Event(), Event(), Event(), Event()
    loops: set[int] = set()
    mail = new_id()

    async def deliver(delivery_id: UUID, organization_id: UUID | None) -> None:
        assert organization_id is None
        loops.add(id(asyncio.get_running_loop()))
        if delivery_id == mail:
            mail_was_sent.set()
            return
        long_work.set()
        await asyncio.to_thread(go_on.wait, SECONDS)

    async def close() -> None:
        loops.add(id(asyncio.get_running_loop()))
        closed.set()

    broker = DeliveryBroker(valkey.url, ["indexing", "mail"])
    workers = broker.workers(deliver, threads={"indexing": 2}, close=close)
    workers.start()
    try:
        for _ in range(6):
            broker.send("indexing", new_id(), None)
        assert long_work.wait(SECONDS)
        broker.send("mail", mail, None)
        assert mail_was_sent.wait(SECONDS)
        assert not closed.is_set()
    finally:
        go_on.set()
        workers.stop(SECONDS * 1000)
        broker.close()
    assert closed.is_set()
    assert len(loops) == 1
