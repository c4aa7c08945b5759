"""The scheduler's ticks."""

import asyncio
import logging
from contextlib import suppress
from datetime import datetime

import pytest

from entrypoints.consumers.scheduler import Job, Scheduler
from shared_kernel.clock import SystemClock


class _Claims:
    def __init__(self) -> None:
        self.claimed: list[tuple[str, datetime]] = []

    async def claim(self, job: str, due_at: datetime) -> bool:
        self.claimed.append((job, due_at))
        return True


async def test_a_job_that_runs_when_the_process_ends_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    begun, ended, claims = asyncio.Event(), asyncio.Event(), _Claims()

    async def run() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    scheduler = Scheduler((Job(name="endless", seconds=60, run=run),), claims, SystemClock())
    with caplog.at_level(logging.WARNING):
        running = asyncio.create_task(scheduler.run())
        await asyncio.wait_for(begun.wait(), 5)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await asyncio.wait_for(ended.wait(), 5)
        await asyncio.sleep(0)
    assert [job for job, _ in claims.claimed] == ["endless"]
    assert caplog.records == []
