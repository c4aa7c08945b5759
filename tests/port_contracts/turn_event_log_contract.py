"""What every `TurnEventLog` does."""

import asyncio
from contextlib import AbstractAsyncContextManager
from uuid import UUID

import pytest

from domains.conversational_ai.ports.turn_event_log import LoggedEvent, TurnEventLog, TurnEventsMissing
from shared_kernel.identifiers import new_id


def delta(sequence: int) -> LoggedEvent:
    """Return a piece of answer."""
    return LoggedEvent(sequence, "answer.delta", f'{{"text": "é{sequence}"}}'.encode())


def end(sequence: int, name: str = "turn.completed") -> LoggedEvent:
    """Return a last event."""
    return LoggedEvent(sequence, name, b"{}")


async def read_all(log: TurnEventLog, organization_id: UUID, turn_id: UUID, after: int, idle_seconds: float = 3.0) -> list[LoggedEvent]:
    """Return what a reader gets."""
    return [event async for event in log.read(organization_id, turn_id, after, idle_seconds=idle_seconds)]


class TurnEventLogContract:
    """Subclass and say how to open one."""

    def open(self) -> AbstractAsyncContextManager[TurnEventLog]:
        """Return the adapter, ready, for the length of the block."""
        raise NotImplementedError

    @pytest.mark.parametrize("last", ["turn.completed", "turn.stopped", "turn.failed", "handoff.requested"])
    async def test_a_finished_turn_is_read_from_anywhere_to_its_end(self, last: str) -> None:
        async with self.open() as log:
            organization, turn = new_id(), new_id()
            events = [delta(1), delta(2), delta(3), end(4, last)]
            await log.append(organization, turn, events[:2])
            await log.append(organization, turn, events[2:])
            for after in range(4):
                assert await read_all(log, organization, turn, after) == events[after:]

    async def test_a_reader_follows_live(self) -> None:
        async with self.open() as log:
            organization, turn = new_id(), new_id()
            await log.append(organization, turn, [delta(1)])
            seen: list[int] = []
            arrived = asyncio.Event()

            async def follow() -> None:
                async for event in log.read(organization, turn, 0, idle_seconds=5):
                    seen.append(event.sequence)
                    arrived.set()

            reader = asyncio.create_task(follow())
            for sequence in (2, 3, 4):
                await asyncio.wait_for(arrived.wait(), 2)
                arrived.clear()
                await log.append(organization, turn, [delta(sequence)] if sequence < 4 else [end(4)])
            await asyncio.wait_for(reader, 2)
            assert seen == [1, 2, 3, 4]

    async def test_a_reader_may_come_before_the_turn(self) -> None:
        async with self.open() as log:
            organization, turn = new_id(), new_id()
            reader = asyncio.create_task(read_all(log, organization, turn, 0))
            await asyncio.sleep(0)
            await log.append(organization, turn, [end(1)])
            assert await asyncio.wait_for(reader, 2) == [end(1)]

    async def test_silence_ends_the_reading_without_a_last_event(self) -> None:
        async with self.open() as log:
            organization, turn = new_id(), new_id()
            await log.append(organization, turn, [delta(1)])
            assert await read_all(log, organization, turn, 0, idle_seconds=0.05) == [delta(1)]
            assert await read_all(log, organization, new_id(), 0, idle_seconds=0.05) == []

    async def test_a_gap_is_told_and_not_skipped(self) -> None:
        async with self.open() as log:
            organization, turn = new_id(), new_id()
            await log.append(organization, turn, [delta(3), end(5)])
            with pytest.raises(TurnEventsMissing) as first:
                await read_all(log, organization, turn, 0)
            assert (first.value.expected, first.value.found) == (1, 3)
            with pytest.raises(TurnEventsMissing):
                await read_all(log, organization, turn, 2)
            assert await read_all(log, organization, turn, 4) == [end(5)]

    async def test_adding_again_changes_nothing(self) -> None:
        async with self.open() as log:
            organization, turn = new_id(), new_id()
            await log.append(organization, turn, [delta(1), delta(2)])
            await log.append(organization, turn, [delta(1), delta(2), end(3)])
            await log.append(organization, turn, [])
            assert await read_all(log, organization, turn, 0) == [delta(1), delta(2), end(3)]

    async def test_another_organisation_sees_nothing(self) -> None:
        async with self.open() as log:
            organization, turn = new_id(), new_id()
            assert not await log.exists(organization, turn)
            await log.append(organization, turn, [end(1)])
            assert await log.exists(organization, turn)
            assert not await log.exists(new_id(), turn)
            assert await read_all(log, new_id(), turn, 0, idle_seconds=0.05) == []
