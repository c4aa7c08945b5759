import asyncio
import json
import math
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from qdrant_client import QdrantClient, models

from adapters.embedded.edge_store import EdgeStore, FolderInUse
from adapters.embedded.vector_server import create_app
from tests.integration.embedded.vector_process import API_KEY, VectorProcess, vector_process

COLOURS = ["red", "green", "blue"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorProcess]:
    with vector_process(tmp_path_factory.mktemp("vectors")) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: VectorProcess) -> Iterator[QdrantClient]:
    connected = QdrantClient(url=server.url, headers={"api-key": API_KEY}, prefer_grpc=False, timeout=10)
    yield connected
    connected.close()


@pytest.fixture
def collection(client: QdrantClient) -> str:
    """Nine points: ids 1 to 9, vectors turning away from (1, 0), a colour, a shelf."""
    name = f"things-{uuid4()}"
    client.create_collection(
        name,
        vectors_config=models.VectorParams(size=2, distance=models.Distance.COSINE),
        sparse_vectors_config={"words": models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )
    client.create_payload_index(name, "colour", models.PayloadSchemaType.KEYWORD)
    client.upsert(
        name,
        [
            models.PointStruct(
                id=number,
                vector={"": [10.0, float(number)], "words": models.SparseVector(indices=[number % 2, 10 + number], values=[1.0, 1.0])},
                payload={"colour": COLOURS[number % 3], "shelf": number // 4, "tags": ["all", f"n{number}"]},
            )
            for number in range(1, 10)
        ],
    )
    return name


def field(key: str, value: str | int) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


def ids(client: QdrantClient, collection: str, condition: models.Filter) -> list[Any]:
    points = client.query_points(collection, query=[1.0, 0.0], query_filter=condition, limit=100).points
    assert client.count(collection, count_filter=condition).count == len(points)
    return [point.id for point in points]


def test_a_client_finds_a_compatible_server(server: VectorProcess) -> None:
    # With warnings as errors, a version that the client does not accept would fail here.
    connected = QdrantClient(url=server.url, headers={"api-key": API_KEY}, prefer_grpc=False, check_compatibility=True)
    assert connected.info().version == "1.20.0"
    connected.close()


def test_collections_come_and_go(client: QdrantClient) -> None:
    name = f"things-{uuid4()}"
    assert not client.collection_exists(name)
    client.create_collection(name, vectors_config={"text": models.VectorParams(size=3, distance=models.Distance.DOT)})
    assert client.collection_exists(name)
    assert name in [each.name for each in client.get_collections().collections]
    info = client.get_collection(name)
    assert isinstance(info.config.params.vectors, dict)
    assert (info.points_count, info.config.params.vectors["text"].size, info.config.params.vectors["text"].distance) == (0, 3, "Dot")
    assert client.delete_collection(name)
    assert not client.delete_collection(name)
    assert not client.collection_exists(name)


def test_a_payload_index_is_reported_and_may_be_made_twice_and_dropped(client: QdrantClient, collection: str) -> None:
    client.create_payload_index(collection, "colour", models.PayloadSchemaType.KEYWORD)
    client.create_payload_index(
        collection, "shelf", models.IntegerIndexParams(type=models.IntegerIndexType.INTEGER, lookup=True, range=True)
    )
    schema = client.get_collection(collection).payload_schema
    assert {name: (each.data_type, each.points) for name, each in schema.items()} == {"colour": ("keyword", 9), "shelf": ("integer", 9)}
    client.delete_payload_index(collection, "shelf")
    assert set(client.get_collection(collection).payload_schema) == {"colour"}


def test_a_search_finds_the_nearest_with_what_was_asked_for(client: QdrantClient, collection: str) -> None:
    first, second = client.query_points(collection, query=[1.0, 0.0], limit=2, with_payload=True, with_vectors=True).points
    assert first.score == pytest.approx(0.995037)
    assert (first.id, first.payload) == (1, {"colour": "green", "shelf": 0, "tags": ["all", "n1"]})
    assert isinstance(first.vector, dict)
    assert first.vector[""] == pytest.approx([0.995037, 0.0995037])
    assert second.id == 2
    (third,) = client.query_points(collection, query=[1.0, 0.0], limit=1, offset=2, with_payload=["shelf"]).points
    assert (third.id, third.payload, third.vector) == (3, {"shelf": 0}, None)
    near = client.query_points(
        collection, query=[1.0, 0.0], score_threshold=0.95, with_payload=models.PayloadSelectorExclude(exclude=["tags"])
    )
    assert [(point.id, set(point.payload or {})) for point in near.points] == [(n, {"colour", "shelf"}) for n in (1, 2, 3)]


def test_filters_combine(client: QdrantClient, collection: str) -> None:
    red, blue = field("colour", "red"), field("colour", "blue")
    anything = models.FieldCondition(key="colour", match=models.MatchAny(any=["red", "blue"]))
    assert ids(client, collection, models.Filter(must=[red])) == [3, 6, 9]
    assert ids(client, collection, models.Filter(must=[anything, field("shelf", 1)])) == [5, 6]
    assert ids(client, collection, models.Filter(should=[red, blue], must_not=[field("shelf", 0)])) == [5, 6, 8, 9]
    assert ids(client, collection, models.Filter(must=red, must_not=models.HasIdCondition(has_id=[3, 9]))) == [6]
    assert ids(client, collection, models.Filter(must=[field("tags", "n4")])) == [4]
    assert ids(client, collection, models.Filter(must=[models.Filter(should=[red, field("shelf", 2)])], must_not=[blue])) == [3, 6, 9]
    assert ids(client, collection, models.Filter(must=[models.FieldCondition(key="shelf", range=models.Range(gte=2))])) == [8, 9]
    assert ids(
        client, collection, models.Filter(must=[models.FieldCondition(key="colour", match=models.MatchExcept(**{"except": ["red"]}))])
    ) == [1, 2, 4, 5, 7, 8]
    assert ids(client, collection, models.Filter(must=[field("missing", "x")])) == []


def test_dense_and_sparse_lists_are_fused_by_weighted_rank(client: QdrantClient, collection: str) -> None:
    dense = models.Prefetch(query=[1.0, 0.0], limit=3)
    sparse = models.Prefetch(query=models.SparseVector(indices=[19], values=[1.0]), using="words", limit=3)
    (found,) = client.query_points(collection, query=models.SparseVector(indices=[19], values=[1.0]), using="words").points
    assert found.id == 9
    for weights, first in (([1.0, 9.0], 9), ([9.0, 1.0], 1)):
        fused = client.query_points(collection, prefetch=[dense, sparse], query=models.RrfQuery(rrf=models.Rrf(k=60, weights=weights)))
        assert fused.points[0].id == first
        assert {point.id for point in fused.points} == {1, 2, 3, 9}
    plain = client.query_points(collection, prefetch=[dense, sparse], query=models.FusionQuery(fusion=models.Fusion.RRF), limit=4)
    assert {point.id for point in plain.points} == {1, 2, 3, 9}
    only_red = models.Filter(must=[field("colour", "red")])
    filtered = client.query_points(
        collection,
        prefetch=[models.Prefetch(query=[1.0, 0.0], limit=9, filter=only_red)],
        query=models.FusionQuery(fusion=models.Fusion.DBSF),
    )
    assert {point.id for point in filtered.points} == {3, 6, 9}


def test_how_rare_a_word_is_may_be_counted_over_some_of_the_points(client: QdrantClient, collection: str) -> None:
    def score(idf: models.IdfParams | None) -> float:
        found = client.query_points(
            collection,
            query=models.SparseVector(indices=[1], values=[1.0]),
            using="words",
            query_filter=models.Filter(must=[field("colour", "green")]),
            search_params=models.SearchParams(idf=idf),
            limit=1,
        )
        return found.points[0].score

    everywhere = math.log(1 + 4.5 / 5.5)  # five of nine
    assert score(None) == score(models.IdfScope.GLOBAL) == pytest.approx(everywhere, rel=1e-5)
    green = models.IdfCorpusParams(corpus=models.Filter(must=[field("colour", "green")]))
    assert score(green) == pytest.approx(math.log(1 + 1.5 / 2.5), rel=1e-5)  # two of three: 1 and 7, not 4


def test_several_searches_go_in_one_request(client: QdrantClient, collection: str) -> None:
    one, two = client.query_batch_points(
        collection, [models.QueryRequest(query=[1.0, 0.0], limit=1), models.QueryRequest(query=[0.0, 1.0], limit=2)]
    )
    assert [[point.id for point in found.points] for found in (one, two)] == [[1], [9, 8]]


def test_points_are_paged_retrieved_replaced_and_deleted(client: QdrantClient, collection: str) -> None:
    seen: list[Any] = []
    offset = None
    while True:
        page, offset = client.scroll(collection, limit=4, offset=offset, with_payload=False)
        seen += [point.id for point in page]
        if offset is None:
            break
    assert seen == list(range(1, 10))
    assert [point.id for point in client.retrieve(collection, [2, 99, 4])] == [2, 4]
    client.upsert(collection, models.Batch(ids=[2], vectors=[[0.0, 1.0]], payloads=[{"colour": "white"}]))
    (replaced,) = client.retrieve(collection, [2])
    assert replaced.payload == {"colour": "white"}
    client.delete(collection, [1, 2, 99])
    client.delete(collection, models.FilterSelector(filter=models.Filter(must=[field("colour", "red")])))
    assert sorted(point.id for point in client.scroll(collection, limit=100)[0]) == [4, 5, 7, 8]
    name = str(uuid4())
    client.upsert(collection, [models.PointStruct(id=name, vector=[1.0, 1.0])])
    assert [point.id for point in client.retrieve(collection, [name])] == [name]


def test_an_update_filter_guards_what_exists(client: QdrantClient, collection: str) -> None:
    points = [models.PointStruct(id=number, vector=[1.0, 1.0], payload={"colour": "black"}) for number in (1, 3, 50)]
    client.upsert(collection, points, update_filter=models.Filter(must=[field("colour", "red")]))
    assert {point.id for point in client.scroll(collection, scroll_filter=models.Filter(must=[field("colour", "black")]))[0]} == {3, 50}


def test_every_call_but_the_probes_needs_the_key(server: VectorProcess) -> None:
    for path in ("/healthz", "/livez", "/readyz", "/"):
        assert server.call("GET", path, key=None)[0] == 200
    for key in (None, "wrong"):
        for method, path in (("GET", "/collections"), ("GET", "/collections/x/exists"), ("PUT", "/collections/x"), ("POST", "/nowhere")):
            status, answer = server.call(method, path, {} if method != "GET" else None, key=key)
            assert status == 401
            assert answer["status"]["error"]


def test_without_a_configured_key_none_is_needed(tmp_path: Path) -> None:
    with vector_process(tmp_path, api_key="") as open_server:
        assert open_server.call("GET", "/collections", key=None) == (
            200,
            open_server.call("GET", "/collections")[1] | {"time": pytest.approx(0, abs=1)},
        )


def test_errors_have_the_shape_and_the_statuses_of_qdrant(server: VectorProcess, collection: str) -> None:
    query, points = f"/collections/{collection}/points/query", f"/collections/{collection}/points"
    vectors = {"vectors": {"size": 4, "distance": "Cosine"}}
    cases: list[tuple[str, str, Any, int, str]] = [
        ("GET", "/collections/missing", None, 404, "Not found: Collection `missing` doesn't exist!"),
        ("POST", "/collections/missing/points/query", {"query": [1, 2]}, 404, "doesn't exist"),
        ("PUT", "/collections/missing/points", {"points": []}, 404, "doesn't exist"),
        ("GET", points + "/99", None, 404, "99"),
        ("GET", "/nowhere", None, 404, "/nowhere"),
        ("PATCH", points, {}, 405, "PATCH"),
        ("PUT", f"/collections/{collection}", vectors, 409, "already exists"),
        ("PUT", "/collections/%2e%2e%2fescape", vectors, 400, "not a collection name"),
        ("PUT", "/collections/new", {"vectors": {"size": 0, "distance": "Cosine"}}, 400, "size"),
        ("PUT", "/collections/new", {"vectors": {"size": 4, "distance": "Far"}}, 400, "distance"),
        ("PUT", "/collections/new", {**vectors, "shard_number": 3}, 400, "`shard_number`"),
        ("POST", query, b"{", 400, "Format error in JSON body"),
        ("POST", query, [], 400, "must be an object"),
        ("POST", query, {"query": [1, 2, 3]}, 400, "expected dim: 2, got 3"),
        ("POST", query, {"query": "text"}, 400, "query must be"),
        ("POST", query, {"query": [1, "two"]}, 400, "Wrong input"),
        ("POST", query, {"query": [1, 2], "limit": -1}, 400, "limit"),
        ("POST", query, {"query": [1, 2], "using": "nothing"}, 400, "nothing"),
        ("POST", query, {"query": [1, 2], "lookup_from": {"collection": "x"}}, 400, "`lookup_from`"),
        ("POST", query, {"query": [1, 2], "filter": {"must": [{"key": "a", "geo_radius": {}}]}}, 400, "not supported"),
        ("POST", query, {"query": [1, 2], "filter": {"must": [{"key": "a", "match": {"text": "x"}}]}}, 400, "match supports"),
        ("POST", query, {"query": [1, 2], "filter": {"musst": []}}, 400, "`musst`"),
        ("PUT", points, {"points": [{"id": "abc", "vector": [1, 2]}]}, 400, "not a point id"),
        ("PUT", points, {"points": [{"id": 1, "vector": [1, 2, 3]}]}, 400, "expected dim: 2, got 3"),
        ("PUT", points, {"points": [{"id": 1}]}, 400, "needs a vector"),
        ("PUT", points, {}, 400, "points is missing"),
        ("POST", points + "/delete", {}, 400, "points or filter is missing"),
        ("PUT", f"/collections/{collection}/index", {"field_name": "a", "field_schema": "geo"}, 400, "field_schema"),
    ]
    for method, path, body, status, words in cases:
        got, answer = server.call(method, path, body)
        assert (got, words in answer["status"]["error"]) == (status, True), (method, path, body, got, answer)
        assert answer["result"] is None
        assert answer["time"] >= 0
    assert server.call("GET", "/collections/new/exists")[1]["result"] == {"exists": False}
    assert server.call("POST", points + "/count", {})[1]["result"] == {"count": 9}


def test_nothing_acknowledged_is_lost_to_a_kill(tmp_path: Path) -> None:
    acknowledged: list[int] = []
    with vector_process(tmp_path) as first:
        assert first.call("PUT", "/collections/things", {"vectors": {"size": 2, "distance": "Cosine"}})[0] == 200

        def write() -> None:
            for number in range(100_000):
                try:
                    status, _ = first.call(
                        "PUT", "/collections/things/points?wait=true", {"points": [{"id": number, "vector": [1, number]}]}
                    )
                except OSError:
                    return
                if status == 200:
                    acknowledged.append(number)

        writing = threading.Thread(target=write)
        writing.start()
        while len(acknowledged) < 40 and writing.is_alive():
            writing.join(0.01)
        first.call("POST", "/collections/things/points/delete?wait=true", {"points": [0, 1]})
        first.process.kill()
        writing.join(20)
    with vector_process(tmp_path) as second:
        kept = second.call("POST", "/collections/things/points/scroll", {"limit": 100_000})[1]["result"]["points"]
        found = {point["id"] for point in kept}
        assert found >= set(acknowledged) - {0, 1}
        assert len(found) <= len(acknowledged) - 2 + 1
        assert not found & {0, 1}


def test_a_stop_ends_well_and_everything_is_there_again(tmp_path: Path) -> None:
    with vector_process(tmp_path) as first:
        first.call("PUT", "/collections/things", {"vectors": {"size": 2, "distance": "Cosine"}})
        first.call("PUT", "/collections/things/index", {"field_name": "colour", "field_schema": {"type": "keyword", "is_tenant": True}})
        first.call("PUT", "/collections/things/points", {"points": [{"id": 1, "vector": [1, 0], "payload": {"colour": "red"}}]})
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(15) == 0
    with vector_process(tmp_path) as second:
        info = second.call("GET", "/collections/things")[1]["result"]
        assert (info["points_count"], info["payload_schema"]) == (1, {"colour": {"data_type": "keyword", "points": 1}})


def test_a_second_opener_is_told_who_has_the_folder(tmp_path: Path) -> None:
    with vector_process(tmp_path) as first:
        second = VectorProcess(tmp_path)
        assert f"in use by process {first.process.pid}" in second.end()
        assert second.process.returncode == 1
        with pytest.raises(FolderInUse):
            create_app(tmp_path, API_KEY)


def test_half_made_and_half_deleted_collections_are_cleared_away(tmp_path: Path) -> None:
    store = EdgeStore(tmp_path)
    store.create("kept", {"vectors": {"size": 2, "distance": "Cosine"}})
    store.close()
    store.close()
    for leftover in (".new-1", ".deleted-1"):
        (tmp_path / leftover / "shard").mkdir(parents=True)
    store = EdgeStore(tmp_path)
    assert store.names() == ["kept"]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    store.close()


async def test_the_application_answers_and_lets_the_folder_go_at_shutdown(tmp_path: Path) -> None:
    app = create_app(tmp_path, None)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    events: asyncio.Queue[Any] = asyncio.Queue()
    living = asyncio.create_task(app({"type": "lifespan"}, events.get, send))
    await events.put({"type": "lifespan.startup"})
    chunks = iter(
        [
            {"type": "http.request", "body": b'{"vectors": {"size"', "more_body": True},
            {"type": "http.request", "body": b': 2, "distance": "Dot"}}'},
        ]
    )

    async def receive() -> Any:
        return next(chunks)

    await app({"type": "http", "method": "PUT", "path": "/collections/x", "raw_path": b"/collections/x", "headers": []}, receive, send)
    assert json.loads(sent[-1]["body"])["result"] is True
    await events.put({"type": "lifespan.shutdown"})
    await living
    EdgeStore(tmp_path).close()
