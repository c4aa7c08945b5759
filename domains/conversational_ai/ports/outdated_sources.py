"""Sources that are found by vectors that nothing new can be compared with."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID


class OutdatedSources(Protocol):
    """Looks over all organisations."""

    async def find(self, *, model: str, limit: int) -> Sequence[tuple[UUID, UUID, UUID]]:
        """Return (organisation, knowledge base, source) of at most `limit` ready sources that were not indexed with `model`."""
        ...
