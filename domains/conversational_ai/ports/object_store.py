"""Files that are too large for rows, kept apart for each organisation."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, Self
from uuid import UUID

_KNOWLEDGE = "knowledge"
_PARTS = 4  # of a file's name: that word, base, source, file
_PART = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class ObjectKey:
    """Where an object is kept: its organisation, and a name below it such as `sources/<id>/1/original`.

    Raises `ValueError` for a name with a part that is empty, begins with a dot, or holds anything but `a-z0-9._-`.
    """

    organization_id: UUID
    name: str

    def __post_init__(self) -> None:
        if not all(_PART.fullmatch(part) for part in self.name.split("/")):
            raise ValueError(f"{self.name!r} is no name of an object")

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the key whose text that is, or `None` when it is no key's."""
        organization_id, _, name = text.partition("/")
        try:
            return cls(UUID(organization_id), name)
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.organization_id}/{self.name}"


@dataclass(frozen=True, slots=True)
class SourceObjects:
    """The objects of a knowledge source, below its base."""

    organization_id: UUID
    knowledge_base_id: UUID
    source_id: UUID

    @classmethod
    def of(cls, key: ObjectKey) -> tuple[Self, UUID] | None:
        """Return the source and the id of the file that `key` belongs to, or `None` when it is not a source's."""
        parts = key.name.split("/")
        if len(parts) < _PARTS or parts[0] != _KNOWLEDGE:
            return None
        try:
            base_id, source_id, upload_id = (UUID(part) for part in parts[1:_PARTS])
        except ValueError:
            return None
        return cls(key.organization_id, base_id, source_id), upload_id

    @property
    def of_base(self) -> ObjectKey:
        """Return what everything of the base is below."""
        return ObjectKey(self.organization_id, f"{_KNOWLEDGE}/{self.knowledge_base_id}")

    @property
    def all(self) -> ObjectKey:
        """Return what everything of the source is below."""
        return ObjectKey(self.organization_id, f"{self.of_base.name}/{self.source_id}")

    def upload(self, upload_id: UUID) -> ObjectKey:
        """Return what everything of that file is below."""
        return ObjectKey(self.organization_id, f"{self.all.name}/{upload_id}")

    def original(self, upload_id: UUID) -> ObjectKey:
        """Return the file as it was uploaded."""
        return ObjectKey(self.organization_id, f"{self.upload(upload_id).name}/original")

    def text(self, upload_id: UUID) -> ObjectKey:
        """Return the text that was read from it, a `DocumentText` encoded."""
        return ObjectKey(self.organization_id, f"{self.upload(upload_id).name}/text")


class ObjectStore(Protocol):
    """Keeps objects. Every method raises `Unavailable` when the store does not answer."""

    async def put(self, key: ObjectKey, content: AsyncIterator[bytes], *, saved_as: str | None = None) -> int:
        """Keep what `content` yields, in place of what was there; return its size in bytes.

        `saved_as` is what a file is called that is saved through the store's own link; no browser shows what such a link leads to.
        Whoever reads sees the old object or the new one, whole. When `content` raises, that is raised and nothing is kept.
        """
        ...

    async def get(self, key: ObjectKey) -> AsyncIterator[bytes]:
        """Return the object piece by piece. Raises `NotFound`."""
        ...

    async def size(self, key: ObjectKey) -> int | None:
        """Return the object's size in bytes, or `None` when there is none."""
        ...

    async def link(self, key: ObjectKey, lifetime: timedelta) -> str | None:
        """Return an address of the store at which whoever has it may save the object, or `None` for a store that nobody else reaches."""
        ...

    def older(self, before: datetime) -> AsyncIterator[ObjectKey]:
        """Yield the objects of all organisations that were last written before that moment (UTC), in any order.

        What was begun before it and never became an object is discarded in passing, where the store does not do so by itself.
        """
        ...

    async def delete(self, key: ObjectKey) -> None:
        """Delete it. When it is not there, nothing happens."""
        ...

    async def delete_below(self, key: ObjectKey) -> None:
        """Delete every object whose name begins with the key's name and a slash; no other, and no other organisation's."""
        ...


async def whole(content: AsyncIterator[bytes]) -> bytes:
    """Return all of it in one piece."""
    return b"".join([piece async for piece in content])


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    """Yield `content` as one piece."""
    yield content
