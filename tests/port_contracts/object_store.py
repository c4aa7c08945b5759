"""What an object store does, whatever it keeps objects in: the tests of each give a fixture `store`."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from domains.conversational_ai.ports.object_store import ObjectKey, ObjectStore, pieces, whole
from shared_kernel.errors import NotFound
from shared_kernel.identifiers import new_id


async def broken() -> AsyncIterator[bytes]:
    yield b"the beginning"
    raise ConnectionResetError


async def large() -> AsyncIterator[bytes]:
    for i in range(24):
        yield bytes([i]) * 500_000


class ObjectStoreContract:
    async def test_what_is_put_is_got(self, store: ObjectStore) -> None:
        key = ObjectKey(new_id(), "sources/a/1/original")
        assert await store.put(key, pieces(b"hello")) == 5
        assert await whole(await store.get(key)) == b"hello"
        assert await store.size(key) == 5

    async def test_an_empty_object_is_an_object(self, store: ObjectStore) -> None:
        key = ObjectKey(new_id(), "empty")
        assert await store.put(key, pieces(b"")) == 0
        assert await store.size(key) == 0
        assert await whole(await store.get(key)) == b""

    async def test_what_is_put_again_replaces(self, store: ObjectStore) -> None:
        key = ObjectKey(new_id(), "a")
        await store.put(key, pieces(b"a long first one"))
        await store.put(key, pieces(b"second"))
        assert await whole(await store.get(key)) == b"second"

    async def test_a_large_object_comes_in_pieces_and_whole(self, store: ObjectStore) -> None:
        key = ObjectKey(new_id(), "large")
        assert await store.put(key, large()) == 12_000_000
        found = [piece async for piece in await store.get(key)]
        assert len(found) > 1
        assert b"".join(found) == await whole(large())

    async def test_what_is_not_there_is_not_found(self, store: ObjectStore) -> None:
        key = ObjectKey(new_id(), "sources/a")
        await store.put(key, pieces(b"x"))
        for missing in (
            ObjectKey(key.organization_id, "sources"),
            ObjectKey(key.organization_id, "sources/a/b"),
            ObjectKey(new_id(), "sources/a"),
        ):
            assert await store.size(missing) is None
            with pytest.raises(NotFound):
                await store.get(missing)

    async def test_content_that_breaks_leaves_nothing_and_keeps_what_was_there(self, store: ObjectStore) -> None:
        fresh, old = ObjectKey(new_id(), "fresh"), ObjectKey(new_id(), "old")
        await store.put(old, pieces(b"old"))
        for key in (fresh, old):
            with pytest.raises(ConnectionResetError):
                await store.put(key, broken())
        assert await store.size(fresh) is None
        assert await whole(await store.get(old)) == b"old"

    async def test_a_link_leads_to_the_object_and_to_nothing_else(self, store: ObjectStore) -> None:
        key = ObjectKey(new_id(), "linked")
        await store.put(key, pieces(b"hello"), saved_as="prix d’été.pdf")
        link = await store.link(key, timedelta(minutes=1))
        if link is None:  # nobody else reaches it
            return
        async with httpx.AsyncClient() as client:
            answer = await client.get(link)
            assert (answer.status_code, answer.content) == (200, b"hello")
            assert answer.headers["content-type"] == "application/octet-stream"
            assert answer.headers["content-disposition"].startswith("attachment; ")
            assert "prix%20d%E2%80%99%C3%A9t%C3%A9.pdf" in answer.headers["content-disposition"]
            await store.delete(key)
            assert (await client.get(link)).status_code == 404

    async def test_deleting_removes_it_and_twice_is_fine(self, store: ObjectStore) -> None:
        key, other = ObjectKey(new_id(), "a"), ObjectKey(new_id(), "a")
        await store.put(key, pieces(b"mine"))
        await store.put(other, pieces(b"another's"))
        await store.delete(key)
        await store.delete(key)
        assert await store.size(key) is None
        assert await store.size(other) == 9

    async def test_deleting_below_takes_what_is_below_and_nothing_else(self, store: ObjectStore) -> None:
        mine, theirs = new_id(), new_id()
        below = [ObjectKey(mine, "sources/a/1/original"), ObjectKey(mine, "sources/a/1/text"), ObjectKey(mine, "sources/a/2/original")]
        stays = [
            ObjectKey(mine, "sources/ab/1/original"),
            ObjectKey(mine, "sources/b/1/original"),
            ObjectKey(theirs, "sources/a/1/original"),
        ]
        for key in [*below, *stays]:
            await store.put(key, pieces(b"x"))
        await asyncio.gather(*(store.delete_below(ObjectKey(mine, "sources/a")) for _ in range(3)))
        await store.delete_below(ObjectKey(mine, "nothing"))
        assert [await store.size(key) for key in below] == [None] * 3
        assert [await store.size(key) for key in stays] == [1] * 3

    async def test_what_is_older_is_listed_whosever_it_is(self, store: ObjectStore) -> None:
        keys = {ObjectKey(new_id(), f"knowledge/{i}/original") for i in range(3)}
        for key in keys:
            await store.put(key, pieces(b"x"))
        now = datetime.now(UTC)
        assert not keys & {key async for key in store.older(now - timedelta(hours=1))}
        assert keys <= {key async for key in store.older(now + timedelta(hours=1))}

    async def test_the_last_of_two_at_once_wins_whole(self, store: ObjectStore) -> None:
        key = ObjectKey(new_id(), "raced")
        await asyncio.gather(*(store.put(key, pieces(bytes([i]) * 100_000)) for i in range(8)))
        found = await whole(await store.get(key))
        assert len(found) == 100_000
        assert len(set(found)) == 1


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", "../a", "a/../b", ".hidden", "a/.b", "a\\b", "A", "a\0", "é", "a b"])
def test_a_key_names_no_place_elsewhere(name: str) -> None:
    with pytest.raises(ValueError, match="is no name of an object"):
        ObjectKey(new_id(), name)
