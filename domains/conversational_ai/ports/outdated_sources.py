"""Sources that are found by vectors that nothing new can be compared with."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID


class OutdatedSources(Protocol):
    """Looks over all organisations."""

    async def find(self, *, model: str, limit: int) -> Sequence[tuple[UUID, UUID, UUID]]:
        """Return (organisation, knowledge base, source) of at most `limit` sources that were not indexed with `model`.

        Among them are ready ones, and those whose new content was given up while the old one is found.
        """
        ...
