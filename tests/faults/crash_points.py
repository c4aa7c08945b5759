"""A process of Luneo with crash points around its ports: `python -m tests.faults.crash_points api` is `luneo api`, but can be doomed.

The file that `FAULTS_PLAN` names says where: `kill <point>` ends the process with SIGKILL when it comes there, `hold <point>` keeps
everybody there until the file is gone, and tells so by a file beside it.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, cast
from uuid import UUID

from dishka import Provider, Scope, decorate

from adapters.messaging.broker import DeliveryBroker
from adapters.postgres.messaging.deliveries import ClaimedDelivery, RelayedDeliveries, Ticks
from contracts.idempotency import RequestKey
from domains.conversational_ai.model.citation import CitablePassage
from domains.conversational_ai.model.passage import Passage
from domains.conversational_ai.model.term_weights import TermWeights
from domains.conversational_ai.model.turn import OpenedTurn, Question, TurnEnd, TurnRecord
from domains.conversational_ai.ports.agents_and_knowledge import AgentsAndKnowledge, AgentsAndKnowledgeTransactions
from domains.conversational_ai.ports.generative_model import AnswerDelta, AnswerFinished, GenerativeModel, ModelRequest, TokenPrice
from domains.conversational_ai.ports.passage_index import PassageIndex, PassageMatch, PassageVector
from domains.conversational_ai.ports.retrieval import Retrieval
from domains.conversational_ai.ports.turns import Turns
from entrypoints.cli.main import main
from entrypoints.composition import container
from shared_kernel.events import Delivery
from shared_kernel.principal import Principal

PLAN_VARIABLE = "FAULTS_PLAN"
_LOOK_SECONDS = 0.01
_FLUSH_SECONDS = 0.1


class Plan:
    """What is to happen where; shared by a file between the test and the process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reached_path = path.with_suffix(".reached")

    def make(self, what: str, point: str) -> None:
        """Doom whoever comes to `point` next: `what` is `kill` or `hold`."""
        self.reached_path.unlink(missing_ok=True)
        temporary = self.path.with_suffix(".new")
        temporary.write_text(f"{what} {point}")
        temporary.replace(self.path)

    def forget(self) -> None:
        """Let everybody go on."""
        self.path.unlink(missing_ok=True)

    def until_reached(self, seconds: float = 30) -> None:
        """Wait until somebody is held, or was killed, at the point."""
        deadline = time.monotonic() + seconds
        while not self.reached_path.exists():
            if time.monotonic() > deadline:
                raise TimeoutError(f"nobody came to the point of {self.path.read_text()!r}")
            time.sleep(_LOOK_SECONDS)

    def at(self, point: str) -> str | None:
        """Return what is planned for `point`."""
        try:
            what, planned = self.path.read_text().split()
        except (OSError, ValueError):
            return None
        return what if planned == point else None

    def carry_out(self, point: str) -> bool:
        """Die if that is the plan; return whether to wait."""
        what = self.at(point)
        if what is None:
            return False
        self.reached_path.touch()
        if what == "kill":
            self.path.unlink(missing_ok=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return True

    async def come_to(self, point: str) -> None:
        """Be at a crash point."""
        while self.carry_out(point):  # noqa: ASYNC110 - the plan is a file of the test's process
            await asyncio.sleep(_LOOK_SECONDS)


class DoomedTurns:
    """Dies after a turn was opened, and around its end."""

    def __init__(self, turns: Turns, plan: Plan) -> None:
        self._turns = turns
        self._plan = plan

    async def open(self, question: Question) -> OpenedTurn:
        await self._plan.come_to("open.before")
        opened = await self._turns.open(question)
        await self._plan.come_to("open.after")
        return opened

    async def end(self, end: TurnEnd, principal: Principal) -> None:
        await self._plan.come_to("settle.before")
        await self._turns.end(end, principal)
        await self._plan.come_to("settle.after")

    async def get(self, principal: Principal, turn_id: UUID) -> TurnRecord:
        return await self._turns.get(principal, turn_id)

    async def asked_under(self, principal: Principal, key: RequestKey, at: datetime) -> TurnRecord | None:
        return await self._turns.asked_under(principal, key, at)

    async def asked_as(self, principal: Principal, conversation_id: UUID, client_message_id: str) -> TurnRecord | None:
        return await self._turns.asked_as(principal, conversation_id, client_message_id)

    async def remember(self, principal: Principal, key: RequestKey, turn_id: UUID, at: datetime) -> None:
        await self._turns.remember(principal, key, turn_id, at)


class DoomedRetrieval:
    """Dies before and after the passages are found."""

    def __init__(self, retrieval: Retrieval, plan: Plan) -> None:
        self._retrieval = retrieval
        self._plan = plan

    async def passages(
        self, organization_id: UUID, knowledge_base_ids: Sequence[UUID], question: str, *, limit: int, cut_off: float
    ) -> Sequence[CitablePassage]:
        await self._plan.come_to("retrieve.before")
        found = await self._retrieval.passages(organization_id, knowledge_base_ids, question, limit=limit, cut_off=cut_off)
        await self._plan.come_to("retrieve.after")
        return found


class DoomedModel:
    """Dies after the first words and after the last."""

    def __init__(self, model: GenerativeModel, plan: Plan) -> None:
        self._model = model
        self._plan = plan

    def price(self, model: str) -> TokenPrice:
        return self._model.price(model)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[AnswerDelta | AnswerFinished]:
        said = False
        async with aclosing(self._model.stream(request)) as answer:
            async for event in answer:
                yield event
                if isinstance(event, AnswerDelta) and not said:
                    said = True
                    await asyncio.sleep(_FLUSH_SECONDS)  # the words are on their way to the visitor, and to the log of turn events
                    await self._plan.come_to("generate.first_words")
        await self._plan.come_to("generate.after")


class DoomedIndex:
    """Dies around the writing of vectors."""

    def __init__(self, index: PassageIndex, plan: Plan) -> None:
        self._index = index
        self._plan = plan

    async def prepare(self) -> None:
        await self._plan.come_to("index.prepare")
        await self._index.prepare()

    async def upsert(self, organization_id: UUID, entries: Sequence[PassageVector]) -> None:
        await self._plan.come_to("upsert.before")
        await self._index.upsert(organization_id, entries)
        await self._plan.come_to("upsert.after")

    async def search(
        self,
        organization_id: UUID,
        knowledge_base_ids: Sequence[UUID],
        vector: Sequence[float],
        weights: TermWeights,
        limit: int,
    ) -> list[PassageMatch]:
        return await self._index.search(organization_id, knowledge_base_ids, vector, weights, limit)

    async def remove_source(self, organization_id: UUID, source_id: UUID, *, except_version: int | None = None) -> None:
        await self._index.remove_source(organization_id, source_id, except_version=except_version)

    async def remove_knowledge_base(self, organization_id: UUID, knowledge_base_id: UUID) -> None:
        await self._index.remove_knowledge_base(organization_id, knowledge_base_id)

    async def count(self, organization_id: UUID) -> int:
        return await self._index.count(organization_id)


class DoomedKnowledge:
    """Dies between the transactions of indexing: around the one that writes passages, and around the one that completes a delivery."""

    def __init__(self, transactions: AgentsAndKnowledgeTransactions, plan: Plan) -> None:
        self._transactions = transactions
        self._plan = plan

    def __call__(self, principal: Principal, *, completes: Delivery | None = None) -> AbstractAsyncContextManager[AgentsAndKnowledge]:
        return _DoomedTransaction(self._transactions(principal, completes=completes), self._plan, completes=completes is not None)


class _DoomedTransaction:
    def __init__(self, inner: AbstractAsyncContextManager[AgentsAndKnowledge], plan: Plan, *, completes: bool) -> None:
        self._inner = inner
        self._plan = plan
        self._completes = completes
        self._passages: _WatchedPassages | None = None

    async def __aenter__(self) -> AgentsAndKnowledge:
        if self._completes:
            await self._plan.come_to("complete.before")
        view = await self._inner.__aenter__()
        self._passages = _WatchedPassages(view.passages)
        return cast("AgentsAndKnowledge", _View(view, self._passages))

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool | None:
        swallowed = await self._inner.__aexit__(kind, error, trace)
        if error is None:
            if self._completes:
                await self._plan.come_to("complete.after")
            if self._passages is not None and self._passages.wrote:
                await self._plan.come_to("cut.after")
        return swallowed


class _View:
    def __init__(self, view: AgentsAndKnowledge, passages: "_WatchedPassages") -> None:
        self._view = view
        self.passages = passages

    def __getattr__(self, name: str) -> Any:
        return getattr(self._view, name)


class _WatchedPassages:
    def __init__(self, passages: Any) -> None:
        self._passages = passages
        self.wrote = False

    async def write(self, passages: Sequence[Passage]) -> None:
        self.wrote = True
        await self._passages.write(passages)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._passages, name)


