"""A worker that dies is soon replaced, and knowledge that every worker dies over is told to have failed."""

import asyncio

from adapters.postgres.messaging.deliveries import LEASE, MOST_ATTEMPTS
from tests.faults.installation import Installation, LuneoProcess, Servers, installation, wait_until
from tests.faults.visitor import Visitor

_STATUS = "select status, error from conversational_ai.knowledge_sources where id = %s"
_UNDER_WAY = "select 1 from messaging.deliveries where state <> 'done'"
_SLACK_SECONDS = 12.0  # the relay's second, a worker's start, and a machine that is busy


def test_a_dead_workers_source_goes_on_after_its_lease_or_is_failed_after_the_last_attempt(servers: Servers) -> None:
    with installation(servers) as luneo:
        asyncio.run(_two_sources(luneo))


async def _two_sources(luneo: Installation) -> None:
    api = await asyncio.to_thread(luneo.start_api)
    luneo.start("relay")
    async with Visitor.at(api.base_url, luneo.demo.api_key, luneo.demo.agent_id) as visitor:
        base = await visitor.add_base("Shelves")
        goes_on = await _killed_over(luneo, visitor, base, luneo.start("worker"))
        await asyncio.to_thread(_wait, luneo, goes_on, "ready", LEASE.total_seconds() + _SLACK_SECONDS)
        await asyncio.to_thread(wait_until, lambda: luneo.rows(_UNDER_WAY) == [], _SLACK_SECONDS, "the worker is idle")
        given_up = await _killed_over(luneo, visitor, base, luneo.processes[-1])
        luneo.rows("update messaging.deliveries set attempts = %s where state = 'running'", (MOST_ATTEMPTS,))
        await asyncio.to_thread(_wait, luneo, given_up, "failed", LEASE.total_seconds() + _SLACK_SECONDS)


async def _killed_over(luneo: Installation, visitor: Visitor, base: str, worker: LuneoProcess) -> str:
    """Kill `worker` in the middle of a source and start another one."""
    worker.plan.make("kill", "upsert.before")
    source = await visitor.add_source(base, "Shelf", 2)
    await asyncio.to_thread(worker.until_dead, 60)
    luneo.start("worker")
    return source


def _wait(luneo: Installation, source: str, status: str, seconds: float) -> None:
    try:
        wait_until(lambda: luneo.rows(_STATUS, (source,))[0][0] == status, seconds, f"the source is {status}")
    except TimeoutError as error:
        error.add_note(str(luneo.rows("select state, attempts, due_at, now(), last_error from messaging.deliveries")))
        raise
    if status == "failed":
        told = luneo.rows(_STATUS, (source,))
        assert told == [("failed", "Indexing was interrupted each time it was tried, for a reason on our side")]
