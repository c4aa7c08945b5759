"""The first answer stays what the same request gets, whatever happened since."""

from typing import Any

import pytest

from domains.conversational_ai.model.turn import AgentNotPublished
from tests.unit.conversational_ai.turn_house import TurnHouse, answered, said


@pytest.mark.parametrize("keyed", [{"idempotency_key": "k"}, {"client_message_id": "m"}], ids=str)
async def test_an_agent_that_is_not_published_any_more_does_not_take_the_answer_back(keyed: dict[str, Any]) -> None:
    house = await TurnHouse.make(["49 euros."])
    replica = house.replica()
    first = await replica.ask(house.message(**keyed))
    words = said(await answered(first))
    house.kept.conversations[house.conversation_id].agent = None
    again = await replica.ask(house.message(**keyed))
    assert (again.turn_id, again.repeated, said(await answered(again))) == (first.turn_id, True, words)
    with pytest.raises(AgentNotPublished):
        await replica.ask(house.message())
