"""Objects in a dictionary."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from domains.conversational_ai.ports.object_store import ObjectKey, whole
from shared_kernel.errors import NotFound

_PIECE = 1_000_000


class InMemoryObjectStore:
    """Implements `ObjectStore`."""

    def __init__(self) -> None:
        self.objects: dict[ObjectKey, bytes] = {}
        self.written: dict[ObjectKey, datetime] = {}

    async def put(self, key: ObjectKey, content: AsyncIterator[bytes], *, saved_as: str | None = None) -> int:  # noqa: ARG002 - no links
        found = await whole(content)
        self.objects[key], self.written[key] = found, datetime.now(UTC)
        return len(found)

    async def get(self, key: ObjectKey) -> AsyncIterator[bytes]:
        if key not in self.objects:
            raise NotFound
        return _in_pieces(self.objects[key])

    async def size(self, key: ObjectKey) -> int | None:
        return len(self.objects[key]) if key in self.objects else None

    async def link(self, key: ObjectKey, lifetime: timedelta) -> str | None:  # noqa: ARG002 - for nobody
        return None

    async def older(self, before: datetime) -> AsyncIterator[ObjectKey]:
        for key in [k for k in self.objects if self.written[k] < before]:
            yield key

    async def delete(self, key: ObjectKey) -> None:
        self.objects.pop(key, None)

    async def delete_below(self, key: ObjectKey) -> None:
        for found in [k for k in self.objects if str(k).startswith(f"{key}/")]:
            del self.objects[found]


async def _in_pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), _PIECE):
        yield content[start : start + _PIECE]
