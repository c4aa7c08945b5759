"""Organisations take turns at the places where questions are embedded."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine

import pytest

from adapters.embeddings.fair_turns import FairTurns
from shared_kernel.identifiers import new_id

OURS, THEIRS = new_id(), new_id()


async def fails() -> float:
    return 1 / 0


class Bench:
    """A busy place, and what was done there since."""

    def __init__(self, turns: FairTurns) -> None:
        self.turns = turns
        self.done: list[str] = []
        self.free = asyncio.Event()

    def work(self, name: str) -> Callable[[], Coroutine[None, None, str]]:
        async def run() -> str:
            self.done.append(name)
            return name

        return run


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench(FairTurns())
    holding = asyncio.create_task(bench.turns.run(OURS, bench.free.wait))
    await asyncio.sleep(0)
    yield bench
    bench.free.set()
    await holding
    await bench.turns.aclose()


async def test_of_no_organisation_more_than_one_waits_ahead_of_anothers_first(bench: Bench) -> None:
    many = [asyncio.create_task(bench.turns.run(OURS, bench.work(f"ours {n}"))) for n in range(4)]
    await asyncio.sleep(0)
    few = [asyncio.create_task(bench.turns.run(THEIRS, bench.work(f"theirs {n}"))) for n in range(2)]
    await asyncio.sleep(0)
    bench.free.set()
    assert await asyncio.gather(*few) == ["theirs 0", "theirs 1"]
    await asyncio.gather(*many)
    assert bench.done == ["ours 0", "theirs 0", "ours 1", "theirs 1", "ours 2", "ours 3"]


async def test_what_nobody_waits_for_any_more_is_not_done(bench: Bench) -> None:
    left = [asyncio.create_task(bench.turns.run(OURS, bench.work("left"))) for _ in range(3)]
    stays = asyncio.create_task(bench.turns.run(OURS, bench.work("stays")))
    theirs = asyncio.create_task(bench.turns.run(THEIRS, bench.work("theirs")))
    await asyncio.sleep(0)
    for task in left:
        task.cancel()
    bench.free.set()
    await asyncio.gather(stays, theirs)
    assert bench.done == ["stays", "theirs"]


async def test_an_error_is_its_callers_alone(bench: Bench) -> None:
    broken = asyncio.create_task(bench.turns.run(OURS, fails))
    whole = asyncio.create_task(bench.turns.run(THEIRS, bench.work("whole")))
    await asyncio.sleep(0)
    bench.free.set()
    with pytest.raises(ZeroDivisionError):
        await broken
    assert await whole == "whole"


async def test_whoever_left_while_it_ran_does_not_hold_up_the_next(bench: Bench) -> None:
    left = asyncio.create_task(bench.turns.run(THEIRS, fails))
    bench.free.set()
    while not left.done():
        await asyncio.sleep(0)
        left.cancel()
    assert await bench.turns.run(OURS, bench.work("next")) == "next"


async def test_closing_cancels_what_waits(bench: Bench) -> None:
    waiting = asyncio.create_task(bench.turns.run(THEIRS, bench.work("late")))
    await asyncio.sleep(0)
    closing = asyncio.create_task(bench.turns.aclose())
    await asyncio.sleep(0)
    bench.free.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await closing
    assert bench.done == []


async def test_so_many_run_at_once_as_there_are_places() -> None:
    turns, bench = FairTurns(places=2), Bench(FairTurns())
    held = [asyncio.create_task(turns.run(OURS, bench.free.wait)) for _ in range(2)]
    third = asyncio.create_task(turns.run(THEIRS, bench.work("third")))
    await asyncio.sleep(0)
    assert bench.done == []
    bench.free.set()
    await asyncio.gather(*held, third)
    await turns.aclose()
    assert bench.done == ["third"]
