"""Files that are too large for rows, kept apart for each organisation."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from uuid import UUID

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

    def __str__(self) -> str:
        return f"{self.organization_id}/{self.name}"


@dataclass(frozen=True, slots=True)
class SourceObjects:
    """The objects of a knowledge source, below its base."""

    organization_id: UUID
    knowledge_base_id: UUID
    source_id: UUID

    @property
    def of_base(self) -> ObjectKey:
        """Return what everything of the base is below."""
        return ObjectKey(self.organization_id, f"knowledge/{self.knowledge_base_id}")

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
