"""Deliveries as a state machine on Postgres: whatever is lost, doubled, delayed or killed, each effect is made once and in order."""

import asyncio
from collections import defaultdict
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, TypeVar, cast
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from shared_kernel.identifiers import new_id
from tests.integration.messaging.post_office import Bookkeeping, Notifying, PostOffice, open_post_office

T = TypeVar("T")
THINGS = 3


class Deliveries(RuleBasedStateMachine):
    """Two organisations, three aggregates, a broker that loses and doubles, consumers that die, a clock that jumps."""

    def __init__(self, office: PostOffice, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.office, self.loop = office, loop
        self.organizations = [new_id(), new_id()]
        self.things = [(self.organizations[n % 2], new_id()) for n in range(THINGS)]
        self.versions: dict[UUID, int] = defaultdict(int)
        self.poisoned: set[tuple[UUID, int]] = set()
        office.fates.poison.clear()
        office.sent.clear()
        office.broker_gone = False
        self.run(office.run("truncate messaging.events cascade; truncate public.effects"))

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(coroutine)

    @rule(which=st.integers(0, THINGS - 1), count=st.integers(1, 3), poison=st.booleans())
    def something_happens(self, which: int, count: int, poison: bool) -> None:
        organization, thing = self.things[which]
        for _ in range(count):
            self.versions[thing] += 1
            self.run(self.office.publish(organization, thing, self.versions[thing]))
        if poison and not self.poisoned:
            self.poisoned.add((thing, self.versions[thing]))
            self.office.fates.poison.add((thing, self.versions[thing]))

    @rule()
    def relays(self) -> None:
        self.run(self.office.relay.relay_once())

    @rule()
    def two_relays_at_once(self) -> None:
        async def both() -> None:
            await asyncio.gather(self.office.relay.relay_once(), self.office.relay.relay_once())

        self.run(both())

    @precondition(lambda self: self.office.sent)
    @rule(data=st.data())
    def a_worker_takes_one(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.office.sent) - 1))
        _, delivery, organization = self.office.sent.pop(index)
        self.run(self.office.dispatcher(delivery, organization))

    @precondition(lambda self: self.office.sent)
    @rule(data=st.data())
    def a_worker_dies_over_one(self, data: st.DataObject) -> None:
        _, delivery, organization = self.office.sent.pop(data.draw(st.integers(0, len(self.office.sent) - 1)))
        self.run(self.office.received.begin(delivery, organization, self.office.clock.now()))

    @precondition(lambda self: self.office.sent)
    @rule(data=st.data())
    def two_workers_take_the_same(self, data: st.DataObject) -> None:
        _, delivery, organization = data.draw(st.sampled_from(self.office.sent))

        async def both() -> None:
            await asyncio.gather(self.office.dispatcher(delivery, organization), self.office.dispatcher(delivery, organization))

        self.run(both())

    @precondition(lambda self: self.office.sent)
    @rule()
    def the_broker_forgets_everything(self) -> None:
        self.office.sent.clear()

    @precondition(lambda self: self.office.sent)
    @rule(data=st.data())
    def the_broker_doubles_one(self, data: st.DataObject) -> None:
        self.office.sent.append(data.draw(st.sampled_from(self.office.sent)))

    @rule(gone=st.booleans())
    def the_broker_goes_and_comes(self, gone: bool) -> None:
        self.office.broker_gone = gone

    @rule(seconds=st.sampled_from([1, 5, 11, 300]))
    def time_passes(self, seconds: int) -> None:
        self.office.clock.at += timedelta(seconds=seconds)

    @precondition(lambda self: self.poisoned)
    @rule()
    def the_defect_is_mended(self) -> None:
        self.office.fates.poison.clear()
        self.poisoned.clear()

    @invariant()
    def effects_are_in_order_and_never_twice(self) -> None:
        for _, thing in self.things:
            ordered = self.run(self.office.effects(thing))
            assert ordered == list(range(1, len(ordered) + 1))
            unordered = self.run(self.office.effects(thing, Notifying.NAME))
            assert len(unordered) == len(set(unordered))
            assert set(unordered) <= set(range(1, self.versions[thing] + 1))

    def teardown(self) -> None:
        """When everything works again, everything arrives; a dead letter only needs its replay."""
        self.office.broker_gone = False
        self.office.fates.poison.clear()
        while True:
            self.run(self.office.relayed.replay(None, self.office.clock.now()))
            self.run(self.office.until_quiet())
            if not self.run(self.office.run("select 1 from messaging.deliveries where state <> 'done'")):
                break
            self.office.clock.at += timedelta(seconds=301)
        for _, thing in self.things:
            whole = list(range(1, self.versions[thing] + 1))
            assert self.run(self.office.effects(thing, Bookkeeping.NAME)) == whole
            assert sorted(self.run(self.office.effects(thing, Notifying.NAME))) == whole


def test_every_effect_is_made_once_and_in_order(database_url: str, superuser_url: str) -> None:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        office = runner.run(stack.enter_async_context(open_post_office(database_url, superuser_url)))
        try:
            run_state_machine_as_test(
                cast("Any", lambda: Deliveries(office, runner.get_loop())),
                settings=settings(max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)),
            )
        finally:
            runner.run(stack.aclose())
