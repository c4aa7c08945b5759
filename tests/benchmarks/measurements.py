"""Each function measures one thing and returns its figures."""

import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import aiohttp
import uvloop

from adapters.postgres.database import Database
from contracts.billing.commands import Quotas, ReservationLine
from contracts.billing.metrics import Metric
from domains.billing.model.usage import UsageEvent
from domains.billing.use_cases.ingest_usage import IngestUsage, IngestUsageHandler
from entrypoints.composition.container import make_container
from entrypoints.observability.metrics import Metrics
from entrypoints.web.bundle import FOLDER, Bundle
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Principal
from tests.benchmarks.client import Connection, Target, first_tokens, run_turns
from tests.benchmarks.figures import Figure
from tests.benchmarks.installation import CLIENTS, Installation, Process
from tests.fixtures.files import pdf
from tests.fixtures.postgres_wire import counted_wire
from tests.fixtures.scale import grow, sequential_scans

PIECES = (1, 50, 250)
_MILLISECONDS = 1000
_EVENTS_PER_BATCH = 1_000
_BATCHES_AT_ONCE = 2
_AT_ONCE = 50
_ROOT = Path(__file__).resolve().parents[2]
_WARM_TURNS, _COUNTED_TURNS = 8, 9
_READY_SECONDS = 60.0
_POLL_SECONDS = 0.05
_LITELLM_BY_FLOOR = 7.3
"""What LiteLLM 1.108 adds to the first token, in floor B's first tokens: 17.5 ms beside 2.40 in one run; `--litellm` measures it."""


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
    pages: int
    passages: int
    indexed_passages: int
    searches: int
    starts: bool


FULL = Effort(5, 400, 160, 60, 10_000, 10_000, 60, 400, pages=100, passages=1_000, indexed_passages=100_000, searches=200, starts=True)
SMOKE = Effort(1, 24, 16, 5, 60, 10_000, 3, 60, pages=4, passages=20, indexed_passages=2_000, searches=20, starts=False)


