"""The scheduler: periodic jobs, each tick on one replica."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from shared_kernel.clock import Clock
from shared_kernel.errors import Unavailable

_logger = structlog.get_logger("luneo.scheduler")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Something that runs every `seconds`. With `claimed` each tick runs on one replica; without, the job keeps replicas apart itself."""

    name: str
    seconds: float
    run: Callable[[], Awaitable[object]]
    claimed: bool = True


class TickClaims(Protocol):
    """Who runs which tick."""

    async def claim(self, job: str, due_at: datetime) -> bool:
        """Return whether this process runs it."""
        ...


class Scheduler:
    """Runs jobs until cancelled; a job that fails runs again at its next tick."""

    def __init__(self, jobs: tuple[Job, ...], ticks: TickClaims, clock: Clock) -> None:
        self._jobs = jobs
        self._ticks = ticks
        self._clock = clock

    async def run(self) -> None:
        """Run all jobs until cancelled."""
        scheduler = AsyncIOScheduler(timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None})
        for job in self._jobs:
            scheduler.add_job(
                self.tick, IntervalTrigger(seconds=job.seconds, timezone=UTC), args=(job,), next_run_time=datetime.now(UTC), id=job.name
            )
        scheduler.start()
        try:
            await asyncio.Event().wait()
        finally:
            scheduler.shutdown(wait=False)

    async def tick(self, job: Job) -> None:
        """Run `job` once, unless another replica claimed this tick. A tick that is cancelled ends: the process does too."""
        seconds = self._clock.now().timestamp()
        due_at = datetime.fromtimestamp(seconds - seconds % job.seconds, UTC)
        try:
            if not job.claimed or await self._ticks.claim(job.name, due_at):
                await job.run()
        except asyncio.CancelledError:
            return  # the library would log each as an error
        except Unavailable as error:
            _logger.warning("job_postponed", job=job.name, reason=error.detail)
        except Exception:  # the next tick tries again
            _logger.exception("job_failed", job=job.name)
