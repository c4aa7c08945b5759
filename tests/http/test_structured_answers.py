"""An agent whose answers have a form: declared, published, kept to, over every way to ask."""

from typing import Any

import openai
import pytest

from tests.fixtures.app import Caller, Site
from tests.http.test_openai import Desk, opened, play

SCHEMA = {"type": "object", "properties": {"price": {"type": "integer"}}, "required": ["price"], "additionalProperties": False}
FORMAT = {"type": "json_schema", "json_schema": {"name": "price", "schema": SCHEMA}}
GOOD, BAD = '{"price": 49}', '{"price": "49"}'
ASK: Any = [{"role": "user", "content": "How much?"}]


async def priced(owner: Caller, **settings: Any) -> str:
    """A published agent whose answers are prices."""
    agent = await owner.made("/agents", {"name": "Prices", "languages": ["en"], "model": "scripted", "response_format": FORMAT, **settings})
    await owner.made(f"/agents/{agent['id']}/publish", None)
    return str(agent["id"])


async def test_a_form_is_shown_as_it_was_declared_and_taken_back(site: Site) -> None:
    owner = await site.person()
    agent_id = await priced(owner)
    shown = (await owner("GET", f"/agents/{agent_id}")).json()["response_format"]
    assert shown == {"type": "json_schema", "json_schema": {"name": "price", "schema": SCHEMA, "description": None, "strict": None}}
    [version] = (await owner("GET", f"/agents/{agent_id}/versions")).json()["items"]
    assert version["settings"]["response_format"] == shown
    edited = await owner.made(f"/agents/{agent_id}", {"response_format": {"type": "text"}}, "PATCH")
    assert (edited["response_format"], edited["unpublished_changes"]) == ({"type": "text"}, True)
    trail = (await owner("GET", "/audit-events?action=agent.edited")).json()["items"]
    assert trail[0]["before"]["response_format"]["schema"] == SCHEMA
    assert trail[0]["after"] == {"response_format": None}


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"type": "json_schema"}, "response_format.json_schema"),
        ({"type": "json_object"}, "response_format.type"),
        ({"type": "json_schema", "json_schema": {"name": "a b", "schema": SCHEMA}}, "response_format.json_schema.name"),
        ({"type": "json_schema", "json_schema": {"name": "a", "schema": []}}, "response_format.json_schema.schema"),
        ({"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "array"}}}, "response_format.json_schema.schema"),
        (
            {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object", "required": 1}}},
            "response_format.json_schema.schema",
        ),
        (
            {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object", "title": "\0"}}},
            "response_format.json_schema.schema",
        ),
    ],
)
async def test_a_wrong_form_is_refused_by_its_field(site: Site, wanted: dict[str, Any], field: str) -> None:
    owner = await site.person()
    refused = await owner("POST", "/agents", {"name": "Prices", "response_format": wanted})
    assert (refused.status_code, [e["field"] for e in refused.json()["errors"]]) == (422, [field])


async def test_the_local_model_is_not_published_with_a_form(site: Site) -> None:
    owner = await site.person()
    agent = await owner.made("/agents", {"name": "Prices", "languages": ["en"], "model": "local", "response_format": FORMAT})
    refused = await owner("POST", f"/agents/{agent['id']}/publish")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "response_format")


async def test_an_answer_is_put_right_once_and_comes_whole(site: Site) -> None:
    owner = await site.person()
    conversation = await site.conversation(owner, await priced(owner))
    play(site, ['{"price"', ': "49"}'], ['{"price"', ": 49}"], [BAD], ["sorry"])
    streamed = await owner("POST", f"/conversations/{conversation}/messages", {"content": "How much?"}, accept="text/event-stream")
    assert streamed.text.count("event: answer.delta") == 1
    assert len(site.model.requests) == 2
    failed = await owner("POST", f"/conversations/{conversation}/messages", {"content": "How much?"})
    assert (failed.status_code, failed.json()["code"]) == (503, "answer_format_violated")
    turn = (await owner("GET", f"/turns/{failed.headers['luneo-turn']}")).json()
    assert (turn["status"], turn["message"]["content"], turn["message"]["complete"]) == ("failed", "sorry", False)
    assert turn["usage"]["tokens_out"] == 2 + 1


async def test_under_v1_an_agents_form_holds_and_a_requests_own_comes_first(site: Site) -> None:
    async with opened(site) as desk:
        await desk.shop.owner.made(f"/agents/{desk.shop.agent_id}", {"response_format": FORMAT}, "PATCH")
        await desk.shop.owner.made(f"/agents/{desk.shop.agent_id}/publish", None)
        play(site, [BAD], ['{"price"', ": 49}"], ["Nine euros."], ['{"any": 1}'], [BAD], [BAD])
        assert await said(desk) == [GOOD], "put right, and told in one piece"
        assert "".join(await said(desk, response_format={"type": "text"})) == "Nine euros."
        assert await said(desk, response_format={"type": "json_object"}) == ['{"any": 1}']
        with pytest.raises(openai.InternalServerError) as failed:
            await said(desk)
        assert failed.value.code == "answer_format_violated"
        with pytest.raises(openai.BadRequestError) as refused:
            await said(desk, response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "array"}}})
        assert refused.value.param == "response_format.json_schema.schema"


async def said(desk: Desk, **options: Any) -> list[str]:
    """The pieces of a streamed completion."""
    stream = await desk.openai.chat.completions.create(model=desk.slug, messages=ASK, stream=True, **options)
    return [chunk.choices[0].delta.content async for chunk in stream if chunk.choices and chunk.choices[0].delta.content]
