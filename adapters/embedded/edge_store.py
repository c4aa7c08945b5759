"""Collections kept in Qdrant Edge shards below one folder, spoken to in the words of Qdrant's REST interface.

Everything here blocks and may be called from any thread. A request's JSON, decoded to plain values, goes in; plain values that
encode to Qdrant's JSON come out. What is not supported is refused by name, never ignored.

Shapes: https://api.qdrant.tech (version 1.20).
"""

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import qdrant_edge as edge

from adapters.embedded.processes import write_atomically

Json = Any  # a decoded JSON value; its shape is checked here
EdgeValue = Any  # a value of Edge's own unions: a vector, a query, a condition, a match

_COLLECTION_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DISTANCES = {
    "Cosine": edge.Distance.Cosine,
    "Euclid": edge.Distance.Euclid,
    "Dot": edge.Distance.Dot,
    "Manhattan": edge.Distance.Manhattan,
}
_INDEX_TYPES: Mapping[str, Callable[[Mapping[str, Json]], Any]] = {
    "keyword": lambda options: edge.KeywordIndexParams(is_tenant=options.get("is_tenant")),
    "uuid": lambda options: edge.UuidIndexParams(is_tenant=options.get("is_tenant")),
    "integer": lambda options: edge.IntegerIndexParams(lookup=options.get("lookup"), range=options.get("range")),
    "float": lambda _: edge.FloatIndexParams(),
    "bool": lambda _: edge.BoolIndexParams(),
    "datetime": lambda _: edge.DatetimeIndexParams(),
}
_DEFAULT_LIMIT = 10
_DEFAULT_RRF_K = 2  # Qdrant's own default


class FolderInUse(Exception):
    """Another process owns this folder; the message names both."""


class CollectionMissing(Exception):
    """No collection of this name; the message is Qdrant's."""


class CollectionExists(Exception):
    """A collection of this name is there already; the message is Qdrant's."""


class WrongInput(Exception):
    """The request can't be fulfilled as it is; the message says what is wrong with it."""


class EdgeStore:
    """All collections below a folder, owned by this process until `close`."""

    def __init__(self, folder: Path) -> None:
        """Take the folder and open what is in it. Raises `FolderInUse` when another process has it."""
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock_descriptor = _lock(folder)
        self._changing = threading.Lock()
        self._collections: dict[str, _Collection] = {}
        for leftover in (*folder.glob(".new-*"), *folder.glob(".deleted-*")):
            shutil.rmtree(leftover)
        for path in sorted(folder.iterdir()):
            if (path / "collection.json").is_file():
                self._collections[path.name] = _Collection.load(path)

    def close(self) -> None:
        """Write everything down and let the folder go. A second call does nothing."""
        with self._changing:
            while self._collections:
                self._collections.popitem()[1].close()
            if self._lock_descriptor >= 0:
                os.close(self._lock_descriptor)
                self._lock_descriptor = -1

    def names(self) -> list[str]:
        """Return the collections' names."""
        return sorted(self._collections)

    def has(self, name: str) -> bool:
        """Tell whether there is such a collection."""
        return name in self._collections

    def get(self, name: str) -> "_Collection":
        """Return a collection. Raises `CollectionMissing`."""
        try:
            return self._collections[name]
        except KeyError:
            raise CollectionMissing(f"Not found: Collection `{name}` doesn't exist!") from None

    def create(self, name: str, body: Json) -> None:
        """Create a collection, all of it or nothing. Raises `CollectionExists`, `WrongInput`."""
        if not _COLLECTION_NAME.fullmatch(name):
            raise WrongInput(f"Wrong input: `{name}` is not a collection name of letters, digits, `_`, `.` and `-`")
        with self._changing:
            if name in self._collections:
                raise CollectionExists(f"Wrong input: Collection `{name}` already exists!")
            unfinished = self._folder / f".new-{secrets.token_hex(8)}"
            unfinished.mkdir()
            try:
                _Collection.create(
                    unfinished, _fields(body, "collection", {"vectors", "sparse_vectors", "hnsw_config", "optimizers_config", "metadata"})
                )
                unfinished.replace(self._folder / name)
            except BaseException:
                shutil.rmtree(unfinished, ignore_errors=True)
                raise
            self._collections[name] = _Collection.load(self._folder / name)

    def delete(self, name: str) -> bool:
        """Delete a collection; return whether there was one."""
        with self._changing:
            collection = self._collections.pop(name, None)
            if collection is None:
                return False
            collection.close()
            doomed = self._folder / f".deleted-{secrets.token_hex(8)}"
            (self._folder / name).replace(doomed)
        shutil.rmtree(doomed)
        return True


