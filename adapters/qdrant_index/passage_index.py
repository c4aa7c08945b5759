"""Passages in one Qdrant collection, each point marked with its organisation, each call filtered by it.

The client's package takes most of a second to import, so it is imported in a thread when the index is first used; making a
`QdrantPassageIndex` costs nothing and calls nobody.
"""

import asyncio
import contextlib
import functools
import importlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domains.conversational_ai.model.term_weights import TermWeights
from domains.conversational_ai.ports.passage_index import PassageMatch, PassageVector
from shared_kernel.errors import Unavailable

if TYPE_CHECKING:
    from qdrant_client import AsyncQdrantClient

_TIMEOUT_SECONDS = 5
_BATCH = 256  # points per request: 384 numbers each are about 2 MB of JSON
_CONNECTIONS = 32
_LAYOUT = 3  # of the points of a collection: 1 had one nameless vector, 2 a dense and a sparse one, 3 has the field that is searched by
_DENSE, _SPARSE = "dense", "words"
#: A tenant's knowledge base in one value. A search is filtered by this field alone: a second condition beside it made the filter, and the
#: counting of rare words within it, three times as slow.
_TENANT_BASE = "tenant_base"
_KEYWORD_FIELDS = (_TENANT_BASE, "knowledge_base_id", "source_id")
_CONFLICT, _NOT_FOUND, _UNAUTHORIZED, _FORBIDDEN, _TOO_MANY, _SERVER_ERROR = 409, 404, 401, 403, 429, 500


