"""The OpenAI-compatible API on the real app, by the official client."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import openai
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionChunk

from contracts.identity.permissions import Role
from domains.billing.use_cases.apply_plan import ApplyPlan, ApplyPlanHandler
from domains.conversational_ai.model.answer_format import AnswerFormat
from domains.conversational_ai.model.tool_call import Tool, ToolCall, ToolChoice
from domains.conversational_ai.ports.generative_model import AnswerFinished, FinishReason, ModelCannot, ModelRefused, ModelTimedOut
from entrypoints.http.routing import ACCESS
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Principal
from tests.fakes.generative_model import Pause, Step
from tests.fixtures.app import Caller, Shop, Site
from tests.fixtures.routes import described

SCOPES = ["conversations:reply"]
ASK: Any = [{"role": "user", "content": "How much is the Pro plan?"}]
WEATHER: Any = {"type": "function", "function": {"name": "weather", "description": "Says it", "parameters": {"type": "object"}}}
CALL = ToolCall("call_1", "weather", '{"city": "Paris"}')
CALLED = AnswerFinished(FinishReason.TOOL_CALLS, 10, 5, False, "scripted", "tests", (CALL,))
CALL_SENT = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
ANSWER = "The Pro plan costs 49 euros [1]."


def play(site: Site, *scripts: list[Step]) -> None:
    """Let the model say this from now on."""
    site.model._scripts = [list(s) for s in scripts]
    site.model.requests.clear()


@dataclass
class Desk:
    """A shop, a key to it, and the official client with that key."""

    site: Site
    shop: Shop
    key: Caller
    openai: AsyncOpenAI
    url: str

    @property
    def slug(self) -> str:
        return "guide"

    def client(self, key: str, **options: Any) -> AsyncOpenAI:
        return AsyncOpenAI(api_key=key, base_url=self.url, max_retries=0, **options)

    async def quotas(self) -> dict[str, int]:
        found = (await self.shop.owner("GET", "/billing/quotas")).json()
        return {q["metric"]: q["used"] for q in found if q["metric"] in {"messages_ai", "conversations", "api_calls"}}

    async def conversations(self) -> list[str]:
        return [c["id"] for c in (await self.shop.owner("GET", "/conversations")).json()["items"]]


@asynccontextmanager
async def opened(site: Site) -> AsyncIterator[Desk]:
    shop = await site.shop()
    key = await site.api_key(shop.owner, SCOPES)
    async with site.served() as served:
        url = f"{served.base_url}/v1"
        token = key.headers["authorization"].removeprefix("Bearer ")
        async with AsyncOpenAI(api_key=token, base_url=url, max_retries=0) as client:
            yield Desk(site, shop, Caller(served, key.organization_id, key.headers), client, url)


@pytest.fixture
async def desk(site: Site) -> AsyncIterator[Desk]:
    async with opened(site) as found:
        yield found


def ours(answered: Any) -> dict[str, Any]:
    found: dict[str, Any] = answered.model_extra["luneo"]
    return found


async def streamed(desk: Desk, **options: Any) -> list[ChatCompletionChunk]:
    options = {"model": desk.slug, "messages": ASK, "stream": True, **options}
    return [chunk async for chunk in await desk.openai.chat.completions.create(**options)]


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


async def test_published_agents_are_the_models(desk: Desk) -> None:
    await desk.shop.owner.made("/agents", {"name": "Draft"})
    second = await desk.site.agent(desk.shop.owner)
    models = [m async for m in desk.openai.models.list()]
    assert [m.id for m in models] == ["guide-2", "guide"]
    assert {(m.object, m.owned_by) for m in models} == {("model", "luneo")}
    for name in (second, "guide-2"):
        assert (await desk.openai.models.retrieve(name)) == models[0]
    assert models[0].created > 1_700_000_000
    with pytest.raises(openai.NotFoundError) as missing:
        await desk.openai.models.retrieve("draft")
    assert (missing.value.code, missing.value.param, missing.value.type) == ("model_not_found", "model", "invalid_request_error")


async def test_a_whole_completion(desk: Desk) -> None:
    before = await desk.quotas()
    answered = await desk.openai.chat.completions.create(model=desk.slug, messages=ASK)
    assert (answered.object, answered.model, answered.choices[0].finish_reason) == ("chat.completion", desk.slug, "stop")
    message = answered.choices[0].message
    assert (message.role, message.content, message.refusal, message.tool_calls) == ("assistant", ANSWER, None, None)
    assert answered.usage is not None
    assert answered.usage.total_tokens == answered.usage.prompt_tokens + answered.usage.completion_tokens > 0
    told = ours(answered)
    assert answered.id == f"chatcmpl-{told['turn_id']}"
    assert told["conversation_id"] is None
    [citation] = told["citations"]
    assert (citation["source_id"], citation["number"]) == (desk.shop.source_id, 1)
    after = await desk.quotas()
    assert {m: after[m] - before[m] for m in after} == {"messages_ai": 1, "conversations": 0, "api_calls": 1}


async def test_a_completion_leaves_no_conversation_but_its_turn_can_be_explained(desk: Desk) -> None:
    before = await desk.conversations()
    told = ours(await desk.openai.chat.completions.create(model=desk.shop.agent_id, messages=ASK))
    assert await desk.conversations() == before
    turn = (await desk.shop.owner("GET", f"/turns/{told['turn_id']}")).json()
    assert (turn["status"], turn["message"]["content"]) == ("completed", ANSWER)
    for path in ("", "/messages"):
        assert (await desk.shop.owner("GET", f"/conversations/{turn['conversation_id']}{path}")).status_code == 404
    asked = await desk.shop.owner("POST", f"/conversations/{turn['conversation_id']}/messages", {"content": "And?"})
    assert asked.status_code == 404


async def test_a_streamed_completion_arrives_piece_by_piece(desk: Desk) -> None:
    pause = Pause()
    play(desk.site, ["Nine ", pause, "euros [1]."])
    options: Any = {"model": desk.slug, "messages": ASK, "stream": True, "stream_options": {"include_usage": True}}
    chunks = []
    async for chunk in await desk.openai.chat.completions.create(**options):
        chunks.append(chunk)
        if text_of(chunks) == "Nine ":
            pause.go_on.set()  # had it been buffered, nobody would come here
    assert text_of(chunks) == "Nine euros [1]."
    assert {(c.id, c.object, c.model) for c in chunks} == {(chunks[0].id, "chat.completion.chunk", desk.slug)}
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["stop"]
    *others, last = chunks
    assert all(c.usage is None for c in others)
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens > 0
    told = ours(others[-1])
    assert chunks[0].id == f"chatcmpl-{told['turn_id']}"
    assert [c["number"] for c in told["citations"]] == [1]


async def test_usage_is_streamed_only_where_it_is_asked_for(desk: Desk) -> None:
    chunks = await streamed(desk)
    assert text_of(chunks) == ANSWER
    assert all(c.choices and "usage" not in c.model_fields_set for c in chunks)


async def test_the_messages_given_are_the_history(desk: Desk) -> None:
    play(desk.site, ["Nine."])
    messages: Any = [
        {"role": "system", "content": "Answer in one word."},
        {"role": "user", "content": [{"type": "text", "text": "Hello"}, {"type": "text", "text": "there"}]},
        {"role": "assistant", "content": "Hello."},
        {"role": "developer", "content": "No greetings."},
        {"role": "user", "content": "How much?"},
    ]
    await desk.openai.chat.completions.create(
        model=desk.slug,
        messages=messages,
        temperature=0.1,
        top_p=0.5,
        frequency_penalty=-1,
        presence_penalty=0,
        logprobs=False,
        max_completion_tokens=7,
        user="ada",
        seed=1,
        extra_body={"unknown": {"a": 1}},
    )
    [request] = desk.site.model.requests
    assert [(m.role.value, m.content) for m in request.messages] == [("user", "Hello\nthere"), ("assistant", "Hello.")]
    assert (request.question, request.guidance) == ("How much?", "Answer in one word.\n\nNo greetings.")
    assert (request.temperature, request.max_tokens) == (0.1, 7)
    assert (request.top_p, request.frequency_penalty, request.presence_penalty) == (0.5, -1, 0)
    assert "Answer in one word." not in request.instructions
    assert request.end_user not in {None, "ada"}


async def test_a_conversation_is_kept_where_it_is_named(desk: Desk) -> None:
    conversation = await desk.site.conversation(desk.shop.owner, desk.shop.agent_id)
    before = await desk.quotas()
    for content in ("How much is Pro?", "And free?"):
        messages: Any = [{"role": "user", "content": "not what was said"}, {"role": "user", "content": content}]
        answered = await desk.openai.chat.completions.create(
            model=desk.slug, messages=messages, extra_body={"conversation_id": conversation}
        )
        assert ours(answered)["conversation_id"] == conversation
    after = await desk.quotas()
    assert {m: after[m] - before[m] for m in ("messages_ai", "conversations")} == {"messages_ai": 2, "conversations": 1}
    stored = (await desk.shop.owner("GET", f"/conversations/{conversation}/messages")).json()["items"]
    assert [m["content"] for m in stored] == ["How much is Pro?", ANSWER, "And free?", ANSWER]
    assert [m.content for m in desk.site.model.requests[-1].messages] == ["How much is Pro?", ANSWER]
    other = await desk.site.conversation(desk.shop.owner, await desk.site.agent(desk.shop.owner))
    with pytest.raises(openai.BadRequestError) as refused:
        await desk.openai.chat.completions.create(model=desk.slug, messages=ASK, extra_body={"conversation_id": other})
    assert refused.value.param == "conversation_id"
    with pytest.raises(openai.NotFoundError):
        await desk.openai.chat.completions.create(model=desk.slug, messages=ASK, extra_body={"conversation_id": str(new_id())})


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"n": 2}, "n"),
    ({"n": 0}, "n"),
    ({"temperature": 2.5}, "temperature"),
    ({"top_p": 1.1}, "top_p"),
    ({"frequency_penalty": -2.1}, "frequency_penalty"),
    ({"presence_penalty": 2.1}, "presence_penalty"),
    ({"logprobs": True}, "logprobs"),
    ({"top_logprobs": 3}, "logprobs"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "system", "content": "alone"}]}, "messages"),
    ({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hi"}]}, "messages"),
    ({"messages": [{"role": "user", "content": " "}]}, "messages"),
    ({"messages": [{"role": "user", "content": "a" * 8_001}]}, "messages"),
    ({"messages": [{"role": "wizard", "content": "hi"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "messages[0].content"),
    ({"messages": [{"role": "system", "content": "a" * 20_001}, {"role": "user", "content": "hi"}]}, "messages"),
    ({"messages": "hi"}, "messages"),
    ({"model": None}, "model"),
    ({"conversation_id": "hi"}, "conversation_id"),
    ({"user": "u" * 513}, "user"),
    ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
    ({"stop": ""}, "stop"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ({"response_format": {"type": "yaml"}}, "response_format.type"),
    ({"tools": [{"type": "function", "function": {"name": "not a name"}}]}, "tools[0].function.name"),
    ({"tools": [{"type": "function", "function": {"name": "f"}}] * 129}, "tools"),
    ({"tools": [{"type": "function", "function": {"name": "f", "description": "a" * 100_001}}]}, "tools"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "other"}}}, "tool_choice"),
    (
        {"messages": [{"role": "user", "content": "hi"}, {"role": "tool", "content": "x", "tool_call_id": "a"}]},
        "messages[1].tool_call_id",
    ),
    ({"messages": [{"role": "assistant", "tool_calls": [CALL_SENT]}, {"role": "user", "content": "hi"}]}, "messages"),
    (
        {
            "messages": [
                {"role": "user", "content": "hi"},
                {"role": "assistant", "tool_calls": [CALL_SENT]},
                {"role": "tool", "content": "x" * 200_001, "tool_call_id": "call_1"},
            ]
        },
        "messages",
    ),
    ({"tools": [WEATHER], "conversation_id": str(new_id())}, "tools"),
]


async def test_what_cannot_be_is_refused_in_openais_words(desk: Desk) -> None:
    for changes, param in REFUSED:
        body = {"model": desk.slug, "messages": ASK, **changes}
        answer = await desk.key.client.post("/v1/chat/completions", json=body, headers=desk.key.headers)
        assert answer.status_code == 400, answer.text
        error = answer.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert (error["type"], error["param"]) == ("invalid_request_error", param), error
        assert error["message"]
        assert answer.headers["x-should-retry"] == "false"


async def test_errors_are_what_the_client_knows_them_as(desk: Desk) -> None:
    async with desk.client("lun_live_junk") as client:
        with pytest.raises(openai.AuthenticationError) as unknown:
            await client.models.list()
    assert (unknown.value.status_code, unknown.value.code) == (401, "invalid_api_key")
    weak = await desk.site.api_key(desk.shop.owner, ["agents:view"])
    async with desk.client(weak.headers["authorization"].removeprefix("Bearer ")) as client:
        with pytest.raises(openai.PermissionDeniedError) as denied:
            await client.models.list()
    assert denied.value.code == "permission_denied"
    with pytest.raises(openai.NotFoundError) as missing:
        await desk.openai.chat.completions.create(model="gpt-4o", messages=ASK)
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    for method, path, status in (("GET", "/v1/nothing", 404), ("GET", "/v1/chat/completions", 405), ("POST", "/v1/models", 405)):
        answer = await desk.key.client.request(method, path, headers=desk.key.headers)
        assert (answer.status_code, set(answer.json()["error"])) == (status, {"message", "type", "param", "code"})
    for content, kind, status in ((b"{", "application/json", 400), (b"a=b", "application/x-www-form-urlencoded", 415)):
        headers = {**desk.key.headers, "content-type": kind}
        answer = await desk.key.client.post("/v1/chat/completions", content=content, headers=headers)
        assert (answer.status_code, answer.json()["error"]["type"]) == (status, "invalid_request_error")


async def test_over_quota(desk: Desk) -> None:
    apply_plan = await desk.site.container.get(ApplyPlanHandler)
    await apply_plan(ApplyPlan(plan="enterprise", requested_by=Principal.system(desk.shop.owner.organization_id)))
    await desk.site.run(
        "update billing.quota_counters set limit_value = 1, ceiling = 1 where organization_id = %s and metric = 'messages_ai'",
        (desk.shop.owner.organization_id,),
    )
    for stream in (False, True):
        with pytest.raises(openai.RateLimitError) as refused:
            await desk.openai.chat.completions.create(model=desk.slug, messages=ASK, stream=stream)
        assert (refused.value.code, refused.value.type) == ("insufficient_quota", "insufficient_quota")
        assert refused.value.response.headers["x-should-retry"] == "false"


async def test_rate_limits_are_told_as_openai_tells_them(desk: Desk) -> None:
    answered = await desk.openai.chat.completions.with_raw_response.create(model=desk.slug, messages=ASK)
    limit = int(answered.headers["x-ratelimit-limit-requests"])
    assert 0 < int(answered.headers["x-ratelimit-remaining-requests"]) < limit
    assert answered.headers["x-ratelimit-reset-requests"].endswith("s")
    assert answered.headers["ratelimit-policy"].startswith('"api_key"')
    assert UUID(answered.headers["luneo-turn"]).version == 7


@pytest.mark.parametrize("stream", [False, True])
async def test_a_model_that_fails_before_a_word_is_a_status(desk: Desk, *, stream: bool) -> None:
    before = await desk.quotas()
    for failure, may_retry in ((ModelTimedOut(), True), (ModelRefused("no"), False)):
        play(desk.site, [failure])
        with pytest.raises(openai.InternalServerError) as failed:
            await desk.openai.chat.completions.create(model=desk.slug, messages=ASK, stream=stream)
        assert (failed.value.status_code, failed.value.code, failed.value.type) == (503, failure.code, "server_error")
        assert ("x-should-retry" not in failed.value.response.headers) == may_retry
        assert ("retry-after" in failed.value.response.headers) == may_retry
    assert (await desk.quotas())["messages_ai"] == before["messages_ai"], "without an answer nothing is taken"


async def test_a_model_that_fails_in_the_middle_is_an_error_inside_the_stream(desk: Desk) -> None:
    play(desk.site, ["Nine ", ModelTimedOut()])
    chunks = []
    with pytest.raises(openai.APIError) as failed:  # noqa: PT012 - the stream begins well
        async for chunk in await desk.openai.chat.completions.create(model=desk.slug, messages=ASK, stream=True):
            chunks.append(chunk)  # noqa: PERF401 - what came before the error counts
    assert text_of(chunks) == "Nine "
    assert (failed.value.code, failed.value.type) == ("model_timed_out", "server_error")


@pytest.mark.parametrize("reason", [FinishReason.LENGTH, FinishReason.CONTENT_FILTER])
async def test_why_it_ended_is_told(desk: Desk, reason: FinishReason) -> None:
    play(desk.site, ["Nine eu", AnswerFinished(reason, 10, 5, False, "scripted", "tests")])
    answered = await desk.openai.chat.completions.create(model=desk.slug, messages=ASK)
    assert answered.choices[0].finish_reason == reason.value
    assert [c.choices[0].finish_reason for c in await streamed(desk)][-1] == reason.value


async def test_a_client_that_leaves_has_its_turn_finished_and_metered(desk: Desk) -> None:
    pause, before = Pause(), await desk.quotas()
    play(desk.site, ["Nine ", pause, "euros."])
    stream = await desk.openai.chat.completions.create(model=desk.slug, messages=ASK, stream=True)
    turn_id = stream.response.headers["luneo-turn"]
    await anext(aiter(stream))
    await stream.close()
    pause.go_on.set()
    async with asyncio.timeout(10):
        await desk.shop.owner("GET", f"/turns/{turn_id}/events")  # to its end
    turn = (await desk.shop.owner("GET", f"/turns/{turn_id}")).json()
    assert (turn["status"], turn["message"]["content"]) == ("completed", "Nine euros.")
    assert (await desk.quotas())["messages_ai"] == before["messages_ai"] + 1


@pytest.mark.parametrize("stream", [False, True])
async def test_the_same_key_gives_the_same_completion(desk: Desk, *, stream: bool) -> None:
    headers = {**desk.key.headers, "idempotency-key": "once"}
    body = {"model": desk.slug, "messages": ASK, "stream": stream}
    first, second = [await desk.key.client.post("/v1/chat/completions", json=body, headers=headers) for _ in range(2)]
    assert (first.status_code, second.status_code) == (200, 200)
    assert second.headers["idempotent-replayed"] == "true"
    assert first.headers["luneo-turn"] == second.headers["luneo-turn"]
    assert (await desk.quotas())["messages_ai"] == 2, "the shop's own, and one"
    if not stream:
        assert first.json() == second.json()
    else:
        assert second.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("stream", [False, True])
async def test_functions_are_offered_called_and_answered(desk: Desk, *, stream: bool) -> None:
    play(desk.site, [CALLED], ["It rains."])
    options: Any = {"model": desk.slug, "tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "weather"}}}
    if stream:
        chunks = await streamed(desk, **options)
        call: Any
        [call] = [c for chunk in chunks for c in chunk.choices[0].delta.tool_calls or ()]
        assert call.index == 0
        assert chunks[-1].choices[0].finish_reason == "tool_calls"
    else:
        answered = await desk.openai.chat.completions.create(messages=ASK, **options)
        assert (answered.choices[0].finish_reason, answered.choices[0].message.content) == ("tool_calls", None)
        asked: Any = answered.choices[0].message.tool_calls
        [call] = asked
    assert call.function is not None
    assert (call.id, call.type, call.function.name, call.function.arguments) == ("call_1", "function", "weather", '{"city": "Paris"}')
    messages = [
        *ASK,
        {"role": "assistant", "content": None, "tool_calls": [call.model_dump(exclude={"index"})]},
        {"role": "tool", "tool_call_id": "call_1", "content": "Rain"},
    ]
    last: Any = {**options, "messages": messages, "tool_choice": "auto", "parallel_tool_calls": False}
    answered = await desk.openai.chat.completions.create(**last)
    assert answered.choices[0].message.content == "It rains."
    offered, request = desk.site.model.requests
    assert offered.tools == (Tool("weather", "Says it", {"type": "object"}),)
    assert (offered.tool_choice, request.tool_choice) == (ToolChoice("function", "weather"), ToolChoice("auto"))
    assert request.parallel_tool_calls is False
    assert request.question == ASK[0]["content"]
    assert [(m.content, m.tool_calls, m.tool_call_id) for m in request.continuation] == [("", (CALL,), None), ("Rain", (), "call_1")]


async def test_stop_and_the_form_of_the_answer_reach_the_model(desk: Desk) -> None:
    play(desk.site, ['{"price": 49}'])
    schema: dict[str, object] = {"type": "object", "properties": {"price": {"type": "integer"}}}
    for form in (
        {"type": "json_schema", "json_schema": {"name": "price", "schema": schema, "strict": True}},
        {"type": "json_object"},
        {"type": "text"},
    ):
        options: Any = {"model": desk.slug, "messages": ASK, "response_format": form, "stop": "END"}
        await desk.openai.chat.completions.create(**options)
    formed, free, text = desk.site.model.requests
    assert formed.answer_format == AnswerFormat(schema, "price", None, strict=True)
    assert (free.answer_format, text.answer_format) == (AnswerFormat(), None)
    assert formed.stop == ("END",)


async def test_what_the_model_cannot_do_is_the_callers_error(desk: Desk) -> None:
    play(desk.site, [ModelCannot("It writes no JSON")])
    with pytest.raises(openai.BadRequestError) as refused:
        await desk.openai.chat.completions.create(model=desk.slug, messages=ASK, response_format={"type": "json_object"})
    assert (refused.value.code, refused.value.type) == ("unsupported_value", "invalid_request_error")


async def test_the_laws_of_routes_hold_here_too(desk: Desk) -> None:
    """Who may, whose it is, and what a suspended organisation may: as under `/api/v1`, in OpenAI's words."""
    owner, stranger = desk.shop.owner, await desk.site.person()
    people = {
        "owner": owner,
        "member": await desk.site.member(owner, Role.MEMBER),
        "viewer": await desk.site.member(owner, Role.VIEWER),
        "stranger": stranger,
        "anonymous": desk.site.anonymous(),
    }
    routes = [r for r in described(desk.site.app) if r.template.startswith("/v1/")]
    assert {r.name for r in routes} == {"list_models", "get_model", "create_chat_completion"}

    async def tried(route: Any, who: Caller) -> httpx.Response:
        path = route.template.replace("{model:str}", desk.shop.agent_id).replace("{model}", desk.shop.agent_id)
        body = {"model": desk.shop.agent_id, "messages": ASK} if route.method == "POST" else None
        return await desk.site.client.request(route.method, path, headers=who.headers, json=body)

    for route in routes:
        assert route.handler.opt[ACCESS].permission.value == SCOPES[0]
        found = {name: (await tried(route, who)).status_code for name, who in people.items()}
        assert found == {
            "owner": 200,
            "member": 200,
            "viewer": 403,
            "stranger": 200 if route.name == "list_models" else 404,
            "anonymous": 401,
        }, route
    mine = await desk.site.client.get("/v1/models", headers=stranger.headers)
    assert mine.json() == {"object": "list", "data": []}
    await desk.site.run("update identity.organizations set status = 'suspended' where id = %s", (owner.organization_id,))
    for route in routes:
        answer = await tried(route, desk.key)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "organization_suspended")
