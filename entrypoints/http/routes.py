"""Every route under `/api/v1`. The one list."""

from litestar.types import ControllerRouterHandler

from entrypoints.http.billing.controllers import route_handlers as billing
from entrypoints.http.conversational_ai.agents import route_handlers as agents
from entrypoints.http.conversational_ai.conversations import route_handlers as conversations
from entrypoints.http.conversational_ai.knowledge import route_handlers as knowledge
from entrypoints.http.governance.controllers import route_handlers as governance
from entrypoints.http.identity.controllers import route_handlers as identity

API_HANDLERS: list[ControllerRouterHandler] = [*identity, *billing, *agents, *knowledge, *conversations, *governance]