class _Collection:
    """One shard. Reads run at the same time; changes one after the other, each on disk before it is acknowledged."""

    def __init__(self, shard: edge.EdgeShard, config: Mapping[str, Json]) -> None:
        self._shard = shard
        self._config = config
        self._writing = threading.Lock()
        self._operations = 0

    @staticmethod
    def create(path: Path, config: dict[str, Json]) -> None:
        vectors = config.get("vectors") or {}
        named = {"": vectors} if "size" in vectors else vectors
        sparse = config.get("sparse_vectors") or {}
        with _wrong_input():
            edge.EdgeShard.create(
                str(path / "shard"),
                edge.EdgeConfig(
                    vectors={name: _vector_parameters(value) for name, value in named.items()},
                    sparse_vectors={name: _sparse_parameters(value) for name, value in sparse.items()},
                ),
            ).close()
        write_atomically(path / "collection.json", json.dumps(config))

    @classmethod
    def load(cls, path: Path) -> "_Collection":
        return cls(edge.EdgeShard.load(str(path / "shard")), json.loads((path / "collection.json").read_text()))

    def close(self) -> None:
        with self._writing:
            self._shard.flush()
            self._shard.close()

    def info(self) -> Json:
        """Describe the collection (`CollectionInfo`)."""
        info = self._shard.info()
        return {
            "status": "green",
            "optimizer_status": "ok",
            "indexed_vectors_count": info.indexed_vectors_count,
            "points_count": info.points_count,
            "segments_count": info.segments_count,
            "config": {
                "params": {
                    "vectors": self._config.get("vectors") or {},
                    "sparse_vectors": self._config.get("sparse_vectors"),
                    "shard_number": 1,
                    "replication_factor": 1,
                    "write_consistency_factor": 1,
                    "on_disk_payload": True,
                },
                "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000},
                "optimizer_config": {"default_segment_number": 0, "flush_interval_sec": 5},
                "metadata": self._config.get("metadata"),
            },
            "payload_schema": {
                field: {"data_type": str(index.data_type).rpartition(".")[2].lower(), "points": index.points}
                for field, index in info.payload_schema.items()
            },
        }

    def create_index(self, body: Json) -> Json:
        """Index a payload field; the same index twice is the same index."""
        body = _fields(body, "index", {"field_name", "field_schema"})
        schema = body.get("field_schema")
        options = {"type": schema} if isinstance(schema, str) else schema
        if not isinstance(options, dict) or options.get("type") not in _INDEX_TYPES:
            raise WrongInput(f"Wrong input: field_schema must be one of {', '.join(_INDEX_TYPES)}")
        if not isinstance(body.get("field_name"), str):
            raise WrongInput("Wrong input: field_name is missing")
        parameters = _INDEX_TYPES[options["type"]](options)
        return self._update(lambda: edge.UpdateOperation.create_field_index(body["field_name"], parameters))

    def delete_index(self, field: str) -> Json:
        """Drop the index of a payload field."""
        return self._update(lambda: edge.UpdateOperation.delete_field_index(field))

    def upsert(self, body: Json) -> Json:
        """Insert or replace points; those that exist only where `update_filter` allows it."""
        body = _fields(body, "upsert", {"points", "batch", "update_filter"})
        if "batch" in body:
            points = _batch_points(body["batch"])
        elif isinstance(body.get("points"), list):
            points = [_point(point) for point in body["points"]]
        else:
            raise WrongInput("Wrong input: points is missing")
        condition = _filter(body.get("update_filter"))
        return self._update(lambda: edge.UpdateOperation.upsert_points(points, condition=condition))

    def delete(self, body: Json) -> Json:
        """Delete points by their ids or by a filter."""
        body = _fields(body, "delete", {"points", "filter"})
        if isinstance(body.get("points"), list):
            ids = [_point_id(value) for value in body["points"]]
            return self._update(lambda: edge.UpdateOperation.delete_points(ids))
        condition = _filter(body.get("filter"))
        if condition is None:
            raise WrongInput("Wrong input: points or filter is missing")
        return self._update(lambda: edge.UpdateOperation.delete_points_by_filter(condition))

    def query(self, body: Json) -> Json:
        """Return the points nearest to a vector, or the fusion of several such lists."""
        body = _fields(
            body,
            "query",
            {"prefetch", "query", "using", "filter", "params", "score_threshold", "limit", "offset", "with_vector", "with_payload"},
        )
        with _wrong_input():
            found = self._shard.query(
                edge.QueryRequest(
                    limit=_count(body, "limit", _DEFAULT_LIMIT),
                    offset=_count(body, "offset", 0),
                    query=_query(body),
                    prefetches=_prefetches(body),
                    with_vector=_vector_selection(body),
                    with_payload=_payload_selection(body, default=False),
                    filter=_filter(body.get("filter")),
                    score_threshold=body.get("score_threshold"),
                    params=_search_parameters(body),
                )
            )
        return {"points": [{**_record(point), "version": point.version, "score": point.score} for point in found]}

    def scroll(self, body: Json) -> Json:
        """Return a page of points in the order of their ids, and where the next page starts."""
        body = _fields(body, "scroll", {"offset", "limit", "filter", "with_payload", "with_vector"})
        with _wrong_input():
            points, following = self._shard.scroll(
                edge.ScrollRequest(
                    offset=None if body.get("offset") is None else _point_id(body["offset"]),
                    limit=_count(body, "limit", _DEFAULT_LIMIT),
                    filter=_filter(body.get("filter")),
                    with_payload=_payload_selection(body, default=True),
                    with_vector=_vector_selection(body),
                )
            )
        return {"points": [_record(point) for point in points], "next_page_offset": None if following is None else _plain_id(following)}

    def retrieve(self, body: Json) -> Json:
        """Return the points of these ids, as far as they exist."""
        body = _fields(body, "retrieve", {"ids", "with_payload", "with_vector"})
        if not isinstance(body.get("ids"), list):
            raise WrongInput("Wrong input: ids is missing")
        with _wrong_input():
            ids = [_point_id(value) for value in body["ids"]]
            points = self._shard.retrieve(ids, _payload_selection(body, default=True), _vector_selection(body))
        return [_record(point) for point in points]

    def count(self, body: Json) -> Json:
        """Count the points that match a filter."""
        body = _fields(body, "count", {"filter", "exact"})
        with _wrong_input():
            return {"count": self._shard.count(edge.CountRequest(exact=body.get("exact", True), filter=_filter(body.get("filter"))))}

    def _update(self, operation: Callable[[], edge.UpdateOperation]) -> Json:
        """Apply a change and flush it: acknowledged means that neither SIGKILL nor a power cut undoes it."""
        with self._writing, _wrong_input():
            self._shard.update(operation())
            self._shard.flush()
            self._operations += 1
            return {"operation_id": self._operations, "status": "completed"}


