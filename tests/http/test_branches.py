"""Answers given anew and questions asked otherwise, over HTTP."""

import asyncio
from typing import Any

import psycopg

from tests.fakes.generative_model import Pause
from tests.fixtures.app import Caller, Site
from tests.http.test_turns import STREAM, Reader, play, quotas

UNTIL_AN_OPENING_WAITS = """
do $$ begin
  while not exists (select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%for share of c%') loop
    perform pg_sleep(0.01);
    perform pg_stat_clear_snapshot();
  end loop;
end $$
"""


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


async def test_an_earlier_branch_is_gone_back_to_and_on_from(site: Site) -> None:
    play(site, ["First."], ["Second."], ["Third."], ["Fourth."])
    ada = await site.person()
    conversation = await site.conversation(ada, await site.agent(ada))
    path = f"/conversations/{conversation}"
    first = (await ada("POST", f"{path}/messages", {"content": "How much?"})).json()
    await ada("POST", f"{path}/messages", {"content": "And Pro?"})
    await ada("POST", f"/turns/{first['turn_id']}/regenerate")
    everything = await messages(ada, conversation, "?branches=true")
    question, earlier, anew = everything[0], everything[1], everything[4]
    assert [m["siblings"] for m in (question, earlier, anew)] == [
        [question["id"]],
        [earlier["id"], anew["id"]],
        [earlier["id"], anew["id"]],
    ]
    for _ in range(2):  # once more changes nothing
        back = await ada("PUT", f"{path}/branch", {"message_id": earlier["id"]})
        assert (back.status_code, back.json()["id"]) == (200, conversation), back.text
        assert texts(await messages(ada, conversation)) == ["How much?", "First.", "And Pro?", "Second."]
    await ada("POST", f"{path}/messages", {"content": "And Business?"})
    assert [m.content for m in site.model.requests[-1].messages] == ["How much?", "First.", "And Pro?", "Second."]
    assert (await ada("PUT", f"{path}/branch", {"message_id": anew["id"]})).status_code == 200
    assert texts(await messages(ada, conversation)) == ["How much?", "Third."]
    await ada("PUT", f"{path}/branch", {"message_id": earlier["id"]})
    assert texts(await messages(ada, conversation))[-2:] == ["And Business?", "Fourth."], "a branch goes on where it had led"
    trail = (await ada("GET", "/audit-events?action=conversation.branch_selected")).json()["items"]
    assert [(e["target_id"], e["after"]) for e in trail][-1] == (conversation, {"message_id": earlier["id"]})


async def test_no_branch_is_selected_while_a_turn_runs_or_elsewhere(site: Site) -> None:
    pause = Pause()
    play(site, ["First."], [pause, "Second."], ["Third."])
    ada, stranger = await site.person(), await site.person()
    conversation = await site.conversation(ada, await site.agent(ada))
    path = f"/conversations/{conversation}"
    await ada("POST", f"{path}/messages", {"content": "How much?"})
    question = (await messages(ada, conversation))[0]["id"]
    asking = asyncio.create_task(ada("POST", f"{path}/messages", {"content": "And Pro?"}))
    await asyncio.wait_for(pause.reached.wait(), 10)
    running = await ada("PUT", f"{path}/branch", {"message_id": question})
    assert (running.status_code, running.json()["code"]) == (409, "turn_in_progress")
    pause.go_on.set()
    assert (await asking).status_code == 200
    assert texts(await messages(ada, conversation)) == ["How much?", "First.", "And Pro?", "Second."]
    other = await site.conversation(ada, await site.agent(ada))
    elsewhere = await site.conversation(stranger, await site.agent(stranger))
    for who, where in ((stranger, conversation), (ada, other), (stranger, elsewhere), (ada, elsewhere)):
        nowhere = await who("PUT", f"/conversations/{where}/branch", {"message_id": question})
        assert (nowhere.status_code, nowhere.json()["code"]) == (404, "not_found")


async def test_a_question_never_stands_after_a_branch_that_was_left_meanwhile(site: Site) -> None:
    """Questions and selections at once: each question is in the branch that its parent is in, or it was refused."""
    play(site, ["First."], ["Second."], ["More."])
    ada = await site.person()
    conversation = await site.conversation(ada, await site.agent(ada))
    path = f"/conversations/{conversation}"
    first = (await ada("POST", f"{path}/messages", {"content": "How much?"})).json()
    await ada("POST", f"/turns/{first['turn_id']}/regenerate")
    answers = [m["id"] for m in await messages(ada, conversation, "?branches=true") if m["role"] == "assistant"]
    for round_number in range(15):
        asked, selected = await asyncio.gather(
            ada("POST", f"{path}/messages", {"content": f"Round {round_number}?"}),
            ada("PUT", f"{path}/branch", {"message_id": answers[round_number % 2]}),
        )
        assert asked.status_code in {200, 409}, asked.text
        assert selected.status_code in {200, 409}, selected.text
        current = await messages(ada, conversation, "?limit=100")
        assert [m["parent_id"] for m in current[1:]] == [m["id"] for m in current[:-1]], round_number


async def test_a_turn_that_read_the_branch_before_it_changed_does_not_open(site: Site) -> None:
    """The branch is selected between the beginning of the opening's statement and its lock: here, while the lock is waited for."""
    play(site, ["First."], ["Second."], ["Third."])
    ada = await site.person()
    conversation = await site.conversation(ada, await site.agent(ada))
    await ada("POST", f"/conversations/{conversation}/messages", {"content": "How much?"})
    async with await psycopg.AsyncConnection.connect(site.superuser_url) as other:
        await other.execute("update conversational_ai.conversations set version = version + 1 where id = %s", (conversation,))
        asking = asyncio.create_task(ada("POST", f"/conversations/{conversation}/messages", {"content": "And Pro?"}))
        async with asyncio.timeout(10):
            await site.run(UNTIL_AN_OPENING_WAITS)
        await other.commit()
    refused = await asking
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    again = await ada("POST", f"/conversations/{conversation}/messages", {"content": "And Pro?"})
    assert again.status_code == 200
    assert texts(await messages(ada, conversation)) == ["How much?", "First.", "And Pro?", "Second."]


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
