"""Taking in an uploaded file, as large as the plan allows and no larger."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

from contracts.billing.errors import QuotaExceeded
from contracts.billing.metrics import Metric
from contracts.billing.queries import Entitlements
from domains.conversational_ai.model.file_format import FileInspection
from domains.conversational_ai.model.knowledge_source import FileContent
from domains.conversational_ai.ports.object_store import ObjectStore, SourceObjects
from shared_kernel.identifiers import new_id

BYTES_PER_MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file that arrives: its name, what its sender says it measures (if they do), and its bytes."""

    name: str
    announced_bytes: int | None
    content: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class UploadStorage:
    """Keeps uploads."""

    entitlements: Entitlements
    objects: ObjectStore

    async def keep(self, upload: Upload, kept: SourceObjects) -> FileContent:
        """Keep the file among the source's objects and return what it is.

        No more than the plan's `upload_mb` is read, and nothing when its sender announces more. Raises `QuotaExceeded`, `EmptyFile`,
        `EncryptedFile`, `UnsupportedFile`; nothing is kept then.
        """
        allowed = await self.most_bytes(kept.organization_id)
        if allowed is not None and (upload.announced_bytes or 0) > allowed:
            raise file_too_large(allowed)
        inspection = FileInspection()

        async def seen() -> AsyncIterator[bytes]:
            size = 0
            async for piece in upload.content:
                size += len(piece)
                if allowed is not None and size > allowed:
                    raise file_too_large(allowed)
                inspection.see(piece)
                yield piece

        upload_id = new_id()
        size = await self.objects.put(kept.original(upload_id), seen(), saved_as=upload.name)
        try:
            return FileContent(upload_id=upload_id, name=upload.name, format=inspection.format(upload.name), size_bytes=size)
        except BaseException:
            await self.forget(kept, upload_id)
            raise

    async def most_bytes(self, organization_id: UUID) -> int | None:
        """Return how large a file the organisation's plan allows; `None` is any size."""
        limit = (await self.entitlements.of(organization_id)).limits[Metric.UPLOAD_MB]
        return None if limit is None else limit * BYTES_PER_MEGABYTE

    async def forget(self, kept: SourceObjects, upload_id: UUID) -> None:
        """Delete a file that was kept and is not wanted after all."""
        await self.objects.delete_below(kept.upload(upload_id))


def file_too_large(allowed: int) -> QuotaExceeded:
    """Return the refusal of a file of more than `allowed` bytes."""
    limit = allowed // BYTES_PER_MEGABYTE
    return QuotaExceeded(
        f"The plan's limit of {limit} MB for one file is exceeded", metric=Metric.UPLOAD_MB.value, limit=limit, resets_at=None
    )
