"""Answers given anew and questions asked otherwise, over HTTP."""

from typing import Any

from tests.fixtures.app import Caller, Site
from tests.http.test_turns import STREAM, Reader, play, quotas


async def messages(caller: Caller, conversation: str, query: str = "") -> list[dict[str, Any]]:
    answer = await caller("GET", f"/conversations/{conversation}/messages{query}")
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def texts(items: list[dict[str, Any]]) -> list[str]:
    return [m["content"] for m in items]


async def test_an_answer_given_anew_takes_the_place_of_the_earlier_one(site: Site) -> None:
    play(site, ["First."], ["Second."], ["Third."], ["Fourth."])
    ada = await site.person()
    conversation = await site.conversation(ada, await site.agent(ada))
    path = f"/conversations/{conversation}/messages"
    first = (await ada("POST", path, {"content": "How much?"})).json()
    await ada("POST", path, {"content": "And Pro?"})
    used = (await quotas(ada))[0]
    again = await ada("POST", f"/turns/{first['turn_id']}/regenerate", idempotency_key="again-1")
    assert (again.status_code, again.json()["message"]["content"], again.json()["conversation_id"]) == (200, "Third.", conversation)
    assert again.headers["luneo-turn"] == again.json()["turn_id"] != first["turn_id"]
    repeated = await ada("POST", f"/turns/{first['turn_id']}/regenerate", idempotency_key="again-1")
    assert (repeated.json(), repeated.headers["idempotent-replayed"]) == (again.json(), "true")
    assert (await quotas(ada))[0] == used + 1
    assert site.model.requests[-1].messages == (), "the model does not see what is answered anew"
    current = await messages(ada, conversation)
    assert texts(current) == ["How much?", "Third."]
    assert [m["parent_id"] for m in current] == [None, current[0]["id"]]
    everything = await messages(ada, conversation, "?branches=true")
    assert [(m["content"], m["current"]) for m in everything] == [
        ("How much?", True),
        ("First.", False),
        ("And Pro?", False),
        ("Second.", False),
        ("Third.", True),
    ]
    assert [m["id"] for m in everything if m["parent_id"] == current[0]["id"]] == [everything[1]["id"], everything[4]["id"]]
    assert (await ada("GET", f"/turns/{first['turn_id']}")).json()["message"]["content"] == "First."


async def test_an_answer_given_anew_streams_as_any(site: Site) -> None:
    play(site, ["First."], ["Sec", "ond."])
    ada = await site.person()
    conversation = await site.conversation(ada, await site.agent(ada))
    turn = (await ada("POST", f"/conversations/{conversation}/messages", {"content": "How much?"})).json()["turn_id"]
    async with ada.client.stream("POST", f"/api/v1/turns/{turn}/regenerate", headers={**ada.headers, "accept": STREAM}) as response:
        events = await Reader(response).rest()
    assert [name for _, name, _ in events][-2:] == ["answer.completed", "turn.completed"]
    assert "".join(data["text"] for _, name, data in events if name == "answer.delta") == "Second."


async def test_an_edited_question_begins_another_branch(site: Site) -> None:
    play(site, ["First."], ["Second."], ["Third."])
    ada = await site.person()
    conversation = await site.conversation(ada, await site.agent(ada))
    path = f"/conversations/{conversation}/messages"
    for content in ("How much?", "And Pro?"):
        await ada("POST", path, {"content": content})
    question = (await messages(ada, conversation))[2]
    edited = await ada("POST", path, {"content": "And Business?", "edit_of": question["id"]})
    assert edited.json()["message"]["content"] == "Third."
    assert texts(await messages(ada, conversation)) == ["How much?", "First.", "And Business?", "Third."]
    late = await ada("POST", path, {"content": "And what?", "edit_of": question["id"]})
    assert (late.status_code, late.json()["code"]) == (409, "message_not_in_branch")
    stranger = await site.person()
    elsewhere = await site.conversation(stranger, await site.agent(stranger))
    nowhere = await stranger("POST", f"/conversations/{elsewhere}/messages", {"content": "Mine?", "edit_of": question["id"]})
    assert (nowhere.status_code, nowhere.json()["code"]) == (404, "not_found")
    assert texts(await messages(ada, conversation, "?branches=true&limit=3")) == ["How much?", "First.", "And Pro?"]


async def test_a_conversation_is_titled_by_its_first_question_in_the_current_branch(site: Site) -> None:
    play(site, ["First."], ["Second."])
    ada = await site.person()
    conversation = await site.conversation(ada, await site.agent(ada))

    async def titles() -> list[str | None]:
        one = (await ada("GET", f"/conversations/{conversation}")).json()
        [listed] = (await ada("GET", "/conversations")).json()["items"]
        return [one["title"], listed["title"]]

    assert await titles() == [None, None]
    path = f"/conversations/{conversation}/messages"
    await ada("POST", path, {"content": "é" * 130})
    assert await titles() == ["é" * 120] * 2
    [asked] = [m for m in await messages(ada, conversation) if m["role"] == "user"]
    await ada("POST", path, {"content": "How much?", "edit_of": asked["id"]})
    assert await titles() == ["How much?"] * 2