def _lock(folder: Path) -> int:
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise FolderInUse(f"The vector index in {folder} is in use by process {holder}: one process owns it at a time.") from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


@contextlib.contextmanager
def _wrong_input() -> Iterator[None]:
    """Turn Edge's refusals into `WrongInput`. Edge raises bare `Exception` for wrong requests and for its own failures alike."""
    try:
        yield
    except (WrongInput, CollectionMissing):
        raise
    except (TypeError, ValueError, OverflowError, AttributeError, KeyError) as error:
        raise WrongInput(f"Wrong input: {error}") from error
    except Exception as error:
        message = str(error)
        if "not initialized" in message:
            raise CollectionMissing("Not found: the collection was deleted meanwhile") from error
        if message.startswith("Service"):
            raise
        raise WrongInput(f"Wrong input: {message}") from error


# ------------------------------------------------------------------------------------------------------ from JSON to Edge


def _fields(body: Json, what: str, known: set[str]) -> dict[str, Json]:
    """Check that a body is an object with known fields only; null means absent, as everywhere in Qdrant's interface."""
    if not isinstance(body, dict):
        raise WrongInput(f"Format error in JSON body: {what} must be an object")
    given = {name: value for name, value in body.items() if value is not None}
    unknown = sorted(given.keys() - known)
    if unknown:
        raise WrongInput(f"Format error in JSON body: {what} does not support `{unknown[0]}` here")
    return given


def _count(body: Mapping[str, Json], name: str, default: int) -> int:
    value = body.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise WrongInput(f"Format error in JSON body: {name} must be a whole number, 0 or more")
    return value


def _vector_parameters(value: Json) -> edge.EdgeVectorParams:
    value = _fields(value, "vectors", {"size", "distance", "on_disk"})
    size, distance = value.get("size"), value.get("distance")
    if not isinstance(size, int) or size < 1 or distance not in _DISTANCES:
        raise WrongInput(f"Wrong input: a vector needs a size and one of the distances {', '.join(_DISTANCES)}")
    return edge.EdgeVectorParams(size=size, distance=_DISTANCES[distance])


