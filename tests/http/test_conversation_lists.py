"""Conversations in the order of their last use."""

from tests.fixtures.app import Caller, Site
from tests.http.test_turns import play


async def listed(caller: Caller, query: str) -> tuple[list[str], str | None]:
    answer = await caller("GET", f"/conversations?{query}")
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["items"]], answer.json()["next_cursor"]


async def test_by_last_use_the_latest_message_comes_first_and_empty_ones_are_not_counted(site: Site) -> None:
    play(site, ["Said."], ["Said."], ["Said."], ["Said."], ["Said."])
    ada = await site.person()
    agent = await site.agent(ada)
    first, second, third, *empty = [await site.conversation(ada, agent) for _ in range(6)]
    for conversation in (first, second, third, first):
        assert (await ada("POST", f"/conversations/{conversation}/messages", {"content": "How much?"})).status_code == 200
    assert await listed(ada, "order=last_used") == ([first, third, second], None)
    assert await listed(ada, f"order=last_used&agent_id={agent}&limit=3") == ([first, third, second], None)
    assert (await listed(ada, ""))[0] == [*reversed(empty), third, second, first], "without an order, the newest first"

    page, cursor = await listed(ada, "order=last_used&limit=2")
    assert page == [first, third]
    assert (await ada("POST", f"/conversations/{third}/messages", {"content": "And Pro?"})).status_code == 200
    assert await listed(ada, f"order=last_used&limit=2&cursor={cursor}") == ([second], None), "what moved up is not told twice"
    assert await listed(ada, "order=last_used") == ([third, first, second], None)


async def test_the_order_is_one_of_two_and_nobody_elses_conversations_are_in_it(site: Site) -> None:
    play(site, ["Said."])
    ada, eve = await site.person(), await site.person()
    conversation = await site.conversation(ada, await site.agent(ada))
    await ada("POST", f"/conversations/{conversation}/messages", {"content": "How much?"})
    assert await listed(eve, "order=last_used") == ([], None)
    wrong = await ada("GET", "/conversations?order=alphabetical")
    assert (wrong.status_code, [e["field"] for e in wrong.json()["errors"]]) == (422, ["order"])
    assert (await ada("GET", "/conversations?order=last_used&cursor=x")).status_code == 422
