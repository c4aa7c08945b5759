"""The OpenAI-compatible embeddings: what they send, what they take, and what they make of a server that fails."""

import array
import asyncio
import base64
import json
import math
import time
from collections.abc import Sequence
from typing import Any

import pytest

from adapters.embeddings.openai_compatible import OpenAICompatibleEmbeddings
from domains.conversational_ai.ports.embeddings import QUESTION_CHARACTERS, UNRELATED
from shared_kernel.errors import Unavailable
from shared_kernel.identifiers import new_id
from tests.integration.llm.llmock_server import LlmockServer, llmock_server
from tests.integration.llm.raw_upstream import RawUpstream, raw_upstream, status

__all__ = ["llmock_server"]

OURS, THEIRS = new_id(), new_id()


def at(upstream: RawUpstream | LlmockServer, **settings: Any) -> OpenAICompatibleEmbeddings:
    defaults: dict[str, Any] = {"api_key": "sk-1", "model": "m", "dimension": 2, "seconds": 3.0}
    return OpenAICompatibleEmbeddings(base_url=upstream.base_url, **(defaults | settings))


def vectors(*embeddings: object, places: Sequence[int | None] | None = None) -> bytes:
    """Return an answer with these, each at its place."""
    data = [
        {"object": "embedding", "embedding": each} | ({} if place is None else {"index": place})
        for each, place in zip(embeddings, places or range(len(embeddings)), strict=True)
    ]
    return status("200 OK", body=json.dumps({"object": "list", "data": data, "model": "m"}).encode())


def packed(*numbers: float) -> str:
    return base64.b64encode(array.array("f", numbers).tobytes()).decode()


@pytest.mark.parametrize("east", [[2.0, 0.0], packed(2.0, 0.0)], ids=["numbers", "base64"])
@pytest.mark.parametrize("places", [(1, 0), (None, None)], ids=["by index", "in order"])
async def test_vectors_come_in_either_form_and_order_and_leave_with_length_one(east: object, places: Sequence[int | None]) -> None:
    north = [0.0, 0.5]
    async with raw_upstream([vectors(*((east, north) if places[0] else (north, east)), places=places)]) as upstream, at(upstream) as found:
        assert [list(v) for v in await found.embed_passages(["north", "east"])] == [[0.0, 1.0], [1.0, 0.0]]
    assert upstream.headers[0]["authorization"] == "bearer sk-1"
    assert upstream.bodies == [{"model": "m", "input": ["north", "east"], "encoding_format": "base64"}]


async def test_passages_go_in_batches_with_their_prefix_and_the_dimension() -> None:
    answers = [[vectors([1, 0], [0, 1])], [vectors([1, 1])]]
    settings = {"batch": 2, "passage_prefix": "passage: ", "asks_for_dimension": True}
    async with raw_upstream(*answers) as upstream, at(upstream, **settings) as found:
        got = await found.embed_passages(["a", "", "c"])
        assert await found.embed_passages([]) == []
    assert [[round(x, 3) for x in v] for v in got] == [[1, 0], [0, 1], [0.707, 0.707]]
    assert [body["input"] for body in upstream.bodies] == [["passage: a", "passage: "], ["passage: c"]]
    assert {body["dimensions"] for body in upstream.bodies} == {2}


async def test_a_question_is_sent_by_its_first_part_with_its_own_prefix_and_never_empty() -> None:
    async with raw_upstream([vectors([1, 0])]) as upstream:
        async with at(upstream, question_prefix="query: ") as found:
            await found.embed_query(OURS, "x" * 5_000)
            assert found.name == "m-2+query: |"
        async with at(upstream) as found:
            await found.embed_query(OURS, "")
            assert found.name == "m-2"
    assert [body["input"] for body in upstream.bodies] == [["query: " + "x" * QUESTION_CHARACTERS], [" "]]


async def test_similarities_are_brought_to_the_common_scale() -> None:
    async with at(RawUpstream()) as found:
        assert found.similarity(0.83) == pytest.approx(0.83)
    async with at(RawUpstream(), unrelated=0.2) as found:
        assert [found.similarity(cosine) for cosine in (1.0, 0.6, 0.2, 0.0)] == pytest.approx([1.0, 0.9, UNRELATED, 0.75])


async def test_a_third_party_server_takes_what_is_sent(llmock_server: LlmockServer) -> None:
    llmock_server.script()
    async with at(llmock_server, model="text-embedding-3-small", dimension=1536) as found:
        one, other = await found.embed_passages(["one", "other"])
        assert list(one) != list(other)
        assert math.hypot(*one) == pytest.approx(1)
        assert list(await found.embed_query(OURS, "one")) == list(one)
    with pytest.raises(Unavailable, match="1536 numbers instead of 384"):
        async with at(llmock_server, dimension=384) as found:
            await found.embed_query(OURS, "one")