def _sparse_parameters(value: Json) -> edge.EdgeSparseVectorParams:
    value = _fields(value, "sparse_vectors", {"modifier"})
    if value.get("modifier", "none") not in ("none", "idf"):
        raise WrongInput("Wrong input: modifier must be none or idf")
    return edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf if value.get("modifier") == "idf" else None)


def _point_id(value: Json) -> int | UUID | str:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str):
        try:
            return UUID(value)
        except ValueError:
            pass
    raise WrongInput(f"Format error in JSON body: {value!r} is not a point id: a whole number or a UUID")


def _named_vector(value: Json) -> EdgeValue:
    if isinstance(value, list):
        return value
    if isinstance(value, dict) and value.keys() == {"indices", "values"}:
        return edge.SparseVector(value["indices"], value["values"])
    raise WrongInput("Format error in JSON body: a vector must be a list of numbers or {indices, values}")


def _point(value: Json) -> edge.Point:
    value = _fields(value, "point", {"id", "vector", "payload"})
    return _made_point(value.get("id"), value.get("vector"), value.get("payload"))


def _made_point(identifier: Json, vector: Json, payload: Json) -> edge.Point:
    if vector is None:
        raise WrongInput("Format error in JSON body: a point needs a vector")
    named = isinstance(vector, dict) and "indices" not in vector
    with _wrong_input():
        return edge.Point(
            _point_id(identifier), {name: _named_vector(each) for name, each in vector.items()} if named else _named_vector(vector), payload
        )


def _batch_points(value: Json) -> list[edge.Point]:
    value = _fields(value, "batch", {"ids", "vectors", "payloads"})
    ids, vectors = value.get("ids"), value.get("vectors")
    if not isinstance(ids, list) or not isinstance(vectors, list | dict):
        raise WrongInput("Format error in JSON body: a batch needs ids and vectors")
    each = vectors if isinstance(vectors, list) else [dict(zip(vectors, row, strict=True)) for row in zip(*vectors.values(), strict=True)]
    payloads = value.get("payloads") or [None] * len(ids)
    if not len(ids) == len(each) == len(payloads):
        raise WrongInput("Wrong input: ids, vectors and payloads of a batch must be equally many")
    return [_made_point(*triple) for triple in zip(ids, each, payloads, strict=True)]


def _query(body: Mapping[str, Json]) -> EdgeValue:
    value, using = body.get("query"), body.get("using")
    if value is None:
        return None
    if isinstance(value, dict):
        match value:
            case {"nearest": vector, **others} if not {key for key, other in others.items() if other is not None}:
                return edge.Query.Nearest(_named_vector(vector), using=using)
            case {"fusion": "rrf"}:
                return edge.Fusion.Rrf(k=_DEFAULT_RRF_K)
            case {"fusion": "dbsf"}:
                return edge.Fusion.Dbsf()
            case {"rrf": parameters}:
                parameters = _fields(parameters, "rrf", {"k", "weights"})
                return edge.Fusion.Rrf(k=parameters.get("k", _DEFAULT_RRF_K), weights=parameters.get("weights"))
            case {"indices": _, "values": _}:
                return edge.Query.Nearest(_named_vector(value), using=using)
    if isinstance(value, list):
        return edge.Query.Nearest(_named_vector(value), using=using)
    raise WrongInput("Format error in JSON body: query must be a vector, nearest, fusion or rrf")


def _prefetches(body: Mapping[str, Json]) -> list[edge.Prefetch] | None:
    value = body.get("prefetch")
    if value is None:
        return None
    made = []
    for each in value if isinstance(value, list) else [value]:
        stage = _fields(each, "prefetch", {"prefetch", "query", "using", "filter", "params", "score_threshold", "limit"})
        made.append(
            edge.Prefetch(
                limit=_count(stage, "limit", _DEFAULT_LIMIT),
                query=_query(stage),
                prefetches=_prefetches(stage),
                params=_search_parameters(stage),
                filter=_filter(stage.get("filter")),
                score_threshold=stage.get("score_threshold"),
            )
        )
    return made


def _search_parameters(body: Mapping[str, Json]) -> edge.SearchParams | None:
    if "params" not in body:
        return None
    value = _fields(body["params"], "params", {"hnsw_ef", "exact", "indexed_only", "idf"})
    return edge.SearchParams(
        hnsw_ef=value.get("hnsw_ef"),
        exact=value.get("exact", False),
        indexed_only=value.get("indexed_only", False),
        idf=_idf(value["idf"]) if "idf" in value else None,
    )


