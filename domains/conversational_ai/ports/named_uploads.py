"""Which of the files that are kept are wanted."""

from collections.abc import Collection
from typing import Protocol
from uuid import UUID


class NamedUploads(Protocol):
    """Knows what sources name."""

    async def named(self, organization_id: UUID, *, source_ids: Collection[UUID], upload_ids: Collection[UUID]) -> set[UUID]:
        """Return those of `upload_ids` that a version of one of the organisation's sources names.

        Versions that are not found yet, or are to be removed, count: whoever removes a version removes its file.
        """
        ...