class DoomedRelayedDeliveries:
    """Dies between claim and send."""

    def __init__(self, deliveries: RelayedDeliveries, plan: Plan) -> None:
        self._deliveries = deliveries
        self._plan = plan

    async def claim(self, now: datetime, *, limit: int = 100) -> list[ClaimedDelivery]:
        claimed = await self._deliveries.claim(now, limit=limit)
        if claimed:
            await self._plan.come_to("relay.claimed")
        return claimed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._deliveries, name)


class DoomedBroker:
    """Dies after a delivery was sent."""

    def __init__(self, broker: DeliveryBroker, plan: Plan) -> None:
        self._broker = broker
        self._plan = plan

    def send(self, queue: str, delivery_id: UUID, organization_id: UUID | None) -> None:
        self._broker.send(queue, delivery_id, organization_id)
        while self._plan.carry_out("relay.sent"):
            time.sleep(_LOOK_SECONDS)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)


class DoomedTicks:
    """Writes down which ticks it got, and dies between the claim of one and its job."""

    def __init__(self, ticks: Ticks, plan: Plan) -> None:
        self._ticks = ticks
        self._plan = plan

    async def claim(self, job: str, due_at: datetime) -> bool:
        claimed = await self._ticks.claim(job, due_at)
        if claimed:
            with self._plan.path.with_suffix(".ticks").open("a") as told:
                told.write(f"{job} {due_at.isoformat()}\n")
            await self._plan.come_to(f"tick.{job}")
        return claimed

    async def purge(self, before: datetime) -> None:
        await self._ticks.purge(before)