def _idf(value: Json) -> edge.IdfParams:
    """Read over which points the rarity of words is counted: all, or those of a filter."""
    if value == "global":
        return edge.IdfParams()
    return edge.IdfParams(corpus=_filter(_fields(value, "idf", {"corpus"}).get("corpus")))


def _payload_selection(body: Mapping[str, Json], *, default: bool) -> EdgeValue:
    value = body.get("with_payload", default)
    match value:
        case bool():
            return value
        case list():
            return edge.PayloadSelector.Include(value)
        case {"include": list(keys)}:
            return edge.PayloadSelector.Include(keys)
        case {"exclude": list(keys)}:
            return edge.PayloadSelector.Exclude(keys)
    raise WrongInput("Format error in JSON body: with_payload must be a boolean, a list of fields, include or exclude")


def _vector_selection(body: Mapping[str, Json]) -> bool | list[str]:
    value = body.get("with_vector", False)
    if isinstance(value, bool | list):
        return value
    raise WrongInput("Format error in JSON body: with_vector must be a boolean or a list of names")


def _filter(value: Json) -> edge.Filter | None:
    if value is None:
        return None
    value = _fields(value, "filter", {"must", "should", "must_not", "min_should"})
    minimum = None
    if "min_should" in value:
        least = _fields(value["min_should"], "min_should", {"conditions", "min_count"})
        minimum = edge.MinShould(_conditions(least.get("conditions", [])) or [], _count(least, "min_count", 1))
    return edge.Filter(
        must=_conditions(value.get("must")),
        should=_conditions(value.get("should")),
        must_not=_conditions(value.get("must_not")),
        min_should=minimum,
    )


def _conditions(value: Json) -> list[EdgeValue] | None:
    if value is None:
        return None
    return [_condition(each) for each in (value if isinstance(value, list) else [value])]


def _condition(value: Json) -> EdgeValue:
    if not isinstance(value, dict):
        raise WrongInput("Format error in JSON body: a condition must be an object")
    given = {name: each for name, each in value.items() if each is not None}
    match given:
        case {"has_id": list(ids), **others} if not others:
            return edge.HasIdCondition({_point_id(each) for each in ids})
        case {"key": str(key), "match": dict(wanted), **others} if not others:
            with _wrong_input():
                return edge.FieldCondition(key, match=_match(wanted))
        case {"key": str(key), "range": dict(bounds), **others} if not others:
            bounds = _fields(bounds, "range", {"gt", "gte", "lt", "lte"})
            with _wrong_input():
                return edge.FieldCondition(key, range=edge.RangeFloat(**bounds))
        case {"is_empty": {"key": str(key)}, **others} if not others:
            return edge.IsEmptyCondition(key)
        case {"is_null": {"key": str(key)}, **others} if not others:
            return edge.IsNullCondition(key)
        case _ if given.keys() <= {"must", "should", "must_not", "min_should"} and given:
            return _filter(given)
    raise WrongInput(f"Format error in JSON body: the condition {json.dumps(given)[:200]} is not supported here")


def _match(wanted: Mapping[str, Json]) -> EdgeValue:
    match {name: each for name, each in wanted.items() if each is not None}:
        case {"value": (str() | bool() | int()) as single, **others} if not others:
            return edge.MatchValue(single)
        case {"any": list(several), **others} if not others:
            return edge.MatchAny(several)
        case {"except": list(several), **others} if not others:
            return edge.MatchExcept(several)
    raise WrongInput("Format error in JSON body: match supports value, any and except")


# ------------------------------------------------------------------------------------------------------ from Edge to JSON


def _plain_id(identifier: int | UUID | str) -> int | str:
    return identifier if isinstance(identifier, int) else str(identifier)


def _plain_vector(vector: EdgeValue) -> Json:
    if isinstance(vector, edge.SparseVector):
        return {"indices": vector.indices, "values": vector.values}
    if isinstance(vector, Mapping):
        if vector.keys() == {""}:
            return _plain_vector(vector[""])
        return {name: _plain_vector(each) for name, each in vector.items()}
    return vector


def _record(point: edge.ScoredPoint | edge.Record) -> dict[str, Json]:
    record: dict[str, Json] = {"id": _plain_id(point.id)}
    if point.payload is not None:
        record["payload"] = point.payload
    if point.vector is not None:
        record["vector"] = _plain_vector(point.vector)
    return record
