"""How many turns an agent answers in a minute."""

import time
from collections import OrderedDict
from collections.abc import Callable
from uuid import UUID

from contracts.billing.queries import Entitlements
from contracts.rate_limits import RateLimited, RateLimits, RateRule
from domains.conversational_ai.ports.conversation_agents import ConversationAgents
from shared_kernel.principal import Principal

_WINDOW_SECONDS = 60
#: A change of plan counts after this long in every process.
RATE_REMEMBERED_SECONDS = 5.0


class AgentRate:
    """Holds each agent to its plan's turns per minute, counted over all replicas. `factor` multiplies the plan's rate.

    The agent of a conversation is looked up at its first turn in this process, the plan's rate every five seconds: other turns cost no
    round trip to the database. At most `maximum` of each are remembered. `now` returns seconds and never goes back; `on_refused` hears
    the policy of each refusal.
    """

    def __init__(
        self,
        agents: ConversationAgents,
        entitlements: Entitlements,
        limits: RateLimits,
        *,
        factor: int = 1,
        on_refused: Callable[[str], None] = lambda _: None,
        maximum: int = 10_000,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._agents = agents
        self._entitlements = entitlements
        self._limits = limits
        self._factor = factor
        self._on_refused = on_refused
        self._maximum = maximum
        self._now = now
        self._key_of: OrderedDict[tuple[UUID, UUID], str] = OrderedDict()
        self._rate_of: OrderedDict[UUID, tuple[int, float]] = OrderedDict()

    async def count(self, caller: Principal, conversation_id: UUID, *, agent_id: UUID | None = None) -> tuple[RateRule]:
        """Count the turn that is opened next; return the rule that it was counted under, to be given back when it does not open.

        `agent_id` names the agent where no conversation does; whoever read it was confirmed then. Otherwise the caller is confirmed before
        a refusal, as opening the turn would: nobody else learns how busy an agent is.
        Raises `RateLimited`, `NotFound`, and what confirming a caller raises.
        """
        if agent_id is not None:
            key = _key(caller, agent_id)
        else:
            key = self._key_of.get((caller.tenant, conversation_id)) or await self._look_up(caller, conversation_id)
        rate, until = self._rate_of.get(caller.tenant, (0, 0.0))
        if self._now() >= until:
            rate = await self._rate(caller.tenant)
        rules = (RateRule("agent", key, rate * self._factor, _WINDOW_SECONDS),)
        decision = await self._limits.check(rules)
        if not decision.allowed:
            if agent_id is None:
                await self._agents.of(caller, conversation_id)
            self._on_refused(decision.policy)
            raise RateLimited(decision)
        return rules

    async def give_back(self, rules: tuple[RateRule]) -> None:
        """Say that the turn did not open."""
        await self._limits.give_back(rules)

    async def _look_up(self, caller: Principal, conversation_id: UUID) -> str:
        agent_id = await self._agents.of(caller, conversation_id)
        key = self._key_of[caller.tenant, conversation_id] = _key(caller, agent_id)
        if len(self._key_of) > self._maximum:
            self._key_of.popitem(last=False)
        return key

    async def _rate(self, organization_id: UUID) -> int:
        now = self._now()
        rate = (await self._entitlements.of(organization_id)).agent_rate_per_minute
        self._rate_of[organization_id] = (rate, now + RATE_REMEMBERED_SECONDS)
        if len(self._rate_of) > self._maximum:
            self._rate_of.popitem(last=False)
        return rate


def _key(caller: Principal, agent_id: UUID) -> str:
    return f"{caller.tenant}:agent:{agent_id}"
