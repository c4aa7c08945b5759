"""Each function measures one thing and returns its figures."""

import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import uvloop

from contracts.billing.commands import Quotas, ReservationLine
from contracts.billing.metrics import Metric
from adapters.postgres.database import Database
from domains.billing.model.usage import UsageEvent
from domains.billing.use_cases.ingest_usage import IngestUsage, IngestUsageHandler
from entrypoints.composition.container import make_container
from entrypoints.observability.metrics import Metrics
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Principal
from tests.benchmarks.client import Target, first_tokens, run_turns
from tests.benchmarks.figures import Figure
from tests.benchmarks.installation import CLIENTS, Installation, Process
from tests.fixtures.postgres_wire import counted_wire
from tests.fixtures.scale import grow, sequential_scans

PIECES = (1, 50, 250)
_MILLISECONDS = 1000
_EVENTS_PER_BATCH = 1_000
_BATCHES_AT_ONCE = 2
_AT_ONCE = 50
_READY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done for each figure. Rounds of product and floor alternate, because the machine's speed drifts."""

    rounds: int
    json_turns: int
    stream_turns: int
    first_tokens: int
    memory_turns: int
    copies: int
    usage_batches: int
    quota_turns: int
    starts: bool


FULL = Effort(5, 400, 160, 60, 10_000, 10_000, 60, 400, starts=True)
SMOKE = Effort(1, 24, 16, 5, 60, 200, 3, 60, starts=False)


def turn_figures(installation: Installation, effort: Effort) -> list[Figure]:
    """CPU of the serving process per turn, product and floor in turns; wall times beside them."""
    with installation.processes() as ((api,), _), installation.floor() as floor:
        figures = []
        costs: dict[int, tuple[float, float]] = {}
        for pieces, turns, name in ((1, effort.json_turns, "JSON turn"), (50, effort.stream_turns, "50-chunk stream"), (250, effort.stream_turns // 4, "")):
            target = asyncio.run(installation.target(api.base_url, pieces))
            floor_target = installation.floor_target(floor.base_url, pieces)
            if pieces > 1:
                target, floor_target = target.streaming(), floor_target.streaming()
            ours, theirs, seconds, floor_seconds = [], [], [], []
            for target_, process in ((target, api), (floor_target, floor)):  # warm
                _cpu_per_turn(target_, (process,), max(turns // 4, CLIENTS))
            for _ in range(effort.rounds):
                cpu, wall = _cpu_per_turn(target, (api,), turns)
                floor_cpu, floor_wall = _cpu_per_turn(floor_target, (floor,), turns)
                ours.append(cpu)
                theirs.append(floor_cpu)
                seconds.append(wall)
                floor_seconds.append(floor_wall)
            costs[pieces] = (statistics.median(ours), statistics.median(theirs))
            if name:
                figures += [
                    Figure(name=f"CPU per {name}", value=costs[pieces][0], floor=costs[pieces][1], unit="ms", budget=2.5),
                    Figure(
                        name=f"{name}s per second, {CLIENTS} clients",
                        value=1 / statistics.median(seconds),
                        floor=1 / statistics.median(floor_seconds),
                        unit="1/s",
                    ),
                ]
        figures.append(_chunk_figure(installation, effort, costs))
        figures.append(_first_token_figure(installation, effort, api, floor))
    return figures


def _cpu_per_turn(target: Target, processes: Sequence[Process], turns: int, clients: int = CLIENTS) -> tuple[float, float]:
    """Return the milliseconds of CPU that `processes` spent per turn, and the seconds that one took."""
    before = sum(process.cpu_seconds() for process in processes)
    seconds = asyncio.run(run_turns(target, turns, clients))
    spent = sum(process.cpu_seconds() for process in processes) - before
    return spent / turns * _MILLISECONDS, seconds / turns


def _chunk_figure(installation: Installation, effort: Effort, costs: dict[int, tuple[float, float]]) -> Figure:
    """What one more chunk of a stream costs us, above reading it with the client library alone."""
    more = PIECES[2] - PIECES[1]
    library = uvloop.run(_library_chunk_milliseconds(installation.upstream, effort.stream_turns // 4))
    ours, floor = ((costs[250][side] - costs[50][side]) / more - library for side in (0, 1))
    return Figure(name="own CPU per streamed chunk, above the client library", value=ours, unit="ms", budget=0.04 + max(floor, 0))


async def _library_chunk_milliseconds(upstream: str, streams: int) -> float:
    """Return what a chunk costs the HTTP client, unread."""
    async with aiohttp.ClientSession() as client:

        async def read(pieces: int) -> None:
            async with client.post(f"{upstream}/chat/completions", json={"model": f"pieces-{pieces}"}) as response:
                async for _ in response.content.iter_any():
                    continue

        async def cost(pieces: int) -> float:
            rounds = max(streams // CLIENTS, 1)
            before = time.process_time()
            for _ in range(rounds):
                await asyncio.gather(*(read(pieces) for _ in range(CLIENTS)))
            return (time.process_time() - before) * _MILLISECONDS / (rounds * CLIENTS)

        await cost(PIECES[1])
        return (await cost(PIECES[2]) - await cost(PIECES[1])) / (PIECES[2] - PIECES[1])


def _first_token_figure(installation: Installation, effort: Effort, api: Process, floor: Process) -> Figure:
    target = asyncio.run(installation.target(api.base_url, 50, clients=1)).streaming()
    floor_target = installation.floor_target(floor.base_url, 50, clients=1).streaming()
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(effort.rounds):
        ours += asyncio.run(first_tokens(target, effort.first_tokens))
        theirs += asyncio.run(first_tokens(floor_target, effort.first_tokens))
    return Figure(
        name="first token, one client",
        value=statistics.median(ours) * _MILLISECONDS,
        floor=statistics.median(theirs) * _MILLISECONDS,
        unit="ms",
        budget=1.6,  # LiteLLM's was 5.2 times floor B's in one run, and we allow ourselves 0.3 of that
    )
