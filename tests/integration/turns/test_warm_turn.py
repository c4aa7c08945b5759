"""What a turn asks of Postgres, counted on the wire of the real app: few round trips, and nothing that grows with what is stored."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest

from shared_kernel.identifiers import new_id
from tests.fixtures.app import Caller, Site, open_site, site_settings
from tests.fixtures.postgres_wire import Wire, counted_wire
from tests.fixtures.scale import grow, sequential_scans
from tests.integration.redis_store.valkey import Valkey

TURNS = 7
ROUND_TRIPS = 4
COPIES = 10_000


@pytest.fixture
async def wire(database_url: str) -> AsyncIterator[Wire]:
    async with counted_wire(database_url) as wire:
        yield wire


async def counted(wire: Wire, asking: Caller, conversation_id: str, *, keyed: bool = False) -> tuple[int, int]:
    """Return the round trips and statements of one warm turn; a heartbeat may fall into some of them."""
    found = []
    for _ in range(TURNS):
        wire.reset()
        headers = {"idempotency_key": str(new_id())} if keyed else {}
        answer = await asking("POST", f"/conversations/{conversation_id}/messages", {"content": "How much is the Pro plan?"}, **headers)
        assert answer.is_success, answer.text
        found.append((wire.round_trips, wire.statements))
    return min(found)


async def test_a_warm_turn_takes_four_round_trips_at_most_however_much_is_stored(
    wire: Wire, superuser_url: str, app_valkey: Valkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Site]:
        async with open_site(site_settings(wire.dsn, app_valkey.url, tmp_path), superuser_url, monkeypatch) as site:
            yield site

    async with opened() as site:
        owner = await site.person()
        agent_id = await site.agent(owner)
        conversation_id = await site.conversation(owner, agent_id)
        key = await site.api_key(owner, ["conversations:reply"])
        await counted(wire, key, conversation_id)
        under_a_key = await counted(wire, key, conversation_id, keyed=True)
        by_person, by_key = [await counted(wire, caller, conversation_id) for caller in (owner, key)]
    assert (by_person[0], by_key[0]) == (2, 3), "a person is confirmed where the turn opens, a key's call is metered by itself"
    assert max(by_person[0], by_key[0]) <= ROUND_TRIPS
    assert under_a_key == (by_key[0], by_key[1] + 1), "a key is claimed by one more statement of the same round trip"

    grow(superuser_url, organization=owner.organization_id, agent=UUID(agent_id), conversation=UUID(conversation_id), copies=COPIES)
    before = sequential_scans(superuser_url)
    async with opened() as site:
        asking = Caller(site.client, key.organization_id, key.headers)
        await counted(wire, asking, conversation_id)
        assert await counted(wire, asking, conversation_id) == by_key
    scans = sequential_scans(superuser_url) - before
    assert [table for table, count in scans.items() if count >= TURNS] == []
