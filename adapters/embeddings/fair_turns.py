"""A few places for everybody, at which organisations take turns."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

_Result = TypeVar("_Result")
_Work = Callable[[], Coroutine[Any, Any, _Result]]
_Waiting = deque[tuple[_Work[Any], "asyncio.Future[Any]"]]


class FairTurns:
    """Runs `places` pieces of work at a time; whoever brings much waits behind themselves, not others behind them.

    Of each organisation at most one piece waits ahead of another organisation's first. Within one, order is kept. Work that nobody waits
    for any more when its place comes is skipped; what has begun runs to its end. Belongs to one event loop.
    """

    def __init__(self, places: int = 1) -> None:
        self._places = places
        self._waiting: dict[UUID | None, _Waiting] = {}  # in the order of whose turn it is
        self._running: set[asyncio.Task[Any]] = set()

    async def run(self, organization_id: UUID | None, work: _Work[_Result]) -> _Result:
        """Return what `work` returns, or raise what it raises, once it was the turn of `organization_id`."""
        result: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(organization_id, deque()).append((work, result))
        self._begin_next()
        return await result

    async def aclose(self) -> None:
        """Cancel what waits, and wait for what runs."""
        waiting, self._waiting = self._waiting, {}
        for pieces in waiting.values():
            for _, result in pieces:
                result.cancel()
        if self._running:
            await asyncio.wait(self._running)

    def _begin_next(self) -> None:
        while self._waiting and len(self._running) < self._places:
            organization_id = next(iter(self._waiting))
            pieces = self._waiting.pop(organization_id)
            while pieces and pieces[0][1].done():
                pieces.popleft()
            if not pieces:
                continue
            work, result = pieces.popleft()
            if pieces:
                self._waiting[organization_id] = pieces
            running = asyncio.get_running_loop().create_task(work())
            self._running.add(running)
            running.add_done_callback(partial(self._ended, result))

    def _ended(self, result: "asyncio.Future[_Result]", running: "asyncio.Task[_Result]") -> None:
        self._running.discard(running)
        if running.cancelled():
            result.cancel()
        else:
            error = running.exception()  # also when nobody waits for it any more, or asyncio complains
            if not result.done():
                if error is not None:
                    result.set_exception(error)
                else:
                    result.set_result(running.result())
        self._begin_next()