class QdrantPassageIndex:
    """The port `PassageIndex` on a Qdrant server, or on the local vector server, which speaks the same.

    The collection's name ends with the version of its layout and the dimension of its vectors: one of an earlier version of this product,
    or of a model of another dimension, is left alone, its passages are not found, and whoever renews outdated knowledge puts them into this
    one.
    One client with kept-alive connections, made on the event loop that first uses it and closed by `close` on the same loop.
    """

    def __init__(self, url: str, api_key: str | None, collection: str = "passages", dimension: int = 384) -> None:
        self._url = url
        self._api_key = api_key
        self._collection = f"{collection}-v{_LAYOUT}-{dimension}"
        self._dimension = dimension
        self._connecting = asyncio.Lock()
        self._client: AsyncQdrantClient | None = None

    async def prepare(self) -> None:
        """Create the collection and its payload indexes unless they exist."""
        client = await self._connected()
        models = _models()
        with _failures() as failures:
            if not await client.collection_exists(self._collection):
                dense = models.VectorParams(size=self._dimension, distance=models.Distance.COSINE)
                sparse = models.SparseVectorParams(modifier=models.Modifier.IDF)
                with failures.ignoring(_CONFLICT):  # another process was faster
                    await client.create_collection(
                        self._collection, vectors_config={_DENSE: dense}, sparse_vectors_config={_SPARSE: sparse}
                    )
            tenant = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
            await client.create_payload_index(self._collection, "organization_id", tenant)
            for field in _KEYWORD_FIELDS:
                await client.create_payload_index(self._collection, field, models.PayloadSchemaType.KEYWORD)
            await client.create_payload_index(self._collection, "source_version", models.PayloadSchemaType.INTEGER)

    async def upsert(self, organization_id: UUID, entries: Sequence[PassageVector]) -> None:
        """Add or replace passages, in batches; a failure in the middle leaves earlier batches, which the repetition replaces."""
        for entry in entries:
            self._check(entry.vector)
        if not entries:
            return
        client = await self._connected()
        models = _models()
        own = models.Filter(must=[_is("organization_id", organization_id)])
        points = [
            models.PointStruct(
                id=str(entry.passage_id),
                vector={_DENSE: [float(number) for number in entry.vector], _SPARSE: _sparse(entry.weights)},
                payload={
                    "organization_id": str(organization_id),
                    "knowledge_base_id": str(entry.knowledge_base_id),
                    "source_id": str(entry.source_id),
                    _TENANT_BASE: _tenant_base(organization_id, entry.knowledge_base_id),
                    "source_version": entry.source_version,
                },
            )
            for entry in entries
        ]
        with _failures():
            for start in range(0, len(points), _BATCH):
                await client.upsert(self._collection, points[start : start + _BATCH], wait=True, update_filter=own)

    async def search(
        self,
        organization_id: UUID,
        knowledge_base_ids: Sequence[UUID],
        vector: Sequence[float],
        weights: TermWeights,
        limit: int,
    ) -> list[PassageMatch]:
        """Return the nearest passages of these knowledge bases, and those with the most telling words.

        One call with two queries: each takes both lists of candidates and scores all of them, one by vectors, one by words.
        """
        self._check(vector)
        if not knowledge_base_ids:
            return []
        client = await self._connected()
        models = _models()
        bases = models.MatchAny(any=[_tenant_base(organization_id, each) for each in knowledge_base_ids])
        searched = models.Filter(must=[models.FieldCondition(key=_TENANT_BASE, match=bases)])
        rarity = models.SearchParams(idf=models.IdfCorpusParams(corpus=searched))
        near: dict[str, Any] = {"query": [float(number) for number in vector], "using": _DENSE}
        worded: dict[str, Any] = {"query": _sparse(weights), "using": _SPARSE, "params": rarity}
        each = [near, worded] if weights else [near]
        candidates = [models.Prefetch(**one, filter=searched, limit=limit) for one in each]
        requests = [models.QueryRequest(**one, prefetch=candidates, limit=len(each) * limit, with_payload=["source_id"]) for one in each]
        answers: list[Any] = []
        with _failures() as failures, failures.ignoring(_NOT_FOUND):  # nothing was ever put into it
            answers = await client.query_batch_points(self._collection, requests)
        if not answers:
            return []
        dense, *sparse = answers
        by_words = {point.id: point.score for points in sparse for point in points.points}
        return [
            PassageMatch(
                passage_id=UUID(str(point.id)),
                source_id=UUID((point.payload or {})["source_id"]),
                dense=point.score,
                sparse=by_words.get(point.id, 0.0),
            )
            for point in dense.points
        ]

    async def remove_source(self, organization_id: UUID, source_id: UUID, *, except_version: int | None = None) -> None:
        """Remove a source's passages: all, or all but those of one version."""
        client = await self._connected()
        models = _models()
        kept = None
        if except_version is not None:
            kept = [models.FieldCondition(key="source_version", match=models.MatchValue(value=except_version))]
        doomed = models.Filter(must=[_is("organization_id", organization_id), _is("source_id", source_id)], must_not=kept)
        with _failures() as failures, failures.ignoring(_NOT_FOUND):
            await client.delete(self._collection, models.FilterSelector(filter=doomed), wait=True)

    async def remove_knowledge_base(self, organization_id: UUID, knowledge_base_id: UUID) -> None:
        """Remove all passages of a knowledge base."""
        client = await self._connected()
        models = _models()
        doomed = models.Filter(must=[_is("organization_id", organization_id), _is("knowledge_base_id", knowledge_base_id)])
        with _failures() as failures, failures.ignoring(_NOT_FOUND):
            await client.delete(self._collection, models.FilterSelector(filter=doomed), wait=True)

    async def count(self, organization_id: UUID) -> int:
        """Return how many passages the organisation has."""
        client = await self._connected()
        own = _models().Filter(must=[_is("organization_id", organization_id)])
        counts: list[int] = []
        with _failures() as failures, failures.ignoring(_NOT_FOUND):
            counts.append((await client.count(self._collection, count_filter=own, exact=True)).count)
        return sum(counts)

    async def close(self) -> None:
        """Close the connections. The next call opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _connected(self) -> "AsyncQdrantClient":
        if self._client is not None:
            return self._client
        async with self._connecting:
            if self._client is None:
                await asyncio.to_thread(importlib.import_module, "qdrant_client")
                self._client = self._connect()
        return self._client

    def _connect(self) -> "AsyncQdrantClient":
        from qdrant_client import AsyncQdrantClient  # noqa: PLC0415 - late: see above

        transport = importlib.import_module("qdrant_client.async_qdrant_remote").httpx  # the one the client is built on

        return AsyncQdrantClient(
            url=self._url,
            # The key goes by the header's name: as `api_key` it is the same header, with a warning for every plain-HTTP address.
            headers={"api-key": self._api_key} if self._api_key else None,
            prefer_grpc=False,
            check_compatibility=False,  # it would call from the constructor, in a thread of its own
            timeout=_TIMEOUT_SECONDS,
            # The client's own default for 127.0.0.1 opens a connection per call.
            limits=transport.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS, keepalive_expiry=30.0),
            trust_env=False,
        )

    def _check(self, vector: Sequence[float]) -> None:
        if len(vector) != self._dimension:
            raise ValueError(f"A vector here has {self._dimension} numbers, not {len(vector)}.")


@functools.cache
def _models() -> Any:  # noqa: ANN401 - the module of the client's types, imported late
    return importlib.import_module("qdrant_client.models")


def _sparse(weights: TermWeights) -> Any:  # noqa: ANN401 - a type of the late import
    return _models().SparseVector(indices=list(weights.numbers), values=list(weights.weights))


def _is(field: str, value: UUID) -> Any:  # noqa: ANN401 - a type of the late import
    models = _models()
    return models.FieldCondition(key=field, match=models.MatchValue(value=str(value)))


def _tenant_base(organization_id: UUID, knowledge_base_id: UUID) -> str:
    return f"{organization_id}/{knowledge_base_id}"


class _Failures:
    """What the client raises, in the core's words."""

    @contextlib.contextmanager
    def ignoring(self, status: int) -> Iterator[None]:
        from qdrant_client.http.exceptions import UnexpectedResponse  # noqa: PLC0415 - late: see above

        try:
            yield
        except UnexpectedResponse as error:
            if error.status_code != status:
                raise


@contextlib.contextmanager
def _failures() -> Iterator[_Failures]:
    """Turn "does not answer", "not now", "not you" and "not prepared" into `Unavailable`; a malformed request stays a defect."""
    from qdrant_client.common.client_exceptions import ResourceExhaustedResponse  # noqa: PLC0415 - late: see above
    from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse  # noqa: PLC0415 - late

    try:
        yield _Failures()
    except (ResponseHandlingException, ResourceExhaustedResponse) as error:
        raise Unavailable("The passage index does not answer.") from error
    except UnexpectedResponse as error:
        status = error.status_code or _SERVER_ERROR
        if status >= _SERVER_ERROR or status in (_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _TOO_MANY):
            raise Unavailable(f"The passage index refuses with status {status}.") from error
        raise