def turn_figures(installation: Installation, effort: Effort, litellm: str | None = None) -> list[Figure]:
    """CPU of the serving process per turn, product and floor in turns; wall times beside them."""
    with installation.processes() as ((api,), _), installation.floor() as floor:
        figures = []
        costs: dict[int, tuple[float, float]] = {}
        for pieces, turns, name in (
            (1, effort.json_turns, "JSON turn"),
            (50, effort.stream_turns, "50-chunk stream"),
            (250, effort.stream_turns // 4, ""),
        ):
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
        figures.append(_first_token_figure(installation, effort, api, floor, litellm))
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
    ours = (costs[PIECES[2]][0] - costs[PIECES[1]][0]) / more - library
    return Figure(name="own CPU per streamed chunk, above the client library", value=ours, unit="ms", budget=0.04)


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


def _first_token_figure(installation: Installation, effort: Effort, api: Process, floor: Process, litellm: str | None) -> Figure:
    """How much later than the model's own the first token comes, beside how much later it comes through LiteLLM's proxy."""
    targets = {
        "ours": asyncio.run(installation.target(api.base_url, 50, clients=1)).streaming(),
        "floor": installation.floor_target(floor.base_url, 50, clients=1).streaming(),
        "model": installation.model_target(50),
    }
    with ExitStack() as stack:
        if litellm:
            targets["litellm"] = stack.enter_context(installation.litellm(litellm, 50))
        found: dict[str, list[float]] = {name: [] for name in targets}
        for round_ in range(effort.rounds + 1):
            for name, target in targets.items():
                seconds = asyncio.run(first_tokens(target, effort.first_tokens))
                if round_:  # the first one warms up
                    found[name] += seconds
    times = {name: statistics.median(seconds) * _MILLISECONDS for name, seconds in found.items()}
    theirs = times["litellm"] - times["model"] if litellm else times["floor"] * _LITELLM_BY_FLOOR
    print(f"  first token, ms: {', '.join(f'{name} {time_:.2f}' for name, time_ in times.items())}")
    return Figure(
        name="first token, added time beside LiteLLM's", value=times["ours"] - times["model"], floor=theirs, unit="ms", budget=0.3
    )


def round_trip_figures(installation: Installation, effort: Effort) -> list[Figure]:
    """What a warm turn without knowledge asks of Postgres, counted on the wire: in a small database, then with `copies` of everything."""
    with installation.processes() as ((api,), _):
        target = asyncio.run(installation.target(api.base_url, 1, clients=1))
        asyncio.run(run_turns(target, 5, 1))
    path = target.paths[0]
    few = asyncio.run(_counted(installation, path))
    grow(
        installation.superuser,
        organization=installation.organization,
        agent=installation.agents[1][0],
        conversation=UUID(path.split("/")[4]),
        copies=effort.copies,
    )
    before = sequential_scans(installation.superuser)
    many = asyncio.run(_counted(installation, path))
    scans = sequential_scans(installation.superuser) - before
    scanned = [table for table, count in scans.items() if count >= _WARM_TURNS + _COUNTED_TURNS]
    if scanned:
        print(f"  read from end to end: {scanned}")
    return [
        Figure(name="round trips of a warm turn", value=many[0], unit="", budget=4, noise_free=True),
        Figure(
            name=f"statements of one, {effort.copies:,} of everything beside few",
            value=many[1],
            floor=few[1],
            unit="",
            budget=1,
            noise_free=True,
        ),
        Figure(name="tables that it reads from end to end", value=len(scanned), unit="", budget=0, noise_free=True),
    ]


async def _counted(installation: Installation, path: str) -> tuple[int, int]:
    """Return the round trips and the statements of one warm turn."""
    async with counted_wire(installation.settings.database_url) as wire:
        processes = installation.processes(database_url=wire.dsn)
        (api,), _ = await asyncio.to_thread(processes.__enter__)
        try:
            target = replace(await installation.target(api.base_url, 1, clients=1), paths=[path])
            await run_turns(target, _WARM_TURNS, 1)
            counts = []
            for _ in range(_COUNTED_TURNS):  # a heartbeat may fall into one of them
                wire.reset()
                await run_turns(target, 1, 1)
                counts.append((wire.round_trips, wire.statements))
        finally:
            await asyncio.to_thread(processes.__exit__, None, None, None)
    return min(counts)


def memory_figures(installation: Installation, effort: Effort) -> list[Figure]:
    """Resident memory of an API process without the embedding model, and how it grows over many turns."""
    with installation.processes() as ((api,), _):
        target = asyncio.run(installation.target(api.base_url, 1))
        asyncio.run(run_turns(target, max(effort.memory_turns // 10, CLIENTS), CLIENTS))
        before = api.resident_megabytes()
        asyncio.run(run_turns(target, effort.memory_turns, CLIENTS))
        after = api.resident_megabytes()
    return [
        Figure(name="resident memory of an API process", value=after, unit="MB", budget=200),
        Figure(name=f"growth of it over {effort.memory_turns:,} turns", value=max(after / before - 1, 0) * 100, unit="%", budget=5),
    ]


def replica_figures(installation: Installation, effort: Effort) -> list[Figure]:
    """How much more CPU a turn takes when two API processes serve than when one of them does, beside the same of two floors.

    Two workers run with them. Two busy processes share two cores with the database and the clients, so that each turn costs more of
    anything, the floor's too; what is above the floor's increase is a resource that our processes wait for each other at.
    """
    with installation.processes(apis=2, workers=2) as (apis, _), installation.floor() as first, installation.floor() as second:
        floors = [first, second]
        measured = [
            ([asyncio.run(installation.target(api.base_url, 1)) for api in apis], apis),
            ([installation.floor_target(floor.base_url, 1) for floor in floors], floors),
        ]

        async def turns(targets: Sequence[Target]) -> None:
            await asyncio.gather(*(run_turns(target, effort.json_turns, CLIENTS) for target in targets))

        costs: dict[tuple[int, int], list[float]] = {}
        for round_ in range(effort.rounds + 1):
            for which, (targets, processes) in enumerate(measured):
                for serving in (1, 2):
                    before = sum(process.cpu_seconds() for process in processes)
                    asyncio.run(turns(targets[:serving]))
                    spent = sum(process.cpu_seconds() for process in processes) - before
                    if round_:  # the first one warms up
                        costs.setdefault((which, serving), []).append(spent / serving)
    ours, theirs = (statistics.median(costs[which, 2]) / statistics.median(costs[which, 1]) for which in (0, 1))
    return [Figure(name="CPU per turn, two API processes beside one", value=ours, floor=theirs, unit="×", budget=1.1)]


def ingest_figures(installation: Installation, effort: Effort) -> list[Figure]:
    """Usage events per second, in batches of 1,000 of which a tenth is known already."""

    async def ingest() -> float:
        container = make_container(installation.settings, Metrics())
        handler = await container.get(IngestUsageHandler)
        now = datetime.now(UTC)

        def events(number: int) -> list[UsageEvent]:
            return [
                UsageEvent(id=new_id(), metric=Metric.TOKENS_IN, quantity=7, cause="import", cause_id=new_id(), occurred_at=now)
                for _ in range(number)
            ]

        known = events(_EVENTS_PER_BATCH // 10)
        await handler(IngestUsage(organization_id=installation.organization, events=known))
        left = iter([known + events(_EVENTS_PER_BATCH - len(known)) for _ in range(effort.usage_batches)])

        async def worker() -> None:
            for batch in left:
                await handler(IngestUsage(organization_id=installation.organization, events=batch))

        started = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(_BATCHES_AT_ONCE)))
        seconds = time.perf_counter() - started
        await container.close()
        return effort.usage_batches * _EVENTS_PER_BATCH / seconds

    best = max(uvloop.run(ingest()) for _ in range(min(effort.rounds, 3)))
    return [Figure(name="usage events taken in, batches of 1,000 with 10 % known", value=best, unit="1/s", budget=50_000, at_least=True)]


def document_figures(installation: Installation, effort: Effort) -> list[Figure]:
    """How long a PDF takes until it is found, how many passages a second are indexed, and when somebody who waits sees the first of it."""
    sentences = (
        "An order is sent within two working days and may be returned within thirty, as it came, with the note that lay in the parcel. "
    )
    pages = [(f"Chapter {page}", f"Item {page} stands on shelf {page}. " + sentences * 2) for page in range(1, effort.pages + 1)]
    sections = "\n\n".join(f"## Article {n}\n\nArticle {n} costs {n} euros. {sentences * 2}" for n in range(1, effort.passages + 1))
    with installation.vector_index(), installation.processes(workers=1) as ((api,), _):
        base = asyncio.run(installation.call(api.base_url, "/api/v1/knowledge-bases", {"name": "Documents", "language": "en"}))
        address = f"{api.base_url}/api/v1/knowledge-bases/{base['id']}/sources"
        asyncio.run(_indexed(installation, address, "warm.md", b"# Warm\n\nThe model is loaded now."))
        document = asyncio.run(_indexed(installation, address, "document.pdf", pdf(pages)))
        texts = asyncio.run(_indexed(installation, address, "articles.md", sections.encode()))
    print(f"  longest silence between two signs of progress: {max(document.silence, texts.silence):.1f} s")
    return [
        Figure(name=f"PDF of {effort.pages:,} pages until it is found", value=document.seconds, unit="s"),
        Figure(
            name=f"passages indexed by the local model, of {texts.passages:,}",
            value=texts.passages / (texts.seconds - texts.until_progress),
            unit="1/s",
        ),
        Figure(name="upload until its progress is seen", value=max(document.until_progress, texts.until_progress), unit="s", budget=1),
    ]


@dataclass(frozen=True, slots=True)
class _Indexing:
    """Seconds from the answer to the upload: until a poll saw that it was worked on, until it was ready, and the longest standstill."""

    passages: int
    until_progress: float
    seconds: float
    silence: float


async def _indexed(installation: Installation, address: str, name: str, content: bytes) -> _Indexing:
    """Upload a file and look at its source, as a page does, until it is ready."""
    form = aiohttp.FormData()
    form.add_field("file", content, filename=name)
    async with aiohttp.ClientSession(headers=installation.headers) as client:
        async with client.post(address, data=form) as answer:
            answer.raise_for_status()
            source = await answer.json()
        began = changed = time.perf_counter()
        until_progress, silence, seen = 0.0, 0.0, ("pending", "stored", 0)
        while source["status"] != "ready":
            if source["status"] == "failed":
                raise RuntimeError(f"{name} could not be indexed: {source['error']}")
            await asyncio.sleep(_POLL_SECONDS)
            async with client.get(f"{address}/{source['id']}") as answer:
                answer.raise_for_status()
                source = await answer.json()
            now, shown = time.perf_counter(), (source["status"], source["step"], source["passages_indexed"])
            if shown != seen:
                until_progress = until_progress or now - began
                silence, seen, changed = max(silence, now - changed), shown, now
    return _Indexing(source["passages"], until_progress, time.perf_counter() - began, silence)


def quota_figures(installation: Installation, effort: Effort) -> list[Figure]:
    """Reservations held and settled per second, fifty at once, for one organisation."""

    async def contend() -> float:
        settings = replace(installation.settings, database_connections=_AT_ONCE)
        container = make_container(settings, Metrics())
        quotas, database = await container.get(Quotas), await container.get(Database)
        principal = Principal.system(installation.organization)
        left = iter(range(effort.quota_turns))

        async def turn() -> None:
            reservation, now = new_id(), datetime.now(UTC)
            async with database.pipeline(principal) as unit:
                lines = (ReservationLine(metric=Metric.MESSAGES_AI),)
                await quotas.reserve(
                    unit, reservation_id=reservation, cause="turn", lines=lines, at=now, expires_at=now + timedelta(minutes=3)
                )
            async with database.pipeline(principal) as unit:
                await quotas.settle(unit, reservation_id=reservation, usage=(), at=now)

        async def client() -> None:
            for _ in left:
                await turn()

        await asyncio.gather(*(turn() for _ in range(_AT_ONCE)))  # opens the connections
        started = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(_AT_ONCE)))
        seconds = time.perf_counter() - started
        await container.close()
        return effort.quota_turns / seconds

    return [Figure(name="turns reserved and settled, one organisation, 50 at once", value=uvloop.run(contend()), unit="1/s")]


def page_figures(installation: Installation, effort: Effort) -> list[Figure]:
    """CPU of the serving process for the first page of somebody who is signed in: who it is, their agents, the frame around the chat.

    Budget: what a turn may cost is 2.5 ms, and a page is asked for far less often than a turn; at 3 ms a core shows 300 pages a second.
    """
    if Bundle(FOLDER).entry("chat") is None:
        print("  the first page is not measured: nothing was built (make pages)")
        return []

    async def show(base_url: str, headers: dict[str, str], pages: int) -> None:
        connection = await Connection.open(base_url)
        for _ in range(pages):
            answer = await connection.send("GET", "/", b"", headers)
            if answer.status != 200 or b'id="composer"' not in answer.body:
                raise RuntimeError(f"/ answered {answer.status}: {answer.body[:500]!r}")
        await connection.close()

    with installation.processes() as ((api,), _):
        headers = {"cookie": installation.session_cookie(api.base_url), "accept-language": "en"}
        asyncio.run(show(api.base_url, headers, _WARM_TURNS))
        costs = []
        for _ in range(effort.rounds):
            before = api.cpu_seconds()
            asyncio.run(show(api.base_url, headers, effort.json_turns))
            costs.append((api.cpu_seconds() - before) / effort.json_turns * _MILLISECONDS)
    return [Figure(name="CPU per first page, signed in", value=statistics.median(costs), unit="ms", budget=3)]


def start_figures(effort: Effort) -> list[Figure]:
    """How long `luneo up` takes until it serves, the first time in a folder and the second."""
    if not effort.starts:
        return []
    with tempfile.TemporaryDirectory(prefix="luneo-bench-up-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        return [
            Figure(name=f"luneo up until it serves, {which} start", value=_start_seconds(Path(folder)), unit="s", budget=6)
            for which in ("first", "second")
        ]


def _start_seconds(folder: Path) -> float:
    home = folder / "home"
    started = time.perf_counter()
    with (folder / "up.log").open("ab") as log:
        up = subprocess.Popen(
            [sys.executable, "-m", "entrypoints.cli.main", "up"],
            env={**os.environ, "LUNEO_HOME": str(home), "PYTHONPATH": str(_ROOT)},
            stdout=log,
            stderr=log,
        )
    try:
        while not _serves(home / "demo.json"):
            seconds = time.perf_counter() - started
            if up.poll() is not None or seconds > _READY_SECONDS:
                raise RuntimeError(f"luneo up does not serve:\n{(folder / 'up.log').read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)
        return time.perf_counter() - started
    finally:
        up.send_signal(signal.SIGINT)
        up.wait(_READY_SECONDS)


def _serves(demo: Path) -> bool:
    try:
        base_url = json.loads(demo.read_text(encoding="utf-8"))["base_url"]
        with urllib.request.urlopen(f"{base_url}/health/live", timeout=1) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False