@pytest.mark.parametrize(
    "passing",
    [
        status("429 Too Many Requests", "retry-after: 0"),
        status("503 Service Unavailable"),
        status("200 OK", body=b'{"data": [{"emb'),
        b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{",
    ],
    ids=["429", "503", "broken JSON", "hangs up"],
)
async def test_what_may_pass_is_tried_again(passing: bytes) -> None:
    hangs_up = b"900" in passing
    async with raw_upstream([passing], [vectors([1, 0])], hangs_up=hangs_up) as upstream, at(upstream) as found:
        assert list(await found.embed_query(OURS, "a")) == [1, 0]
    assert len(upstream.bodies) == 2


async def test_a_server_that_is_asked_for_more_time_gets_it_unless_none_is_left() -> None:
    busy = status("429 Too Many Requests", "retry-after-ms: 600")
    async with raw_upstream([busy], [vectors([1, 0])]) as upstream, at(upstream) as found:
        begun = time.monotonic()
        await found.embed_query(OURS, "a")
        assert time.monotonic() - begun >= 0.6
    async with raw_upstream([status("429 Too Many Requests", "retry-after: 60")]) as upstream, at(upstream) as found:
        with pytest.raises(Unavailable, match="answered 429"):
            await found.embed_query(OURS, "a")
    assert len(upstream.bodies) == 1


@pytest.mark.parametrize(
    ("answer", "said", "requests"),
    [
        (status("503 Service Unavailable"), "answered 503", 3),
        (status("200 OK", body=b"<html>"), "no list of embeddings", 3),
        (status("200 OK", body=b"\xff"), "no list of embeddings", 3),
        (status("401 Unauthorized", body=b'{"error": "sk-1 is wrong"}'), r"refuses the key \(401\): LUNEO_EMBEDDINGS_API_KEY", 1),
        (status("404 Not Found"), r"refuses \(404\): LUNEO_EMBEDDINGS_BASE_URL and LUNEO_EMBEDDINGS_MODEL", 1),
        (status("302 Found", "location: http://127.0.0.1:1/"), r"refuses \(302\)", 1),
        (vectors([1, 0, 0], [1, 0, 0]), "a vector of 3 numbers instead of 2: LUNEO_EMBEDDINGS_DIMENSION", 1),
        (vectors([1, 0]), "was given 2 texts and returned 1 vectors", 1),
        (vectors([1, 0], [1, 0], [1, 0]), "was given 2 texts and returned 3 vectors", 1),
        (vectors([1, 0], [0, 1], places=(1, 1)), "order is unclear", 1),
        (vectors([1, 0], [0, 1], places=(0, 7)), "order is unclear", 1),
        (vectors([1, 0], [0, 0]), "no direction", 1),
        (vectors([1, 0], [1.7e308, 1.7e308]), "no direction", 1),
        (vectors(packed(1, 0), packed(math.nan, 0)), "no direction", 1),
        (vectors("not base64", packed(1, 0)), "no base64", 1),
        (vectors("AAA=", packed(1, 0)), "no base64", 1),
        (status("200 OK", body=b" " * 200_000), "far more than was asked", 1),
    ],
)
async def test_what_does_not_help_is_said(answer: bytes, said: str, requests: int) -> None:
    async with raw_upstream([answer]) as upstream, at(upstream) as found:
        with pytest.raises(Unavailable, match=said) as raised:
            await found.embed_passages(["a", "b"])
    assert len(upstream.bodies) == requests
    assert "sk-1" not in raised.value.detail


async def test_a_server_that_is_slow_is_given_up_in_time() -> None:
    never = asyncio.Event()
    async with raw_upstream([never]) as upstream, at(upstream, seconds=0.3) as found:
        begun = time.monotonic()
        with pytest.raises(Unavailable, match="too long"):
            await found.embed_query(OURS, "a")
        assert time.monotonic() - begun < 2


async def test_a_server_that_is_away() -> None:
    async with at(RawUpstream(port=1), retries=0) as found:
        with pytest.raises(Unavailable, match="connection to the embedding model failed"):
            await found.embed_query(OURS, "a")


async def test_questions_of_organisations_take_turns_beyond_those_on_their_way() -> None:
    gate = asyncio.Event()
    async with raw_upstream([gate, vectors([1, 0])]) as upstream, at(upstream, questions_at_once=1) as found:
        ours = [asyncio.create_task(found.embed_query(OURS, f"ours {n}")) for n in range(3)]
        await asyncio.sleep(0)
        theirs = asyncio.create_task(found.embed_query(THEIRS, "theirs"))
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*ours, theirs)
    assert [body["input"] for body in upstream.bodies] == [["ours 0"], ["ours 1"], ["theirs"], ["ours 2"]]