class CrashPoints(Provider):
    """Wraps the ports."""

    scope = Scope.APP

    def __init__(self) -> None:
        super().__init__()
        self._plan = Plan(Path(os.environ[PLAN_VARIABLE]))

    @decorate
    def turns(self, turns: Turns) -> Turns:
        """Doom turns."""
        return DoomedTurns(turns, self._plan)

    @decorate
    def retrieval(self, retrieval: Retrieval) -> Retrieval:
        """Doom retrieval."""
        return DoomedRetrieval(retrieval, self._plan)

    @decorate
    def model(self, model: GenerativeModel) -> GenerativeModel:
        """Doom generation."""
        return DoomedModel(model, self._plan)

    @decorate
    def index(self, index: PassageIndex) -> PassageIndex:
        """Doom the writing of vectors."""
        return DoomedIndex(index, self._plan)

    @decorate
    def knowledge(self, transactions: AgentsAndKnowledgeTransactions) -> AgentsAndKnowledgeTransactions:
        """Doom indexing."""
        return DoomedKnowledge(transactions, self._plan)

    @decorate
    def deliveries(self, deliveries: RelayedDeliveries) -> RelayedDeliveries:
        """Doom the relay."""
        return cast("RelayedDeliveries", DoomedRelayedDeliveries(deliveries, self._plan))

    @decorate
    def broker(self, broker: DeliveryBroker) -> DeliveryBroker:
        """Doom the relay after it sent."""
        return cast("DeliveryBroker", DoomedBroker(broker, self._plan))

    @decorate
    def ticks(self, ticks: Ticks) -> Ticks:
        """Doom the scheduler."""
        return cast("Ticks", DoomedTicks(ticks, self._plan))


if __name__ == "__main__":
    container.PROVIDERS = (*container.PROVIDERS, CrashPoints)  # type: ignore[assignment]
    sys.exit(main())
