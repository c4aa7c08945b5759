"""All tables of all contexts, for the migrations and the tests that enumerate them. Importing it maps every aggregate."""

from adapters.postgres import idempotency
from adapters.postgres.billing import tables as billing
from adapters.postgres.conversational_ai import tables as knowledge
from adapters.postgres.conversational_ai import turn_tables
from adapters.postgres.conversational_ai import turn_tables as conversations
from adapters.postgres.governance import tables as governance
from adapters.postgres.identity import tables as identity
from adapters.postgres.mapping import metadata
from adapters.postgres.messaging import tables as messaging

__all__ = ["billing", "conversations", "governance", "idempotency", "identity", "knowledge", "messaging", "metadata", "turn_tables"]
